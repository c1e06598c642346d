"""Aborts unfinished multipart uploads, and keeps those that a resumed run goes on with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo, Outcome
from rolerunner.storage.upload_journal import UploadJournal
from rolerunner.storage.upload_parts import UPLOAD_GONE, list_parts, locate_upload

if TYPE_CHECKING:
    from rolerunner.actions.base import StepContext
    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.protocol import RequestSender, Storage


def measure_upload(
    requests: RequestSender, uri: S3Uri, upload_id: str, cancel: Cancel
) -> Optional[int]:
    """Returns the bytes of an upload's parts; None if the upload is gone."""
    parts = list_parts(requests, uri, upload_id, cancel)
    return None if parts is None else sum(int(part.get("Size") or 0) for part in parts)


@dataclass(frozen=True)
class AbortRequest:
    """Aborts an unfinished upload, whose id is the version of its ObjectInfo."""

    measure: bool

    def send(
        self, requests: RequestSender, uri: S3Uri, info: ObjectInfo, cancel: Cancel
    ) -> Outcome:
        """Aborts the upload; one that is gone is skipped."""
        size = measure_upload(requests, uri, info.version, cancel) if self.measure else 0
        gone = Outcome(uri, status="skipped")
        if size is None:
            return gone
        place = locate_upload(uri, info.version)
        aborted = requests.call_unless(UPLOAD_GONE, "abort_multipart_upload", cancel, **place)
        return gone if aborted is None else Outcome(uri, size)


def open_upload_journal(context: StepContext) -> Optional[UploadJournal]:
    """Returns the journal of the step's uploads; None if the run keeps no state."""
    work = context.started_work
    if work is None or not work.is_kept:
        return None
    return UploadJournal(
        work.read(same_inputs=False),
        lambda text: work.write(text, same_inputs=False),
        context.note,
    )


def abort_leftover_uploads(
    journal: Optional[UploadJournal], storage: Storage, context: StepContext
) -> None:
    """Aborts the uploads that a step which ended has left; a failure is a warning.

    They are of objects that failed, that are no longer at the source, or that have other targets.
    """
    for upload in journal.list_uploads() if journal is not None else ():
        uri = S3Uri.parse(upload.target)
        info = ObjectInfo(uri.key, 0, version=upload.upload_id)
        values = {"target": upload.target, "upload_id": upload.upload_id}
        for outcome in storage.send_each([info], uri.bucket, AbortRequest(False), context.cancel):
            if outcome.error is not None:
                values["reason"] = outcome.error.message
                message = "an upload of an earlier run could not be aborted; s3.cleanup finds it"
                context.note("warning", message, values)
            else:
                message = "aborted an upload that no object needs any more"
                context.note("info", message, {**values, "parts": len(upload.parts)})
