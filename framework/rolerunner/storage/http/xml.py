"""S3's XML, as far as the lane reads and writes it: by regular expressions, which take a page in a thirtieth of a parser's time.

S3 writes no attributes, comments or CDATA where they look (S3 API reference). What does not look like an answer of S3's is
an error, never an empty answer.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape, unescape
from typing import TYPE_CHECKING, Optional
from urllib.parse import quote, urlencode

from rolerunner.errors import ServiceFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TAG = re.compile(rb"<Tag>\s*<Key>([^<]*)</Key>\s*<Value>([^<]*)</Value>\s*</Tag>")
_ERROR = re.compile(rb"<Error>(.*?)</Error>", re.DOTALL)
_FIELD = re.compile(rb"<(\w+)>([^<]*)</\1>")
_DELETED = re.compile(rb"(?:</DeleteResult>|<DeleteResult[^>]*/>)\s*\Z")
_SPECIAL = re.compile("[&<>\r\n\t]")
_USUAL_DELETED = re.compile(r"<Deleted>\s*<Key>([^<]*)</Key>\s*(?:<VersionId>([^<]*)</VersionId>)?")
_ANY_DELETED = re.compile(rb"<Deleted>(.*?)</Deleted>", re.DOTALL)
_NO_XML = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff\ud800-\udfff]")
"""Characters that XML 1.0 cannot hold, and the carriage return, which it does not keep."""


def decode_text(data: bytes) -> str:
    """Text with its entities resolved."""
    text = data.decode("utf-8", "replace").replace("&quot;", '"')  # around every ETag
    return unescape(text) if "&" in text else text


def find_field(body: bytes, name: str) -> str:
    """The text of the first element of this name; empty where there is none."""
    _, _, rest = body.partition(b"<%b>" % name.encode())
    text, end, _ = rest.partition(b"</%b>" % name.encode())
    return decode_text(text) if end and b"<" not in text else ""


def parse_tags(body: bytes) -> str:
    """An object's tags as x-amz-tagging has them. Raises ServiceFailed for what is no answer."""
    if body and b"TagSet" not in body:  # Ceph says nothing at all of an object without tags
        raise ServiceFailed("the answer cannot be read: tags were asked for", type="InternalError")
    return urlencode(
        [(decode_text(key), decode_text(value)) for key, value in _TAG.findall(body)],
        quote_via=quote,
    )


def is_xml_safe(text: str) -> bool:
    """Returns True for a text that comes back from XML as it went in: parsers refuse some characters and turn a carriage return into a line feed."""
    return _NO_XML.search(text) is None


def render_delete(objects: Iterable[tuple[str, str, str]]) -> bytes:
    """The body of DeleteObjects for keys, versions and ETags (the condition; empty for none). Its answer names each key."""
    parts = []
    for key, version, etag in objects:
        named = f"<VersionId>{_exact(version)}</VersionId>" if version else ""
        condition = f"<ETag>&quot;{_exact(etag)}&quot;</ETag>" if etag else ""
        parts.append(f"<Object><Key>{_exact(key)}</Key>{named}{condition}</Object>")
    return f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{"".join(parts)}<Quiet>false</Quiet></Delete>'.encode()


def _exact(key: str) -> str:
    """Escaped; line ends as references, since parsers change those that stand there as they are."""
    if _SPECIAL.search(key) is None:
        return key
    return (
        escape(key, quote=False).replace("\r", "&#13;").replace("\n", "&#10;").replace("\t", "&#9;")
    )


class DeleteResult:
    """The answer to DeleteObjects: what was deleted, and the fields of each error, by key and version."""

    def __init__(
        self, deleted: Iterable[tuple[str, str]], errors: Iterable[Mapping[str, str]]
    ) -> None:
        self._deleted = set(deleted)
        self._errors = {
            (each.get("Key") or "", each.get("VersionId") or ""): each for each in errors
        }

    def has(self, key: str, version: str) -> bool:
        """Returns True where S3 says that it was deleted."""
        return (key, version) in self._deleted or (key, "") in self._deleted

    def error_of(self, key: str, version: str) -> Optional[Mapping[str, str]]:
        """The fields of its error, if it has one."""
        return (
            (self._errors.get((key, version)) or self._errors.get((key, "")))
            if self._errors
            else None
        )


def parse_delete_result(body: bytes) -> DeleteResult:
    """Parses the answer to DeleteObjects. Raises ServiceFailed for what is no answer."""
    if not _DELETED.search(body):
        raise ServiceFailed(
            "the answer cannot be read: deletions were asked for", type="InternalError"
        )
    errors = [_fields(each) for each in _ERROR.findall(body)]
    deleted = [
        (unescape(key) if "&" in key else key, version)
        for key, version in _USUAL_DELETED.findall(body.decode("utf-8", "replace"))
    ]
    if len(deleted) != body.count(b"<Deleted>"):  # fields in another order
        deleted = [
            (fields.get("Key", ""), fields.get("VersionId", ""))
            for fields in map(_fields, _ANY_DELETED.findall(body))
        ]
    return DeleteResult(deleted, errors)


def _fields(element: bytes) -> dict[str, str]:
    return {name.decode(): decode_text(value) for name, value in _FIELD.findall(element)}


def content_md5(body: bytes) -> str:
    """As Content-MD5 has it, which DeleteObjects wants everywhere."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
