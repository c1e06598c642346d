"""Parses the sources of secret params: ``secretsmanager:NAME_OR_ARN#key`` and ``ssm:/path``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional, cast

from rolerunner.model import SecretSource, TextRules
from rolerunner.spec.expressions import Template
from rolerunner.spec.values import format_suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.model import SecretService
    from rolerunner.spec.document import Path
    from rolerunner.spec.reader import SpecReader
    from rolerunner.spec.roles import Roles
    from rolerunner.spec.schema import ParamFields

_SERVICES = ("secretsmanager", "ssm")
_EXAMPLES = "secretsmanager:prod/partner/sftp#password or ssm:/orders/api-key"
_NAMES = {
    "secretsmanager": re.compile(r"[\w/+=.@!-]{1,512}\Z", re.ASCII),
    "ssm": re.compile(r"(?P<path>[\w./-]{1,1011})(?::[\w.-]{1,100})?\Z", re.ASCII),
}
"""Service -> the names that it allows (API references; ``:`` precedes a version or label)."""
_ARNS = {
    "secretsmanager": re.compile(
        r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@!-]{1,519}\Z", re.ASCII
    ),
    "ssm": re.compile(
        r"arn:aws[a-z-]*:ssm:[a-z0-9-]+:\d{12}:parameter/[\w./-]{1,1011}(?::[\w.-]{1,100})?\Z",
        re.ASCII,
    ),
}
_SECRETS_IN_SSM = "/aws/reference/secretsmanager/"
"""Parameters under this path are read from Secrets Manager, with its permissions."""
_KMS_KEY = re.compile(
    r"(?:arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:)?(?:alias/[\w/-]+|(?:key/)?[A-Za-z0-9-]+)\Z",
    re.ASCII,
)


def parse_secret_sources(
    params: Mapping[str, ParamFields], roles: Roles, reader: SpecReader
) -> dict[str, SecretSource]:
    """Returns the source of each param that has one; mistakes are added to the reader.

    Sources with mistakes, and those that depend on params without a value, are left out.
    """
    found = {name: _parse_source(name, fields, roles, reader) for name, fields in params.items()}
    return {name: source for name, source in found.items() if source is not None}


def _parse_source(
    name: str, fields: ParamFields, roles: Roles, reader: SpecReader
) -> Optional[SecretSource]:
    path = ("params", name)
    mistakes = list(_find_conflicts(name, fields))
    for field, message, hint in mistakes:
        reader.add((*path, field), message, hint, key=True)
    if fields.from_ is None:
        return None
    before = len(reader.known.problems)
    location = _fill_text(fields.from_, (*path, "from"), reader)
    role = _fill_text(fields.role, (*path, "role"), reader)
    kms_key = _fill_text(fields.kms_key, (*path, "kms_key"), reader)
    if role:
        roles.check(role, (*path, "role"), reader)
    if kms_key and not _KMS_KEY.match(kms_key):
        message = f"'kms_key' must be the ARN, id or alias of a KMS key, not '{kms_key}'"
        reader.add((*path, "kms_key"), message)
    place = _parse_place(location, (*path, "from"), reader)
    found = roles.find(role) if role else None
    if mistakes or len(reader.known.problems) > before:
        return None
    if place is None or found is None or kms_key is None:
        return None  # depends on a param without a value
    choices = tuple(fields.choices) if fields.choices else None
    rules = TextRules(fields.min, fields.max, fields.pattern, choices)
    return SecretSource(name, *place, found, kms_key, rules)


def _parse_place(
    location: Optional[str], path: Path, reader: SpecReader
) -> Optional[tuple[SecretService, str, Optional[str]]]:
    if location is None:
        return None
    try:
        return parse_location(location)
    except ValueError as error:
        reader.add(path, f"'from' {error}")
        return None


def _find_conflicts(name: str, fields: ParamFields) -> Iterator[tuple[str, str, str]]:
    """Yields the key, the message and the hint of each mistake in how the keys go together."""
    if fields.from_ is None:
        for key in ("role", "kms_key"):
            if getattr(fields, key) is not None:
                yield key, f"'{key}' of the param '{name}' requires 'from'", ""
        return
    if not fields.secret:
        yield "from", f"the param '{name}' has 'from', so it must be secret", "set 'secret: true'"
    if not fields.role:
        hint = "set 'role' to an alias, an ARN, or job"
        yield "from", f"the param '{name}' has 'from', so it needs a role", hint
    for key, given in (("default", fields.default is not None), ("required", fields.required)):
        if given:
            message = f"the param '{name}' has '{key}' and 'from'"
            yield key, message, "remove one of the two"


def _fill_text(text: Optional[str], path: Path, reader: SpecReader) -> Optional[str]:
    """Returns a text with its params; None if one has no value, or the text is wrong."""
    filled = reader.fill_known(reader.parse_templates(text or "", path, ("params",)), path)
    return None if isinstance(filled, Template) else str(filled)


def parse_location(text: str) -> tuple[SecretService, str, Optional[str]]:
    """Returns the service, the name or ARN, and the key of its JSON.

    Raises ValueError with what is wrong, to follow ``'from'``.
    """
    service, separator, rest = text.partition(":")
    if service == "arn" and text.split(":")[2:3] and text.split(":")[2] in _SERVICES:
        raise ValueError(f"must begin with the service: write {text.split(':')[2]}:{text}")
    if service not in _SERVICES or not separator:
        hint = format_suggestion(service, _SERVICES) if separator else ""
        raise ValueError(f"must be such as {_EXAMPLES}, not '{text}'{hint}")
    name, has_key, json_key = rest.partition("#")
    if has_key and not json_key:
        raise ValueError(f"has no key after '#': '{text}'")
    _check_name(service, name)
    return cast("SecretService", service), name, json_key if has_key else None


def _check_name(service: str, name: str) -> None:
    if name.startswith("arn:"):
        if not _ARNS[service].match(name):
            kind = "a secret" if service == "secretsmanager" else "a parameter"
            raise ValueError(f"must have the ARN of {kind} of {service}, not '{name}'")
        return
    match = _NAMES[service].match(name)
    if match is None:
        kind = "secret" if service == "secretsmanager" else "parameter"
        raise ValueError(f"must have the name of a {kind}, not '{name}'")
    if service == "ssm" and "/" in name and not name.startswith("/"):
        raise ValueError(f"must have a path that begins with '/': write ssm:/{name}")
    if name.startswith(_SECRETS_IN_SSM):
        secret = name[len(_SECRETS_IN_SSM) :]
        raise ValueError(f"must name the secret itself: write secretsmanager:{secret}")
