"""Defines the action ``s3.delete``."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar, Optional, Union

from pydantic import model_validator

from rolerunner.actions.backup_fields import BackupFields, check_backup
from rolerunner.actions.base import (
    Action,
    Field,
    StepContext,
    handle_empty_source,
    note_removal,
)
from rolerunner.actions.blocks import drop_versions, run_blocks
from rolerunner.actions.deletion_limits import DeletionLimits, DeletionSizeFields
from rolerunner.actions.filter_fields import FilterFields
from rolerunner.actions.object_plans import (
    Report,
    check_not_empty,
    plan_deletions,
    report_left_out,
    report_refused,
)
from rolerunner.actions.outcomes import record_outcomes
from rolerunner.actions.past_fields import check_past_fields
from rolerunner.actions.permissions import list_permission, object_permission, source_permissions
from rolerunner.actions.placement import choose_distribution
from rolerunner.actions.shared_fields import (
    DistributionFields,
    MaxDelete,
    SourceFields,
    TransferFields,
)
from rolerunner.actions.source_objects import (
    OnLeftOut,
    SourceObjects,
    check_one_source,
    collect_source,
)
from rolerunner.errors import AccessDenied, NotFound
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.manifest import EMPTY_LIST, ObjectList
from rolerunner.spec.field_types import Flag, Text
from rolerunner.storage.deleted_objects import pack_batches
from rolerunner.storage.object_lines import OutcomeBlock
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import ObjectInfo, Outcome, Storage
from rolerunner.storage.workers.placement import DELETION, Work


class S3Delete(
    FilterFields,
    BackupFields,
    DeletionSizeFields,
    TransferFields,
    DistributionFields,
    SourceFields,
    Action,
):
    """Delete an object, the objects of a prefix, or those that another step listed.

    All objects are listed first: if there are more than ``max_delete``, or if the listing fails,
    nothing is deleted. ``rolerunner plan --live`` shows how many objects would be deleted.
    """

    kind: ClassVar[str] = "s3.delete"
    deletes_objects: ClassVar[bool] = True
    looks_up_objects: ClassVar[bool] = False
    counts_transfers: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {"source": "s3://landing/tmp/", "min_age": "7d"}
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "objects": "the objects that were deleted",
        "count": "how many were deleted",
        "bytes": "how many bytes they had",
    }
    samples: ClassVar[Mapping[str, Any]] = {"objects": EMPTY_LIST, "count": 1, "bytes": 1}

    version: Optional[Text] = Field(
        None,
        description="Permanently delete this version of the single object that source names.",
        examples=["3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"],
    )
    versions: Flag = Field(
        False, description="Permanently delete every version and delete marker.", examples=[True]
    )
    max_delete: MaxDelete = Field(
        description="Maximum number of objects to delete; if there are more, none is deleted.",
        examples=[1000],
    )
    allow_all: Flag = Field(
        False, description="Required to delete the objects of a whole bucket.", examples=[True]
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "S3Delete":
        check_one_source(self.source, self.objects, self.kind)
        check_past_fields(self)
        check_backup(self.backup, self.source, "source", *self.list_globs())
        if self.backup is not None and (self.version is not None or self.versions is True):
            raise ValueError("'backup' keeps objects; it cannot be combined with versions")
        if self.version is not None and self.versions is True:
            raise ValueError("'version' and 'versions' exclude each other")
        if self.backup_suffix is not None and self.backup is None:
            raise ValueError(
                "'backup_suffix' needs 'backup' here: beside the objects, the next run would"
                " delete what this one kept"
            )
        if self.max_delete_size is not None and self.version is not None:
            raise ValueError("'max_delete_size' does not go with 'version', whose size is unknown")
        whole = isinstance(self.source, S3Uri) and not self.source.key
        if whole and self.allow_all is False:
            raise ValueError(
                f"'{self.source}' is a whole bucket; set 'allow_all: true' if this is intended"
            )
        if self.versions is True and self.source is None:
            raise ValueError(
                "'versions' applies to 'source' only; listed objects contain their versions"
            )
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Lists and counts the objects, then deletes them in batches of 1000."""
        pacer = self.flow()
        storage = context.storage(access=self.access(), flow=pacer, distribute=self.distribute)
        gathered = self._collect_source(storage, context)
        if self.on_empty != "error" and self._is_missing(gathered, storage):
            gathered = replace(gathered, refused=())
        if gathered.total == 0:
            handle_empty_source(self.on_empty, self.source_name, context)
            return {"objects": gathered.objects, "count": 0, "bytes": 0}
        self._check_limits(gathered)
        chosen = choose_distribution(self.distribute, Work(DELETION, gathered.total), context)
        if chosen is not None:
            storage = context.storage(access=self.access(), flow=pacer, distribute=chosen)
        if self.source is not None:
            note_removal(self.source_name, context)
        prefix = gathered.objects.prefix
        outcomes = self._delete(gathered.objects, storage, pacer, context)
        done = record_outcomes(
            (each for part in (outcomes, gathered.refused) for each in part),
            context,
            prefix,
            self,
            pacer,
            gathered,
        )
        return done.outputs(objects=done.objects)

    def _delete(
        self, listed: ObjectList, storage: Storage, pacer: Pacer, context: StepContext
    ) -> Iterable[Union[Outcome, OutcomeBlock]]:
        """Returns the outcomes of the deletions, which are made as they are consumed."""
        bucket = listed.prefix.bucket
        make_items = drop_versions if self._by_name() else iter
        objects = make_items(listed)
        backups = self.open_backups(context, "role", listed.prefix, pacer)
        if backups is not None:
            return backups.delete(objects, bucket, listed.path_in_bucket)
        blocks = run_blocks(storage, "delete", listed, make_items, (bucket,), bucket, context)
        if blocks is not None:
            return blocks
        return pack_batches(storage.delete_batches(objects, bucket, context.cancel), bucket)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """DeleteObject (DeleteObjectVersion for versions), and listing a prefix."""
        if self.version is not None and self.source is not None:
            return {"role": [object_permission("s3:DeleteObjectVersion", self.source)]}
        versions = self.versions is True
        listing = "s3:ListBucketVersions" if versions else "s3:ListBucket"
        listed = [list_permission(self.source, listing)] if self.source is not None else []
        return {"role": [*listed, *self._backup_permissions(), *self._delete_permissions()]}

    def _delete_permissions(self) -> list[Permission]:
        if not self._by_name():
            action = "s3:DeleteObjectVersion" if self.versions is True else "s3:DeleteObject"
            deleting = source_permissions(action, self.source, self.objects)
            return [*deleting, *self._lookup_permissions()]
        # HEAD comes first, so that only existing objects are counted
        named = [self.source] if self.source is not None else self._named_objects()
        return [
            object_permission(action, uri)
            for action in ("s3:GetObject", "s3:DeleteObject")
            for uri in named
        ]

    def _backup_permissions(self) -> list[Permission]:
        if isinstance(self.objects, ObjectList):
            return self.backup_permissions(self.objects.prefix, deletes=True)
        named = [self.source] if self.source is not None else list(self._named_objects())
        return [each for uri in named for each in self.backup_permissions(uri, deletes=True)]

    def _named_objects(self) -> list[S3Uri]:
        objects = self.objects
        return (
            [each for each in objects if isinstance(each, S3Uri)]
            if isinstance(objects, list)
            else []
        )

    def _lookup_permissions(self) -> list[Permission]:
        """Returns what filters by size or age need, if the list may not state these."""
        listed = self.objects
        if not (isinstance(listed, ObjectList) and listed.is_bare):
            return []
        return (
            source_permissions("s3:GetObject", None, replace(listed, versions=False))
            if self._reads_details()
            else []
        )

    def _reads_details(self) -> bool:
        """Returns True if the names of the objects do not suffice."""
        of_limits = self.backup is not None or self.max_delete_size is not None
        return of_limits or self.selection().reads_details

    def _check_limits(self, found: SourceObjects) -> None:
        limits = DeletionLimits(self.max_delete, self.max_delete_size)
        limits.check(found.total, found.objects.bytes, "object")

    def _by_name(self) -> bool:
        """Returns True for an object or a list of URIs, unless all versions are to be deleted."""
        return (
            not self.versions
            and self.version is None
            and not isinstance(self.objects, ObjectList)
            and not (self.source is not None and self.source.is_prefix)
        )

    def _is_missing(self, gathered: SourceObjects, storage: Storage) -> bool:
        """Returns True if no named object exists. Raises NotFound if a bucket does not."""
        missing = gathered.objects.count == 0 and all(
            isinstance(each.error, NotFound) for each in gathered.refused
        )
        # a response to HEAD has no body to distinguish a missing bucket from a missing key
        for bucket in {each.uri.bucket for each in gathered.refused} if missing else ():
            with suppress(AccessDenied):
                next(iter(storage.list(S3Uri(bucket, gathered.refused[0].uri.key), page=1)), None)
        return missing and bool(gathered.refused)

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns count and bytes of the objects that would be deleted."""
        found = self._collect_source(context.storage(access=self.access()), context)
        return {**found.summary(), "max_delete": self.max_delete}

    def plan_objects(self, context: StepContext, report: Report) -> None:
        """Reports what would be deleted, and where it would be kept. Raises StepError."""
        storage = context.storage(access=self.access())
        left_out = report_left_out(self.source, self.objects, report)
        found = self._collect_source(storage, context, left_out)
        check_not_empty(found, self, context)
        self._check_limits(found)
        report_refused(found, report)
        backups = self.open_backups(context, "role", found.objects.prefix)
        plan_deletions(
            found.objects,
            "the step selects it",
            report,
            backups,
            relative=found.objects.path_in_bucket,
        )

    def _collect_source(
        self, storage: Storage, context: StepContext, on_left_out: Optional[OnLeftOut] = None
    ) -> SourceObjects:
        if self.version is not None and self.source is not None:
            # without HEAD, which fails for a delete marker
            with context.manifest(".source") as manifest:
                manifest.add_object(ObjectInfo(self.source.key, 0, version=self.version))
            return SourceObjects(manifest.objects(self.source))
        return collect_source(
            self.source,
            self.objects,
            self.selection(),
            storage,
            context,
            versions=self.versions,
            on_left_out=on_left_out,
            # S3 reports a missing object as deleted
            looks_up=self._reads_details(),
        )
