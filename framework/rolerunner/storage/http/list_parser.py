"""Pages of ListObjectsV2, taken apart by one regular expression: a parser takes thirty times as long."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import unquote_plus

from rolerunner.errors import ServiceFailed
from rolerunner.sessions.timestamps import parse_timestamp
from rolerunner.storage.protocol import ObjectInfo, make_object_info

if TYPE_CHECKING:
    from collections.abc import Iterator

_USUAL = re.compile(
    r"<Contents><Key>([^<]*)</Key><LastModified>([^<]{10}T[^<]{8})(?:\.\d+)?Z</LastModified>"
    r"<ETag>(?:&quot;|&#34;|\")?([^<&\"]*)(?:&quot;|&#34;|\")?</ETag>"
    r"(?:<ChecksumAlgorithm>[^<]*</ChecksumAlgorithm>)?(?:<ChecksumType>[^<]*</ChecksumType>)?<Size>(\d+)</Size>"
    r"(?:<Owner>(?:[^<]|<(?!/Owner>))*</Owner>)?(?:<StorageClass>([^<]*)</StorageClass>)?</Contents>"
)
_ONE = re.compile(r"<Contents>(.*?)</Contents>", re.DOTALL)
_FIELD = re.compile(r"<(Key|LastModified|ETag|Size|StorageClass)>([^<]*)</\1>")
_STORAGE_CLASS = ObjectInfo.storage_class
_NO_PAGE = "the answer cannot be read: a listing was asked for"


class ListPage:
    """One page. Its keys are in order; the objects are made when they are asked for. Raises ServiceFailed for what is none."""

    __slots__ = ("_encoded", "_made", "_text", "first", "last", "size", "token", "truncated")

    def __init__(self, body: bytes) -> None:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise ServiceFailed(_NO_PAGE, type="InternalError") from None
        # S3 writes no <!DOCTYPE with entities of its own, and no <![CDATA[; one letter is found a hundred times as fast as two
        if (
            "<ListBucketResult" not in text[:512]
            or not text.rstrip().endswith("</ListBucketResult>")
            or ("!" in text and "<!" in text)
        ):
            raise ServiceFailed(_NO_PAGE, type="InternalError")
        self._text = text
        self._made: Optional[list[ObjectInfo]] = None
        self.size = len(body)
        self._encoded = "<EncodingType>url</EncodingType>" in text
        self.truncated = "<IsTruncated>true</IsTruncated>" in text
        self.token = _between(text, "<NextContinuationToken>", "</NextContinuationToken>")
        self.first = self._key(
            text.find("<Key>", text.find("<Contents>")) if "<Contents>" in text else -1
        )
        self.last = self._key(text.rfind("<Key>") if self.first is not None else -1)
        if self.truncated and self.token is None and self.last is None:
            raise ServiceFailed(_NO_PAGE, type="InternalError")

    def _key(self, at: int) -> Optional[str]:
        end = self._text.find("</Key>", at)
        return self._decoded(self._text[at + 5 : end]) if at >= 0 and end >= 0 else None

    def _decoded(self, key: str) -> str:
        if "&" in key:
            key = unescape(key)
        return unquote_plus(key) if self._encoded and ("%" in key or "+" in key) else key

    def is_sorted(self) -> bool:
        """Do its keys come in order?"""
        self._made = self.objects()
        keys = [info.key for info in self._made]
        return keys == sorted(keys)

    def objects(self) -> list[ObjectInfo]:
        """What it lists."""
        if self._made is not None:  # its order was looked at
            return self._made
        found = _USUAL.findall(self._text)
        if len(found) != self._text.count("<Contents>"):
            found = list(self._unusual())
        encoded = self._encoded
        made = []
        for key, second, etag, size, storage_class in found:
            if "&" in key or (encoded and ("%" in key or "+" in key)):
                key = self._decoded(key)  # noqa: PLW2901 - as it is meant
            values = {
                "key": key,
                "size": int(size),
                "etag": etag,
                "modified": f"{second}Z" if second else "",
            }
            if storage_class and storage_class != _STORAGE_CLASS:
                values["storage_class"] = storage_class
            made.append(make_object_info(values))
        return made

    def _unusual(self) -> Iterator[tuple[Any, ...]]:
        """Fields in another order, other ones between them, or blanks."""
        for each in _ONE.findall(self._text):
            fields = dict(_FIELD.findall(each))
            if "Key" not in fields or not fields.get("Size", "").isdigit():
                raise ServiceFailed(_NO_PAGE, type="InternalError")
            second = _moment(fields.get("LastModified", ""))[:-1]
            yield (
                fields["Key"],
                second,
                unescape(fields.get("ETag", "")).strip('"'),
                fields["Size"],
                fields.get("StorageClass", ""),
            )


def _moment(text: str) -> str:
    if len(text) in (20, 24) and text[-1] == "Z" and text[10] == "T":
        return f"{text[:19]}Z"
    if not text:
        return ""
    try:
        return str(parse_timestamp(text).strftime("%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        raise ServiceFailed(_NO_PAGE, type="InternalError") from None


def _between(text: str, start: str, end: str) -> Optional[str]:
    at = text.find(start)
    if at < 0:
        return None
    return unescape(text[at + len(start) : text.find(end, at)])
