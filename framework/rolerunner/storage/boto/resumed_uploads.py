"""Finds the parts of a large object that an earlier attempt or run has stored.

An upload is continued if the source (by ETag and version), the size of parts and the options are
those that it was begun with. Of its parts, those count that S3 lists with the right size, and with
the ETag and the checksum that were recorded; all others are sent again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any, Optional

from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage.boto.conditions import WriteRecovery, is_made_of_parts
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.hashing import decode_base64
from rolerunner.storage.parts import PartUpload
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.upload_journal import RecordedUpload, StoredPart, UploadJournal
from rolerunner.storage.upload_parts import list_parts, locate_upload

_UNUSABLE_AFTER = frozenset(
    {
        "412",
        "AlreadyThere",
        "EntityTooLarge",
        "EntityTooSmall",
        "IfMatchRefused",
        "IntegrityFailed",
        "InvalidPart",
        "InvalidPartOrder",
        "NoSuchKey",
        "NoSuchUpload",
        "NoSuchVersion",
        "NotFound",
        "PreconditionFailed",
    }
)
"""Types of errors after which the parts are of no use: the source changed, or the upload ended."""


def is_usable_after(error: BaseException) -> bool:
    """Returns True if another attempt or run can use the parts after an error."""
    return not (isinstance(error, StepError) and error.type in _UNUSABLE_AFTER)


@dataclass(frozen=True)
class ResumableUpload:
    """A large object whose parts are recorded in a journal."""

    journal: UploadJournal
    source: S3Uri
    info: ObjectInfo
    part_size: int
    algorithm: str = ""
    """The algorithm of the digests of which the checksum of the whole object is combined."""
    digest_of: Callable[[PartUpload], str] = lambda _: ""
    """Returns the digest of a part that was sent, in hex; empty if there is none."""

    def describe(self, target: S3Uri, upload_id: str, options: Mapping[str, Any]) -> RecordedUpload:
        """Returns the record of an upload without parts."""
        text = json.dumps(options, sort_keys=True, default=repr)
        info = self.info
        return RecordedUpload(
            str(target),
            upload_id,
            str(self.source),
            info.etag,
            info.version,
            info.size,
            self.part_size,
            hashlib.sha256(text.encode()).hexdigest(),
        )

    def keep(self, target: S3Uri, upload_id: str) -> None:
        """Keeps the parts of an upload that failed, and says so."""
        with contextlib.suppress(StepError):  # a later write of the state has them
            self.journal.save()
        record = self.journal.find(str(target))
        values = {
            "target": str(target),
            "upload_id": upload_id,
            "stored_parts": len(record.parts) if record is not None else 0,
        }
        message = "the parts of an interrupted upload are kept, for a resumed run to continue it"
        self.journal.report("warning", message, **values)

    def record(self, part: PartUpload, completed: dict[str, Any]) -> None:
        """Records a part that is stored."""
        stored = StoredPart(completed, self.digest_of(part))
        self.journal.add_part(str(part.target), stored)


@dataclass(frozen=True)
class FoundUpload:
    """An upload to continue, or the response to one that was completed."""

    upload_id: str = ""
    stored: Mapping[int, StoredPart] = field(default_factory=dict)
    response: Optional[Mapping[str, Any]] = None


@dataclass(frozen=True)
class ResumedUploads:
    """Finds recorded uploads again."""

    requests: BotoRequests
    recovery: WriteRecovery

    def find(
        self, target: S3Uri, options: Mapping[str, Any], resumable: ResumableUpload
    ) -> Optional[FoundUpload]:
        """Returns what an earlier attempt or run left; None, and a note, if it is of no use."""
        journal = resumable.journal
        record = journal.find(str(target))
        if record is None:
            return None
        reason = record.explain_difference(resumable.describe(target, "", options))
        found = None
        if not reason:
            found, reason = self._look_up(target, record, resumable, options)
        if found is None:
            self._abort(target, record)
            values = {"target": str(target), "upload_id": record.upload_id, "reason": reason}
            journal.report("info", "an interrupted upload begins anew", **values)
            journal.remove(str(target))
            return None
        if found.response is not None:
            message = "an earlier attempt has completed the upload"
            journal.report("info", message, target=str(target))
            journal.remove(str(target))
            return found
        size = sum(_count_bytes(number, resumable) for number in found.stored)
        count = -(-resumable.info.size // resumable.part_size)
        journal.report(
            "info",
            "an interrupted upload continues",
            target=str(target),
            upload_id=record.upload_id,
            stored_parts=len(found.stored),
            parts=count,
            stored_bytes=size,
        )
        return found

    def _look_up(
        self,
        target: S3Uri,
        record: RecordedUpload,
        resumable: ResumableUpload,
        options: Mapping[str, Any],
    ) -> tuple[Optional[FoundUpload], str]:
        """Returns the upload as S3 has it, or why it cannot be continued."""
        key = self.requests.customer_key_options("list_parts", options)
        try:
            with self.requests.translate_errors(target):
                listed = list_parts(self.requests, target, record.upload_id, customer_key=key)
        except StepError as error:
            return None, error.message
        if listed is not None:
            return FoundUpload(record.upload_id, _select_parts(listed, record, resumable)), ""
        response = self._find_completed(target, record)
        if response is not None:
            return FoundUpload(response=response), ""
        return None, "S3 no longer has the upload"

    def _find_completed(self, target: S3Uri, record: RecordedUpload) -> Optional[Mapping[str, Any]]:
        """Returns the ETag of the object that the upload became; None if it is another one."""
        parts = [record.parts[number].completed for number in sorted(record.parts)]
        if len(parts) < -(-record.size // record.part_size):
            return None
        try:
            there = self.recovery.reader.head(target)
        except StepError:  # there is none, or the role may not read it
            return None
        if there.size != record.size or not is_made_of_parts(there, parts):
            return None
        return {"ETag": f'"{there.etag}"', "VersionId": there.version}

    def _abort(self, target: S3Uri, record: RecordedUpload) -> None:
        """Aborts an upload whose parts are of no use. One that cannot be is left, with a warning.

        Its id is in the note that follows, and ``s3.cleanup`` finds it.
        """
        try:
            with self.requests.translate_errors(target):
                self.requests.call(
                    "abort_multipart_upload", **locate_upload(target, record.upload_id)
                )
        except StepError:
            return


def _select_parts(
    listed: Iterable[Mapping[str, Any]], record: RecordedUpload, resumable: ResumableUpload
) -> dict[int, StoredPart]:
    """Returns the listed parts that need not be sent again, by number."""
    found = {}
    for each in listed:
        number, etag = int(each["PartNumber"]), str(each.get("ETag", ""))
        if not etag or int(each.get("Size") or 0) != _count_bytes(number, resumable):
            continue
        checksums = {name: value for name, value in each.items() if _is_checksum(name)}
        completed = {"PartNumber": number, "ETag": etag, **checksums}
        recorded = record.parts.get(number)
        if recorded is not None:
            before = recorded.completed
            if any(completed.get(name, value) != value for name, value in before.items()):
                continue  # somebody else has sent another part
            found[number] = StoredPart(before, recorded.digest)
        else:
            digest = checksums.get(f"Checksum{resumable.algorithm}")
            found[number] = StoredPart(completed, decode_base64(digest).hex() if digest else "")
    return found


def _is_checksum(name: str) -> bool:
    return name.startswith("Checksum") and name not in ("ChecksumType", "ChecksumAlgorithm")


def _count_bytes(number: int, resumable: ResumableUpload) -> int:
    """Returns the bytes that a part has; 0 if the object has no such part."""
    start = (number - 1) * resumable.part_size
    return max(min(resumable.part_size, resumable.info.size - start), 0)
