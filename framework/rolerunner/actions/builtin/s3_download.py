"""Defines the action ``s3.download``."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Optional, Union

from pydantic import model_validator

from rolerunner.actions.base import Action, Field, MirroredFolder, StepContext, handle_empty_source
from rolerunner.actions.compression_fields import DecompressFields
from rolerunner.actions.download_items import DownloadItems
from rolerunner.actions.existing_fields import ComparedFields
from rolerunner.actions.filter_fields import FilterFields
from rolerunner.actions.mirrors import MirrorFields
from rolerunner.actions.object_names import NameFields, ObjectNamer, is_folder_marker
from rolerunner.actions.object_plans import (
    ObjectPlan,
    Report,
    check_not_empty,
    plan_transfers,
    report_left_out,
)
from rolerunner.actions.outcomes import record_outcomes
from rolerunner.actions.past_fields import PastFields, check_past_fields
from rolerunner.actions.permissions import list_permission, source_permissions
from rolerunner.actions.shared_fields import SourceFields, TransferFields
from rolerunner.actions.source_objects import (
    OnLeftOut,
    SourceObjects,
    check_one_source,
    collect_source,
)
from rolerunner.actions.targets import claim_names
from rolerunner.actions.transfer_size import TransferSizeFields
from rolerunner.common.descriptors import remove_file_below
from rolerunner.common.file_paths import expand_path
from rolerunner.common.files import count_free_bytes, is_case_insensitive
from rolerunner.errors import LocalFileFailed, UnsafeKey
from rolerunner.model import Permission
from rolerunner.selection.manifest import ObjectList, read_paths
from rolerunner.selection.names import NameSet
from rolerunner.selection.source_files import SourceFile, walk_folder
from rolerunner.spec.field_types import CustomerKey, Flag, LocalPath
from rolerunner.storage.codecs import check_installed
from rolerunner.storage.protocol import ObjectInfo, Storage


class S3Download(
    FilterFields,
    NameFields,
    PastFields,
    DecompressFields,
    MirrorFields,
    ComparedFields,
    TransferFields,
    TransferSizeFields,
    SourceFields,
    Action,
):
    """Download an object, a prefix, or the objects that another step listed, to the local disk.

    A file appears under its name complete or not at all: it is written under a temporary name
    beside it, its length and the checksum that S3 stores are verified, and then it is renamed. Keys
    that lead out of the target folder, and keys that map to one file, are failures that name the
    keys. A step that is retried or resumed skips files that are already correct.
    """

    kind: ClassVar[str] = "s3.download"
    moves_objects: ClassVar[bool] = True
    writes_local_files: ClassVar[bool] = True
    extra_noun: ClassVar[str] = "file"
    example: ClassVar[Mapping[str, Any]] = {
        "source": "s3://landing/orders/",
        "include": ["**/*.csv.gz"],
        "if_exists": "skip_same",
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "files": "the folder (or the one file) that was written",
        "count": "how many objects were downloaded",
        "bytes": "how many bytes were downloaded",
        "skipped": "how many already existed",
        "deleted": "how many extra files were deleted",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "files": "/folder",
        "count": 1,
        "bytes": 1,
        "skipped": 1,
        "deleted": 1,
    }

    target: LocalPath = Field(
        description=(
            "The folder to write to, which ends with '/'; for a single object also the file."
        ),
        examples=["/tmp/orders/"],
    )
    keep_times: Flag = Field(
        False,
        description=(
            "Set the files' modification times to those of the objects: of their metadata (mtime,"
            " as rclone stores it), or else of S3."
        ),
        examples=[True],
    )
    customer_key: Optional[CustomerKey] = Field(
        None,
        description="The SSE-C key of the objects in base64, preferably from a param.",
        examples=["${{ params.customer_key }}"],
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "S3Download":
        check_one_source(self.source, self.objects, self.kind)
        check_past_fields(self)
        self.check_decompression()
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Downloads the objects, many at once."""
        check_installed(self.decompress)
        pacer = self.flow()
        storage = context.storage(access=self.access(customer_key=self.customer_key), flow=pacer)
        target = expand_path(self.target)
        had = NameSet(folds=bool(self.delete_extra) and is_case_insensitive(target))
        gathered = self._collect_source(
            storage, context, partial(self._keep_left_out, had, self.namer())
        )
        if gathered.total == 0:
            handle_empty_source(self.on_empty, self.source_name, context)
            return {"files": str(target), "count": 0, "bytes": 0, "skipped": 0, "deleted": 0}
        gets = DownloadItems(
            self,
            gathered,
            storage,
            is_resumed=context.is_resumed,
            outputs_changed=context.outputs_changed,
        )
        gets.check_files()
        claim_names(
            ((str(path), str(gathered.objects.uri(info))) for info, path in gets.targets()), context
        )
        self._check_size(gets, context)
        self._check_disk(gets, gathered.objects)
        extra = self._find_extra_files(gets, had) if self.delete_extra else []
        with context.target_folder(target.parent if gets.to_file else target) as gets.folder:
            done = record_outcomes(
                storage.get(gets, context.cancel),
                context,
                gathered.objects.prefix,
                self,
                pacer,
                gathered,
            )
        deleted = 0 if done.failed else _delete_files(target, extra)
        return done.outputs(files=str(target), skipped=done.skipped, deleted=deleted)

    def plan_objects(self, context: StepContext, report: Report) -> None:
        """Reports what would be downloaded, skipped and deleted. Raises StepError."""
        storage = context.storage(access=self.access(customer_key=self.customer_key))
        had = NameSet()
        left_out = report_left_out(
            self.source, self.objects, report, partial(self._keep_left_out, had, self.namer())
        )
        gathered = self._collect_source(storage, context, left_out, always=True)
        check_not_empty(gathered, self, context)
        gets = DownloadItems(
            self, gathered, storage, is_resumed=False, outputs_changed=False, folds=False
        )
        gets.check_files()
        self._check_size(gets, context)
        extra = self._find_extra_files(gets, had) if self.delete_extra and gathered.total else []
        plan_transfers(gets, gets.if_exists, report, context)
        for path in extra:
            report(ObjectPlan("delete", path, "the source does not have it"))

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """GetObject (GetObjectVersion for a version), and ListBucket.

        ListBucket lists a prefix, and distinguishes a missing key from a refusal.
        """
        listed = (
            [list_permission(self.source, self.list_action())] if self.source is not None else []
        )
        return {
            "role": [
                *listed,
                *source_permissions(
                    self.past_action("s3:GetObject"),
                    self.source,
                    self.objects,
                ),
            ]
        }

    def tracked_paths(
        self, context: StepContext, outputs: Mapping[str, Any]
    ) -> Iterator[Union[str, MirroredFolder]]:
        """Yields the files of the manifest; with delete_extra also the whole folder."""
        if outputs["count"] + outputs["skipped"]:
            yield from read_paths(context.manifest_path())
        if self.delete_extra:
            yield MirroredFolder(str(outputs["files"]))

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns count and bytes."""
        found = self._collect_source(
            context.storage(access=self.access(customer_key=self.customer_key)), context
        )
        return found.summary()

    def _collect_source(
        self,
        storage: Storage,
        context: StepContext,
        on_left_out: Optional[OnLeftOut] = None,
        *,
        always: bool = False,
    ) -> SourceObjects:
        return collect_source(
            self.source,
            self.objects,
            self.selection(),
            storage,
            context,
            version=self.version or "",
            as_of=self.as_of or "",
            on_left_out=on_left_out if self.delete_extra or always else None,
        )

    def _keep_left_out(
        self, had: NameSet, namer: ObjectNamer, info: ObjectInfo, relative: str
    ) -> None:
        """Adds the name that an object would have if the filters did not leave it out."""
        if not is_folder_marker(info.key, info.size):
            with suppress(UnsafeKey):  # no run stores it
                name = namer.name(info.key, relative, info.size, info.modified, 0)
                had.add(self.decompressed_name_of(info.key, name))

    def decompressed_name_of(self, key: str, name: str) -> str:
        """Returns the name of the file for an object that has a name below the target."""
        return self.decompressed_name(name) if self.decompression(key) else name

    def _check_size(self, gets: DownloadItems, context: StepContext) -> None:
        self.check_transfer_size(
            lambda report: plan_transfers(gets, gets.if_exists, report, context)
        )

    def _check_disk(self, gets: "DownloadItems", objects: ObjectList) -> None:
        """Raises LocalFileFailed if the disk has too little space."""
        free = count_free_bytes(expand_path(self.target))
        if objects.bytes <= free:
            return
        needed = sum(
            info.size
            for info, target in gets.targets()
            if not target.exists() or target.stat().st_size != info.size
        )
        if needed > free:
            hint = "Glue Python Shell has some 14 GB free in /tmp, Spark workers 94 GB"
            raise LocalFileFailed(
                f"{self.target}: {needed:,} bytes are needed, and {free:,} are free",
                hint=hint,
                type="DiskFull",
            )

    def _find_extra_files(self, gets: "DownloadItems", had: "NameSet") -> list[str]:
        """Returns the files that the source does not have. Raises StepError if they are too many.

        Filters do not remove an object from the source (``had`` holds those that they leave out).
        Files whose names the globs leave out are kept, unless the objects have other names.
        """
        target, selection = expand_path(self.target), self.selection()
        kept = NameSet(folds=had.folds)
        for _, path in gets.targets():
            kept.add(str(path))
        below = walk_folder(str(target), links="skip") if kept and target.is_dir() else iter(())
        found = (
            file
            for file in below
            if _is_readable(file) and (self.renames or selection.matches_name(file.relative))
        )
        extra = [file.path for file in found if file.path not in kept and file.relative not in had]
        size = 0 if self.max_delete_size is None else sum(map(os.path.getsize, extra))
        self.deletion_limits().check(len(extra), size, "file", f" below {target}")
        return extra


def _is_readable(file: SourceFile) -> bool:
    """Returns True for a regular file, False for a pipe or device.

    Raises LocalFileFailed for a folder that cannot be read.
    """
    if file.problem is not None and file.problem.type != "NotAFile":
        raise file.problem
    return file.problem is None


def _delete_files(folder: Path, extra: Sequence[str]) -> int:
    for path in extra:
        remove_file_below(str(folder), path)
    return len(extra)
