"""Secrets in the answers of AWS's services, found in the services' own models.

An operation of any service hands out credentials if its output holds the keys of a session, an
access token or a login password. Members that a model marks as sensitive are secrets, and so are
those that ``secret_members`` knows.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rolerunner.actions.secret_members import is_secret_member
from rolerunner.errors import FieldError
from rolerunner.redaction.sealing import has_secret_value, seal_secrets
from rolerunner.redaction.secret_names import is_secret_name
from rolerunner.redaction.secrets import Secret, register_secret

_MAX_DEPTH = 12
"""Levels of an output that are looked at; shapes may hold themselves."""
_KEYS = ("secretaccesskey", "sessiontoken")
_TOKENS = (
    "authorizationtoken",
    "authtoken",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "bearertoken",
    "webidentitytoken",
    "dbpassword",
)
_NO_CREDENTIALS = ("syncsessiontoken", "oauthtoken")
"""A place in a data set, and a token that the caller gave."""
_HANDS_OUT = re.compile(
    r"(Get|Create|Generate|Issue|Request|Assume).*(Token|Credentials?|Role)(?![a-z])"
)
_LOGINS = frozenset(
    {
        "clitoken",
        "connectiontoken",
        "password",
        "playergatewaytoken",
        "secret",
        "token",
        "webtoken",
    }
)
_LOGS_IN = re.compile(
    r"(Token|Credentials|Access|Login|ParticipantConnection|PlayerConnectionDetails)(?![a-z])"
)
"""Operations whose outputs under the names of ``_LOGINS``, at any depth, are credentials."""
_SHELL_SESSION = "tokenvalue"
"""The name of the token of a shell session, as of ssm StartSession and ecs ExecuteCommand."""
_HANDING_OUT: frozenset[tuple[str, str]] = frozenset({
    ("iam", "CreateServiceSpecificCredential"), ("iam", "ResetServiceSpecificCredential"),
    ("lightsail", "GetInstanceAccessDetails"),
    ("lightsail", "GetRelationalDatabaseMasterUserPassword"),
})  # fmt: skip
"""Operations that hand out a password under a name that tells nothing."""


def _normalize_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def hands_out_credentials(service: str, operation: str, output: Any) -> bool:
    """Returns True if an operation with this output shape hands out credentials."""
    if (service, operation) in _HANDING_OUT:
        return True
    return output is not None and any(
        _is_credential(operation, path, shape) for path, shape in _walk_members(output)
    )


def _is_credential(operation: str, path: tuple[str, ...], shape: Any) -> bool:
    if shape.type_name not in ("string", "blob") or getattr(shape, "enum", None):
        return False
    name = _normalize_name(path[-1])
    if name.endswith(_NO_CREDENTIALS):
        return False
    if name.endswith(_KEYS) or (name == "secretkey" and is_sensitive(shape)):
        return True
    if name.endswith(_TOKENS):
        return is_sensitive(shape) or len(path) == 1 or name.endswith("authorizationtoken")
    if name == _SHELL_SESSION:
        return "Verification" not in operation  # a token to publish in DNS
    if name in _LOGINS and _LOGS_IN.search(operation):
        return True
    return name == "token" and len(path) == 1 and bool(_HANDS_OUT.match(operation))


def _walk_members(
    shape: Any, path: tuple[str, ...] = (), above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every member of an output with its path; lists and maps add nothing to it."""
    if len(path) > _MAX_DEPTH or shape.name in above:
        return
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield (*path, name), member
            yield from _walk_members(member, (*path, name), (*above, shape.name))
    elif shape.type_name in ("list", "map"):
        inner = shape.member if shape.type_name == "list" else shape.value
        if path:
            yield path, inner
        yield from _walk_members(inner, path, above)


def is_sensitive(shape: Any) -> bool:
    """Returns True if the model marks the shape as sensitive."""
    return bool(shape.metadata.get("sensitive"))


def seal_answer(answer: Any, shape: Any, service: str, *, is_secret: bool = False) -> Any:
    """Returns a response with its secrets, by model, table or name, as secret values."""
    secretly = is_secret or (shape is not None and is_sensitive(shape))
    if isinstance(answer, Mapping):
        return {
            name: _seal_member(name, each, shape, service, secretly)
            for name, each in answer.items()
        }
    if isinstance(answer, list):
        inner = shape.member if getattr(shape, "type_name", "") == "list" else None
        return [seal_answer(each, inner, service, is_secret=secretly) for each in answer]
    if not secretly or answer is None or isinstance(answer, bool) or answer == "":
        return answer
    _seal_parts(str(answer))
    return register_secret(str(answer))


def _seal_member(name: str, value: Any, shape: Any, service: str, secretly: bool) -> Any:
    kind = getattr(shape, "type_name", "")
    inner = (
        shape.members.get(name) if kind == "structure" else shape.value if kind == "map" else None
    )
    is_secret = (
        is_secret_member(name, inner, service, shape.name)
        if inner is not None
        else not isinstance(value, Mapping) and is_secret_name(name)
    )
    return seal_answer(value, inner, service, is_secret=secretly or is_secret)


def _seal_parts(text: str) -> None:
    """Registers passwords and keys inside a secret that is JSON, which a function may parse."""
    if text.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            seal_secrets(json.loads(text))


def seal_selected(select: Callable[[Any], Any], answer: Any, sealed: Any) -> Any:
    """Returns what ``select`` selects, with values that depend on secrets as secret values."""
    selected = select(answer)
    if not has_secret_value(sealed):
        return selected
    try:
        other = select(_with_other_secrets(sealed))
    except FieldError:  # an expression that fails on other secrets hangs on them
        other = None
    return _seal_difference(selected, other)


def _with_other_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_other_secrets(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_other_secrets(each) for each in value]
    return _OTHER if isinstance(value, Secret) else value


def _seal_difference(value: Any, other: Any) -> Any:
    """The value with all that differs from ``other`` as secret values."""
    if value == other or value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        others = other if isinstance(other, Mapping) else {}
        return {name: _seal_difference(each, others.get(name)) for name, each in value.items()}
    if isinstance(value, list):
        others_there = (
            other if isinstance(other, list) and len(other) == len(value) else [None] * len(value)
        )
        return [_seal_difference(each, there) for each, there in zip(value, others_there)]
    return register_secret(str(value))


_ONE, _OTHER = "a secret", "another secret, as a stand-in"
_MISSING = object()


def is_secret_at(
    shape: Any, service: str, path: tuple[str, ...], select: Callable[[Any], Any]
) -> bool:
    """Returns True if ``select`` selects a secret at ``path`` from any such response."""
    one, other = (
        _value_at(select(_stand_in(shape, service, secret)), path) for secret in (_ONE, _OTHER)
    )
    return bool(one != other)


def _value_at(found: Any, path: tuple[str, ...]) -> Any:
    value = found if isinstance(found, Mapping) else {"result": found}
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _stand_in(
    shape: Any, service: str, secret: str, above: tuple[str, ...] = (), *, is_secret: bool = False
) -> Any:
    """An answer of this shape in which each secret is this one."""
    secretly = is_secret or is_sensitive(shape)
    if shape.name in above or len(above) > _MAX_DEPTH:
        return None
    if shape.type_name == "structure":
        return {
            name: _stand_in(
                each,
                service,
                secret,
                (*above, shape.name),
                is_secret=secretly or is_secret_member(name, each, service, shape.name),
            )
            for name, each in shape.members.items()
        }
    if shape.type_name == "list":
        return [_stand_in(shape.member, service, secret, above, is_secret=secretly)]
    if shape.type_name == "map":
        return {"": _stand_in(shape.value, service, secret, above, is_secret=secretly)}
    if secretly:
        return secret
    return {"integer": 1, "long": 1, "float": 1.0, "double": 1.0, "boolean": True}.get(
        shape.type_name, "text"
    )
