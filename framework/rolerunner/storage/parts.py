"""Byte ranges of objects and parts of multipart uploads, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo

if TYPE_CHECKING:
    from rolerunner.storage.upload_journal import StoredPart


@dataclass(frozen=True)
class ObjectRange:
    """A byte range of the object that ``info`` describes, never of a later version of it."""

    uri: S3Uri
    info: ObjectInfo
    start: int
    length: int

    @property
    def is_whole(self) -> bool:
        """True if the range is the whole object, so that its checksum can be verified."""
        return self.start == 0 and self.length == self.info.size > 0

    @property
    def byte_range(self) -> str:
        """The value of a Range header."""
        return f"bytes={self.start}-{self.start + self.length - 1}"

    @property
    def if_match(self) -> str:
        """The value of an If-Match header, which turns a change of the object into a 412."""
        return f'"{self.info.etag}"'


@dataclass(frozen=True)
class PartUpload:
    """One part of a multipart upload: ``length`` bytes of the whole, from the byte ``start`` on."""

    target: S3Uri
    upload_id: str
    number: int
    start: int
    length: int
    options: Mapping[str, Any] = field(default_factory=dict)
    """The options of the upload, named as PutObject's."""
    stored: Optional[StoredPart] = None
    """The part as an earlier attempt or run stored it, which need not be sent again."""

    @property
    def end(self) -> int:
        """The first byte after the part."""
        return self.start + self.length
