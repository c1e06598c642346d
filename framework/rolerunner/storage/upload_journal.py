"""Keeps which parts of large objects are stored, so that another attempt or run goes on with them.

The journal of a step is a text in the state of the run. It is written every few seconds, and once
more before an upload is completed: whatever it does not have is sent again.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Optional

from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.hashing import ALGORITHMS, can_compute
from rolerunner.storage.integrity import has_checksum

RESUMABLE_BYTES = 256 << 20
"""Size from which the parts of an object are kept: smaller ones are sent again within seconds."""
WRITE_SECONDS = 5.0
"""Seconds between two writes while parts are stored."""

WriteText = Callable[[str], None]
ReportUpload = Callable[[str, str, Mapping[str, Any]], None]
"""level, message, values."""


@dataclass(frozen=True)
class StoredPart:
    """A part of an upload that S3 has."""

    completed: dict[str, Any]
    """The part as CompleteMultipartUpload takes it: part number, ETag and checksums."""
    digest: str = ""
    """The digest, in hex, of which the checksum of the whole object is combined."""

    def has_content(self, data: bytes) -> bool:
        """Returns True if the part's checksum, or else its ETag, is that of these bytes."""
        checksums = (
            f"{algorithm}:{self.completed[f'Checksum{algorithm}']}"
            for algorithm in ALGORITHMS
            if f"Checksum{algorithm}" in self.completed and can_compute(algorithm)
        )
        etag = str(self.completed["ETag"]).strip('"')
        return has_checksum(data, next(checksums, f"MD5:{etag}"))


@dataclass(frozen=True)
class RecordedUpload:
    """An upload, and all that its parts depend on."""

    target: str
    upload_id: str
    source: str
    etag: str
    version: str
    size: int
    part_size: int
    options: str
    """A digest of the options that the upload was created with."""
    parts: dict[int, StoredPart] = field(default_factory=dict)
    """By part number; the journal adds those that are stored."""

    def explain_difference(self, now: RecordedUpload) -> str:
        """Returns why the parts are not those of the copy that is made now; empty if they are."""
        if (self.source, self.version, self.etag, self.size) != (
            now.source,
            now.version,
            now.etag,
            now.size,
        ):
            return "the source has changed"
        if self.part_size != now.part_size:
            return "parts have another size now"
        if self.options != now.options:
            return "metadata or options have changed"
        return ""


class UploadJournal:
    """The uploads of one step that are under way. Thread-safe.

    It stays on the machine that keeps the state: in a worker it is None.
    """

    def __init__(self, text: str, write: WriteText, report: ReportUpload) -> None:
        """``text`` is what an earlier attempt or run has written; ``write`` keeps a text."""
        self._uploads = _parse_uploads(text)
        self._write_text = write
        self._report = report
        self._next_write = 0.0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _leave_out, ()

    def find(self, target: str) -> Optional[RecordedUpload]:
        """Returns the upload of a target; None if there is none."""
        with self._lock:
            return self._uploads.get(target)

    def list_uploads(self) -> list[RecordedUpload]:
        """Returns all uploads that were neither completed nor aborted."""
        with self._lock:
            return list(self._uploads.values())

    def begin(self, upload: RecordedUpload) -> None:
        """Adds an upload, or replaces that of its target. It is written with its first parts."""
        with self._lock:
            self._uploads[upload.target] = upload
            self._next_write = max(self._next_write, time.monotonic() + WRITE_SECONDS)

    def add_part(self, target: str, part: StoredPart) -> None:
        """Adds a part that is stored. A state that cannot be written now is written later."""
        with self._lock:
            recorded = self._uploads.get(target)
            if recorded is None:
                return
            recorded.parts[part.completed["PartNumber"]] = part
            if time.monotonic() < self._next_write:
                return
            try:
                self._write()
            except StepError:
                self._next_write = time.monotonic() + WRITE_SECONDS

    def save(self) -> None:
        """Writes what is known now. Raises StepError if the state cannot be written."""
        with self._lock:
            self._write()

    def remove(self, target: str) -> None:
        """Removes an upload that was completed or aborted; that is written with the next parts."""
        with self._lock:
            self._uploads.pop(target, None)

    def report(self, level: str, message: str, **values: Any) -> None:
        """Tells the user about an upload."""
        self._report(level, message, values)

    def _write(self) -> None:
        self._write_text(json.dumps({"uploads": [*map(_to_json, self._uploads.values())]}))
        self._next_write = time.monotonic() + WRITE_SECONDS


def _leave_out() -> None:
    return None


def _to_json(upload: RecordedUpload) -> Mapping[str, Any]:
    parts = [(part.completed, part.digest) for part in upload.parts.values()]
    return {**vars(upload), "parts": parts}


def _parse_uploads(text: str) -> dict[str, RecordedUpload]:
    """Returns the uploads of a text by target; none if another action wrote it."""
    try:
        read = json.loads(text)["uploads"] if text else []
        uploads = [RecordedUpload(**{**each, "parts": _parse_parts(each)}) for each in read]
    except (ValueError, TypeError, KeyError):
        return {}
    return {upload.target: upload for upload in uploads}


def _parse_parts(upload: Mapping[str, Any]) -> dict[int, StoredPart]:
    parts = (StoredPart(completed, digest) for completed, digest in upload["parts"])
    return {part.completed["PartNumber"]: part for part in parts}
