"""Defines the action ``s3.upload``."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Optional, Union

from pydantic import BeforeValidator, model_validator

from rolerunner.actions.backup_fields import BackupFields, check_backup
from rolerunner.actions.base import Action, Field, StepContext, handle_empty_source
from rolerunner.actions.compression_fields import CompressFields
from rolerunner.actions.existing_fields import ComparedFields
from rolerunner.actions.existing_objects import LOOKS
from rolerunner.actions.extra_objects import SourceKeys, delete_extra_objects, find_extra_objects
from rolerunner.actions.filter_fields import FilterFields
from rolerunner.actions.mirrors import MirrorFields
from rolerunner.actions.object_names import NameFields
from rolerunner.actions.object_plans import Report, plan_deletions, plan_transfers
from rolerunner.actions.outcomes import ByteProgress, record_outcomes
from rolerunner.actions.permissions import list_permission, object_permission
from rolerunner.actions.places import possible_targets, resolve_target
from rolerunner.actions.put_options import PutFields
from rolerunner.actions.shared_fields import OnEmpty, TransferFields
from rolerunner.actions.transfer_size import TransferSizeFields
from rolerunner.actions.upload_items import UploadItems, target_of
from rolerunner.common.file_paths import expand_path
from rolerunner.errors import LocalFileFailed, UnsafeKey
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.filters import Selection
from rolerunner.selection.manifest import EMPTY_LIST, ObjectList, placeholder_list
from rolerunner.selection.names import format_mtime
from rolerunner.selection.source_files import SkippedFiles, SourceFile, find_source_files
from rolerunner.spec.field_types import (
    DYNAMIC,
    Flag,
    LocalPath,
    S3Location,
    Text,
    check_path,
    json_form,
)
from rolerunner.storage.protocol import Storage


def _validate_paths(value: Any) -> Any:
    return [check_path(each) for each in value] if isinstance(value, list) else check_path(value)


Sources = Annotated[
    Union[str, list[LocalPath]],
    BeforeValidator(_validate_paths),
    json_form(anyOf=[{"type": "string"}, {"type": "array", "items": {"type": "string"}}]),
    DYNAMIC,
]


class S3Upload(
    FilterFields,
    NameFields,
    CompressFields,
    PutFields,
    BackupFields,
    MirrorFields,
    ComparedFields,
    TransferFields,
    TransferSizeFields,
    Action,
):
    """Upload a file, a folder, the files of a glob, or a list of files.

    Large files are uploaded in parts; the parts of a failed upload are removed. A file that changes
    while it is read is a failure, and nothing of it is stored. A step that is retried or resumed
    skips objects that are already correct, if its role may look them up.
    """

    kind: ClassVar[str] = "s3.upload"
    stores_objects: ClassVar[bool] = True
    moves_objects: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {
        "encryption": {"type": "aws:kms", "key": "alias/orders"}
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "objects": "the objects at the target, for other steps",
        "count": "how many files were stored",
        "bytes": "how many bytes were stored",
        "skipped": "how many already existed",
        "deleted": "how many extra objects were deleted",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "objects": EMPTY_LIST,
        "count": 1,
        "bytes": 1,
        "skipped": 1,
        "deleted": 1,
    }

    source: Sources = Field(
        description="A file, a folder, a glob such as /tmp/out/*.csv, or a list of them.",
        examples=["/tmp/out/", "/tmp/out/*.csv"],
    )
    target: S3Location = Field(
        description=(
            "The prefix to write under, which ends with '/'; for a single file also the object."
        ),
        examples=["s3://publish/orders/"],
    )
    symlinks: Annotated[Literal["follow", "skip", "error"], DYNAMIC] = Field(
        "follow",
        description="What to do with symbolic links: follow, skip or error.",
        examples=["skip"],
    )
    exclude_if_present: Optional[Text] = Field(
        None,
        description="Leave out folders that hold a file of this name, with all below them.",
        examples=[".no-upload"],
    )
    if_none_match: Flag = Field(
        False,
        description="Never overwrite an object: S3 itself refuses. The same as if_exists: fail.",
        examples=[True],
    )
    keep_times: Flag = Field(
        False,
        description="Store the files' modification times as metadata (mtime), as rclone does.",
        examples=[True],
    )
    on_empty: OnEmpty = Field(
        "error", description="What to do when no file matches: error, warn or ok.", examples=["ok"]
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "S3Upload":
        if self.delete_extra is True and not getattr(self.target, "key", "*"):
            raise ValueError("'delete_extra' cannot be used on a whole bucket; name a prefix")
        check_backup(self.backup, self.target, "target")
        self.check_compression()
        self.check_times()
        marker = self.exclude_if_present
        if isinstance(marker, str) and (not marker or "/" in marker):
            raise ValueError("'exclude_if_present' is the name of a file, without '/'")
        if self.if_none_match is True and self.if_exists not in ("overwrite", "fail"):
            raise ValueError("'if_none_match' never overwrites, which contradicts 'if_exists'")
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Uploads the files, many at once."""
        pacer = self.flow()
        storage = context.storage(access=self.access(customer_key=self.stored_key), flow=pacer)
        puts = UploadItems(self, storage, context)
        if puts.count == 0:
            handle_empty_source(self.on_empty, str(self.source), context)
            return {
                "objects": placeholder_list(puts.place),
                "count": 0,
                "bytes": 0,
                "skipped": 0,
                "deleted": 0,
            }
        self._check_size(puts, context)
        extra = (
            self._find_extra_objects(puts.place, storage, context)
            if self.delete_extra
            else EMPTY_LIST
        )
        backups = self.open_backups(context, "role", puts.place, pacer)
        stored = (
            storage.put(puts, context.cancel)
            if backups is None
            else backups.transfer(puts, lambda items: storage.put(items, context.cancel))
        )
        # of compressed files, the bytes that are sent are not known before
        progress = ByteProgress(context, puts.count, 0 if puts.compression else puts.bytes)
        done = record_outcomes(stored, context, puts.place, self, pacer, None, progress=progress)
        deleted = (
            0
            if done.failed
            else delete_extra_objects(extra, storage, context, done.objects, backups)
        )
        return done.outputs(objects=done.objects, skipped=done.skipped, deleted=deleted)

    def plan_objects(self, context: StepContext, report: Report) -> None:
        """Reports what would be uploaded, skipped, kept and deleted. Raises StepError."""
        storage = context.storage(access=self.access(customer_key=self.stored_key))
        puts = UploadItems(self, storage, context)
        if puts.count == 0:
            handle_empty_source(self.on_empty, str(self.source), context)
        self._check_size(puts, context)
        extra = (
            self._find_extra_objects(puts.place, storage, context)
            if self.delete_extra and puts.count
            else EMPTY_LIST
        )
        backups = self.open_backups(context, "role", puts.place)
        plan_transfers(puts, puts.if_exists, report, context, backups)
        plan_deletions(extra, "the source does not have it", report, backups)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """PutObject, and what encryption, ACL and tags need; aborting a failed upload.

        Looking up and deleting objects are added if the options need them.
        """
        return {
            "role": [
                each
                for place in possible_targets(self.target, to_folder=self._to_folder())
                for each in self._permissions_on(place)
            ]
        }

    def _permissions_on(self, place: S3Uri) -> list[Permission]:
        wanted = self.put_permissions(place)
        if self.if_exists in LOOKS or self.delete_extra:
            wanted += [list_permission(place), object_permission("s3:GetObject", place)]
        if self.delete_extra:
            wanted.append(object_permission("s3:DeleteObject", place))
        wanted += self.backup_permissions(place)
        return wanted

    def predict_outputs(self) -> Mapping[str, Any]:
        """Returns the list of objects under the target."""
        place = resolve_target(self.target, to_folder=bool(self._to_folder()))
        return {"objects": placeholder_list(place, versions=None)}

    def _to_folder(self) -> Optional[bool]:
        """Returns True if the files go below the target; None if only the run can tell."""
        if self.renames or isinstance(self.source, list) or self.source.endswith("/"):
            return True
        return None

    def place(self) -> S3Uri:
        """Returns the target: a folder, or for a single file the object."""
        return resolve_target(
            self.target,
            to_folder=bool(self._to_folder()) or not expand_path(str(self.source)).is_file(),
        )

    def _check_size(self, puts: UploadItems, context: StepContext) -> None:
        self.check_transfer_size(
            lambda report: plan_transfers(puts, puts.if_exists, report, context)
        )

    def _find_extra_objects(
        self, place: S3Uri, storage: Storage, context: StepContext
    ) -> ObjectList:
        """Lists the objects that the source does not have. Raises StepError if too many.

        Neither filters nor 'symlinks' remove a file from the source.
        """
        kept, namer = SourceKeys(), self.namer()
        for file in self.sources():
            if file.problem is not None and namer.renames:
                kept.keep_all()
                continue
            try:
                kept.add_file(file, target_of(self, file, place, namer, 0).key)
            except UnsafeKey:  # no run stores it
                continue
            except LocalFileFailed:
                kept.keep_all()
        if not kept:
            return EMPTY_LIST
        # the globs are about names at the source, which are others at the target
        selection = Selection() if namer.renames else self.selection()
        return find_extra_objects(
            place, kept.has, selection, self.deletion_limits(), storage, context
        )

    def sources(self) -> Iterator[SourceFile]:
        """Yields every file of the source, before filters, with links followed."""
        return find_source_files(self.source if isinstance(self.source, list) else [self.source])

    def files(self, left_out: Optional[SkippedFiles] = None) -> Iterator[SourceFile]:
        """Yields the selected files, unreadable ones included. Raises LocalFileFailed."""
        selection = self.selection()
        selects_everything = selection.selects_everything
        sources = self.source if isinstance(self.source, list) else [self.source]
        for file in find_source_files(
            sources, links=self.symlinks, left_out=left_out, marker=self.exclude_if_present or ""
        ):
            if selects_everything or self._is_selected(selection, file):
                yield file

    def _is_selected(self, selection: Selection, file: SourceFile) -> bool:
        if file.problem is not None:  # only the name of an unreadable folder is known
            return not selection.excludes_name(file.relative)
        try:
            status = os.stat(file.path)  # noqa: PTH116 - one of each of a million files
        except OSError:
            return True  # it disappeared, and fails when it is read
        return selection(file.relative, status.st_size, format_mtime(status.st_mtime))
