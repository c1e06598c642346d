"""Parses pages of ListObjectsV2 with one regular expression, which beats an XML parser by far."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import unquote_plus

from rolerunner.errors import UnexpectedResponse
from rolerunner.sessions.timestamps import parse_timestamp
from rolerunner.storage.protocol import ObjectInfo, make_object_info

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMON_FORM = re.compile(
    r"<Contents><Key>([^<]*)</Key><LastModified>([^<]{10}T[^<]{8})(?:\.\d+)?Z</LastModified>"
    r"<ETag>(?:&quot;|&#34;|\")?([^<&\"]*)(?:&quot;|&#34;|\")?</ETag>"
    r"(?:<ChecksumAlgorithm>[^<]*</ChecksumAlgorithm>)?(?:<ChecksumType>[^<]*</ChecksumType>)?<Size>([0-9]{1,19})</Size>"
    r"(?:<Owner>(?:[^<]|<(?!/Owner>))*</Owner>)?(?:<StorageClass>([^<]*)</StorageClass>)?</Contents>"
)
_ANY_FORM = re.compile(r"<Contents>(.*?)</Contents>", re.DOTALL)
_FIELD = re.compile(r"<(Key|LastModified|ETag|Size|StorageClass)>([^<]*)</\1>")
_NUMBER = re.compile("[0-9]{1,19}")
_STORAGE_CLASS = ObjectInfo.storage_class
_NO_PAGE = "the response cannot be parsed: it is not a listing"


class ListPage:
    """A page of a listing. Its objects are parsed on demand.

    Raises ServiceFailed if the body is not a listing.
    """

    __slots__ = (
        "_count",
        "_encoded",
        "_objects",
        "_text",
        "first",
        "last",
        "size",
        "token",
        "truncated",
    )

    def __init__(self, body: bytes) -> None:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise UnexpectedResponse(_NO_PAGE) from None
        # S3 writes neither <!DOCTYPE nor <![CDATA[; one character is found a hundred times as fast
        # as two
        if (
            "<ListBucketResult" not in text[:512]
            or not text.rstrip().endswith("</ListBucketResult>")
            or ("!" in text and "<!" in text)
        ):
            raise UnexpectedResponse(_NO_PAGE)
        self._text = text
        self._objects: Optional[list[ObjectInfo]] = None
        self.size = len(body)
        self._count = text.count("<Contents>")
        self._encoded = "<EncodingType>url</EncodingType>" in text
        self.truncated = self._parse_end()
        self.token = _find_between(text, "<NextContinuationToken>", "</NextContinuationToken>")
        self.first = self._parse_key(
            text.find("<Key>", text.find("<Contents>")) if self._count else -1
        )
        self.last = self._parse_key(text.rfind("<Key>") if self.first is not None else -1)
        if self.truncated and self.token is None and self.last is None:
            raise UnexpectedResponse(_NO_PAGE)

    def _parse_end(self) -> bool:
        """Returns True if another page follows.

        Raises ServiceFailed if the page does not say so, or has fewer keys than it says.
        """
        told = (_find_between(self._text, "<IsTruncated>", "</IsTruncated>") or "").strip().lower()
        if told not in ("true", "false"):
            raise UnexpectedResponse("the response cannot be parsed: it has no IsTruncated")
        self._check_count(_find_between(self._text, "<KeyCount>", "</KeyCount>") or "")
        return told == "true"

    def _check_count(self, expected: str) -> None:
        if not _NUMBER.fullmatch(expected) or int(expected) <= self._count:
            return
        found = self._count + self._text.count("<CommonPrefixes>")  # a search of the whole page
        if int(expected) > found:
            raise UnexpectedResponse(f"a page of the listing has {found:,} of {expected} keys")

    def _parse_key(self, at: int) -> Optional[str]:
        end = self._text.find("</Key>", at)
        return self._decode_key(self._text[at + 5 : end]) if at >= 0 and end >= 0 else None

    def _decode_key(self, key: str) -> str:
        if "&" in key:
            key = unescape(key)
        return unquote_plus(key) if self._encoded and ("%" in key or "+" in key) else key

    def is_sorted(self) -> bool:
        """Returns True if the keys are in order."""
        self._objects = self.objects()
        keys = [info.key for info in self._objects]
        return keys == sorted(keys)

    def objects(self) -> list[ObjectInfo]:
        """Returns the objects of the page."""
        if self._objects is not None:  # parsed already, to check the order
            return self._objects
        found = _COMMON_FORM.findall(self._text)
        if len(found) != self._count:
            found = list(self._parse_unusual())
        if len(found) != self._count:
            raise UnexpectedResponse(_NO_PAGE)
        encoded = self._encoded
        infos = []
        for key, second, etag, size, storage_class in found:
            if "&" in key or (encoded and ("%" in key or "+" in key)):
                key = self._decode_key(key)  # noqa: PLW2901 - decodes the key
            values = {
                "key": key,
                "size": int(size),
                "etag": etag,
                "modified": f"{second}Z" if second else "",
            }
            if storage_class and storage_class != _STORAGE_CLASS:
                values["storage_class"] = storage_class
            infos.append(make_object_info(values))
        return infos

    def _parse_unusual(self) -> Iterator[tuple[Any, ...]]:
        """Yields the fields of objects in another order, with other elements or whitespace."""
        for each in _ANY_FORM.findall(self._text):
            fields = dict(_FIELD.findall(each))
            if "Key" not in fields or not _NUMBER.fullmatch(fields.get("Size", "")):
                raise UnexpectedResponse(_NO_PAGE)
            second = _parse_time(fields.get("LastModified", ""))[:-1]
            yield (
                fields["Key"],
                second,
                unescape(fields.get("ETag", "")).strip('"'),
                fields["Size"],
                fields.get("StorageClass", ""),
            )


def _parse_time(text: str) -> str:
    if not text:
        return ""
    try:
        return str(parse_timestamp(text).strftime("%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        raise UnexpectedResponse(_NO_PAGE) from None


def _find_between(text: str, start: str, end: str) -> Optional[str]:
    at = text.find(start)
    if at < 0:
        return None
    return unescape(text[at + len(start) : text.find(end, at)])
