"""Finds the secrets of a case in everything that its run wrote: ``secrets: never shown``."""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolerunner.model import S3Uri
from rolerunner.redaction.encodings import list_encoded_forms
from rolerunner.redaction.secret_names import is_secret_name
from rolerunner.redaction.secrets import register_secret
from rolerunner.spec_testing.contents import UnreadableObject, read_file, read_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.sandbox import Sandbox
    from rolerunner.sandbox.world_secrets import SandboxSecret
    from rolerunner.spec_testing.case import Case

_GZIP = b"\x1f\x8b"
_MAX_BYTES = 64 << 20
"""Bytes of an object or file that are searched."""


@dataclass(frozen=True)
class KnownSecret:
    """A secret of a case, and how messages name it."""

    title: str
    text: str


def list_secrets(case: Case) -> list[KnownSecret]:
    """Returns the secrets of a case: of its sandbox, and its secret params."""
    found = [
        KnownSecret(f"the secret '{secret.title}'", text)
        for secret in case.world.secrets
        for text in _list_texts(secret, case)
    ]
    found += [
        KnownSecret(f"the parameter '{parameter.name}'", parameter.text)
        for parameter in case.world.parameters
        if parameter.type == "SecureString"
    ]
    job = case.job
    for name in sorted(job.secret_params) if job is not None else ():
        value = job.params.get(name) if job is not None else None
        if isinstance(value, str) and value:
            found.append(KnownSecret(f"the param '{name}'", str(value)))
    return found


def register_secrets(case: Case) -> None:
    """Redacts the secrets of a case from the output of this process."""
    for secret in list_secrets(case):
        register_secret(secret.text)


def _list_texts(secret: SandboxSecret, case: Case) -> Iterator[str]:
    """Yields the text of a secret, and the values of its JSON that are secret by themselves."""
    yield secret.value
    sources = case.job.secret_sources if case.job is not None else ()
    keys = {source.json_key for source in sources}
    try:
        parsed = json.loads(secret.value)
    except ValueError:
        return
    for key, value in parsed.items() if isinstance(parsed, dict) else ():
        if isinstance(value, str) and value and (key in keys or is_secret_name(key)):
            yield value


def find_shown_secrets(
    case: Case, aws: Sandbox, result: Mapping[str, Any], output: str
) -> Iterator[str]:
    """Yields each secret, with the place where it is shown or stored."""
    keys = aws.job_keys
    secrets = [
        *list_secrets(case),
        KnownSecret("the secret key of the job's session", keys.secret_key),
        KnownSecret("the token of the job's session", keys.token),
    ]
    forms = [(secret.title, list_encoded_forms(secret.text)) for secret in secrets]
    shown: dict[str, None] = {}
    for place, text in _iter_texts(case, aws, result, output):
        for title, encoded in forms:
            # a secret of several lines is in no line by itself
            is_new = place != "the output" or not any(f"{title} in line" in each for each in shown)
            if is_new and any(form in text for form in encoded):
                shown[f"{title} in {place}"] = None
    yield from shown


def _iter_texts(
    case: Case, aws: Sandbox, result: Mapping[str, Any], output: str
) -> Iterator[tuple[str, str]]:
    """Yields the log, the result, and the files and objects that are not as they were given."""
    for number, line in enumerate(output.splitlines(), 1):
        yield f"line {number} of the output", line
    yield "the output", output  # a secret may have several lines
    yield "the result", json.dumps(result, ensure_ascii=False)
    given = {
        name: content.body(case.resolve_path(""))
        for name, content in case.fields.given.files.items()
    }
    for path in sorted(case.folder.rglob("*")):
        name = path.relative_to(case.folder).as_posix()
        content = read_file(path, is_folder=False)
        if content is not None and content.body != given.get(name):
            yield f"the file {name}", _decode(content.body)
    yield from _iter_objects(case, aws)
    for message in aws.messages():
        yield f"a message to {message.target}", message.whole_text


def _iter_objects(case: Case, aws: Sandbox) -> Iterator[tuple[str, str]]:
    for bucket in case.world.buckets:
        given = {each.key: each.body(case.world_folder) for each in bucket.objects}
        given.update(
            (uri.key, content.body(case.resolve_path("")))
            for uri, content in case.fields.given.objects.items()
            if uri.bucket == bucket.name
        )
        listed = read_object(aws, S3Uri(bucket.name), bucket.account)
        for key in listed.names or () if listed is not None else ():
            uri = S3Uri(bucket.name, key)
            try:
                found = read_object(aws, uri, bucket.account)
            except UnreadableObject:  # with a key of the customer's
                continue
            if found is not None and found.body != given.get(key):
                yield str(uri), _decode(found.body) + json.dumps(found.stored)


def _decode(body: bytes) -> str:
    """Returns bytes as text, decompressed if they are gzip."""
    if body.startswith(_GZIP):
        with contextlib.suppress(OSError, EOFError, zlib.error):
            body = gzip.decompress(body)
    return body[:_MAX_BYTES].decode("utf-8", "backslashreplace")
