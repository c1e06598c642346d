"""Defines the action ``s3.cleanup``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Optional

from rolerunner.actions.base import Action, Field, StepContext, handle_empty_source
from rolerunner.actions.blocks import send_each
from rolerunner.actions.deletion_limits import DeletionLimits
from rolerunner.actions.filter_fields import GlobFields
from rolerunner.actions.object_plans import ObjectPlan, Report
from rolerunner.actions.outcomes import record_outcomes
from rolerunner.actions.permissions import object_permission
from rolerunner.actions.placement import choose_distribution
from rolerunner.actions.shared_fields import DistributionFields, MaxDelete, OnEmpty, TransferFields
from rolerunner.actions.source_objects import SourceObjects
from rolerunner.actions.unfinished_uploads import AbortRequest, measure_upload
from rolerunner.common.cancellation import Cancel
from rolerunner.iam.actions_table import build_bucket_arn
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Permission, S3Uri
from rolerunner.spec.field_types import Flag, S3Location, Seconds
from rolerunner.storage.protocol import (
    ObjectInfo,
    Outcome,
    RequestSender,
    Storage,
    UnfinishedUpload,
)
from rolerunner.storage.workers.placement import BOTO_REQUEST, Work


class S3Cleanup(GlobFields, TransferFields, DistributionFields, Action):
    """Abort multipart uploads that were begun long ago and never completed.

    S3 keeps and bills the parts of an unfinished upload, and no listing of objects shows them. An
    upload that still runs looks the same, so ``min_age`` must be longer than the longest upload
    takes, those of this job included. All uploads are listed first: if there are more than
    ``max_delete``, or if the listing fails, none is aborted. ``rolerunner plan --live`` shows how
    many there are.
    """

    kind: ClassVar[str] = "s3.cleanup"
    counts_transfers: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {"min_age": "7d"}
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "count": "how many uploads were aborted",
        "bytes": "how many bytes their parts had, with 'measure'; else 0",
        "skipped": "how many were completed or aborted by others meanwhile",
    }
    samples: ClassVar[Mapping[str, Any]] = {"count": 1, "bytes": 1, "skipped": 1}

    source: S3Location = Field(
        description="A bucket, a prefix that ends with '/', or the key of an object.",
        examples=["s3://landing/", "s3://landing/orders/"],
    )
    min_age: Seconds = Field(
        7 * 86_400.0,
        description="Leave out uploads that were begun more recently than this.",
        examples=["7d"],
    )
    max_delete: MaxDelete = Field(
        description="Maximum number of uploads to abort; if there are more, none is aborted.",
        examples=[100],
    )
    measure: Flag = Field(
        False,
        description="Add up the bytes of the parts: one more request for each upload.",
        examples=[True],
    )
    on_empty: OnEmpty = Field(
        "ok",
        description="What to do when there is no such upload: error, warn or ok.",
        examples=["warn"],
    )

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Lists the uploads, then aborts them, many at once."""
        pacer = self.flow()
        storage = context.storage(access=self.access(), flow=pacer, distribute=self.distribute)
        found = self._collect_uploads(storage, context)
        if found.total == 0:
            what = f"the unfinished uploads of {self.source}"
            handle_empty_source(self.on_empty, what, context)
            return {"count": 0, "bytes": 0, "skipped": 0}
        DeletionLimits(self.max_delete).check(found.total, 0, "unfinished upload")
        chosen = choose_distribution(self.distribute, Work(BOTO_REQUEST, found.total), context)
        if chosen is not None:
            storage = context.storage(access=self.access(), flow=pacer, distribute=chosen)
        outcomes = send_each(storage, found.objects, iter, AbortRequest(self.measure), context)
        done = record_outcomes(outcomes, context, self.source, self, pacer, found)
        return done.outputs(count=done.count, skipped=done.skipped)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """ListBucketMultipartUploads, AbortMultipartUpload; ListMultipartUploadParts to measure."""
        needed = [
            Permission("s3:ListBucketMultipartUploads", build_bucket_arn(self.source)),
            object_permission("s3:AbortMultipartUpload", self.source),
        ]
        if self.measure is not False:
            needed.append(object_permission("s3:ListMultipartUploadParts", self.source))
        return {"role": needed}

    def list_read_fields(self) -> tuple[str, ...]:
        """Returns nothing: unfinished uploads are no objects."""
        return ()

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns how many uploads would be aborted, when the oldest began, and their bytes."""
        storage = context.storage(access=self.access())
        found = self._collect_uploads(storage, context)
        oldest = min((info.modified for info in found.objects), default="")
        return {
            "count": found.total,
            **({"oldest": oldest} if oldest else {}),
            **({"bytes": self._measure_all(found, storage, context)} if self.measure else {}),
            "max_delete": self.max_delete,
        }

    def plan_objects(self, context: StepContext, report: Report) -> None:
        """Reports the uploads that would be aborted. Raises StepError."""
        found = self._collect_uploads(context.storage(access=self.access()), context)
        DeletionLimits(self.max_delete).check(found.total, 0, "unfinished upload")
        for info in found.objects:
            reason = f"upload {info.version} was begun at {info.modified}"
            report(ObjectPlan("abort", str(found.objects.uri(info)), reason))

    def _measure_all(self, found: SourceObjects, storage: Storage, context: StepContext) -> int:
        outcomes = storage.send_each(
            found.objects, self.source.bucket, MeasureRequest(), context.cancel
        )
        total = 0
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
            total += outcome.size
        return total

    def _collect_uploads(self, storage: Storage, context: StepContext) -> SourceObjects:
        """Lists the uploads to disk. Raises StepError if the listing is not complete."""
        timeless = 0
        with context.manifest(".source") as manifest:
            listed = manifest.objects(self.source)
            for upload in self._iterate_selected(storage, context):
                if upload.age is None:
                    timeless += 1
                elif upload.age >= self.min_age:
                    manifest.add_object(
                        ObjectInfo(
                            upload.key, 0, modified=upload.initiated, version=upload.upload_id
                        )
                    )
        if timeless:
            context.note(
                "warning",
                f"{self.source}: the server does not say when {timeless:,} unfinished uploads were"
                " begun; they are kept",
                {},
            )
        return SourceObjects(replace(listed, count=manifest.count, bytes=manifest.bytes))

    def _iterate_selected(
        self, storage: Storage, context: StepContext
    ) -> Iterator[UnfinishedUpload]:
        chosen = self.name_selection()
        folder = self.source.key.rfind("/") + 1
        for upload in storage.list_uploads(self.source, context.cancel):
            is_meant = self.source.is_prefix or upload.key == self.source.key
            if is_meant and chosen(upload.key[folder:], 0, ""):
                yield upload


@dataclass(frozen=True)
class MeasureRequest:
    """Adds up the bytes of an unfinished upload, whose id is the version of its ObjectInfo."""

    def send(
        self, requests: RequestSender, uri: S3Uri, info: ObjectInfo, cancel: Cancel
    ) -> Outcome:
        """Lists the parts; an upload that is gone has none."""
        return Outcome(uri, measure_upload(requests, uri, info.version, cancel) or 0)
