"""s3.download"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Optional, Union

from pydantic import model_validator

from rolerunner.actions.base import Action, Field, MirroredFolder, StepContext, handle_empty_source
from rolerunner.actions.download_items import DownloadItems
from rolerunner.actions.outcomes import deletion_limit_error, record_outcomes
from rolerunner.actions.permissions import list_permission, source_permissions
from rolerunner.actions.shared_fields import (
    Compare,
    FilterFields,
    IfExists,
    MaxDelete,
    ObjectsField,
    OnEmpty,
    TransferFields,
)
from rolerunner.actions.source_objects import SourceObjects, check_one_source, collect_source
from rolerunner.common.files import (
    folder_of,
    folds_case,
    free_bytes,
    remove_below,
)
from rolerunner.errors import LocalFileFailed
from rolerunner.model import Permission
from rolerunner.selection.local_files import SourceFile, walk_folder
from rolerunner.selection.manifest import ObjectList, read_paths
from rolerunner.selection.names import NameSet
from rolerunner.spec.field_types import DYNAMIC, CustomerKey, Flag, LocalPath, S3Location, Text
from rolerunner.storage.protocol import Storage


class S3Download(FilterFields, TransferFields, Action):
    """Fetch an object, a prefix, or the objects that another step listed, to the local disk.

    Each file appears whole under its name or not at all: it is written under a temporary name beside it, its length and
    the checksum that S3 keeps are checked, then it is renamed. Keys that would lead out of the target folder, and keys
    that land on one file, are failures that name them. A step that is tried again or resumed skips what is right already.
    """

    kind: ClassVar[str] = "s3.download"
    moves_objects: ClassVar[bool] = True
    writes_local_files: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {
        "source": "s3://landing/orders/",
        "include": ["**/*.csv.gz"],
        "if_exists": "skip_same",
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "files": "the folder (or the one file) that was written",
        "count": "how many objects were fetched",
        "bytes": "how many bytes were fetched",
        "skipped": "how many were there already",
        "deleted": "how many extra files were deleted",
    }
    samples: ClassVar[Mapping[str, Any]] = {
        "files": "/folder",
        "count": 1,
        "bytes": 1,
        "skipped": 1,
        "deleted": 1,
    }

    source: Optional[S3Location] = Field(
        None,
        description="One object, or a prefix that ends with '/'.",
        examples=["s3://landing/orders/"],
    )
    objects: ObjectsField = Field(
        None,
        description="Objects that another step listed, or a list of s3:// URIs; instead of source.",
        examples=["${{ steps.find.objects }}"],
    )
    version: Optional[Text] = Field(
        None,
        description="The version of the one object that source names.",
        examples=["3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"],
    )
    target: LocalPath = Field(
        description="The folder to write below (ends with '/'), or for one object the file.",
        examples=["/tmp/orders/"],
    )
    if_exists: IfExists = Field(
        "overwrite",
        description="What a file that is there means; skip_same looks at it as 'compare' says.",
        examples=["skip_same"],
    )
    compare: Compare = Field(
        "checksum",
        description="What makes a file the same: checksum or ETag, etag, size, size_mtime.",
        examples=["size"],
    )
    decompress: Optional[Annotated[Literal["gzip"], DYNAMIC]] = Field(
        None,
        description="Unpack objects whose key ends with .gz; the file's name loses it.",
        examples=["gzip"],
    )
    keep_times: Flag = Field(
        False, description="Give files the objects' time of modification.", examples=[True]
    )
    delete_extra: Flag = Field(
        False,
        description="Delete files below target that the source does not have, whatever the filters; needs max_delete.",
        examples=[True],
    )
    max_delete: Optional[MaxDelete] = Field(
        None, description="Delete so many files at most, else none at all.", examples=[100]
    )
    customer_key: Optional[CustomerKey] = Field(
        None,
        description="The SSE-C key of the objects, in base64; best from a param.",
        examples=["${{ params.customer_key }}"],
    )
    on_empty: OnEmpty = Field(
        "error", description="What nothing to fetch is: error, warn or ok.", examples=["ok"]
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "S3Download":
        check_one_source(self.source, self.objects, self.kind)
        if self.version is not None and (
            self.source is None or getattr(self.source, "is_prefix", False)
        ):
            raise ValueError("'version' goes with a 'source' that is one object")
        if self.decompress is not None and self.if_exists == "skip_same":
            raise ValueError(
                "'skip_same' cannot tell an unpacked file; say 'if_exists: skip' or 'overwrite'"
            )
        if self.delete_extra is True and self.max_delete is None:
            raise ValueError(
                "'delete_extra' needs 'max_delete': how many files may be deleted at most"
            )
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Fetch, many at once."""
        flow = self.flow()
        storage = context.storage(access=self.access(customer_key=self.customer_key), flow=flow)
        target = folder_of(self.target)
        had = NameSet(folds=bool(self.delete_extra) and folds_case(target))
        gathered = self._gathered(
            storage, context, lambda relative: had.add(self.name_of(relative))
        )
        if gathered.total == 0:
            handle_empty_source(self.on_empty, str(self.source or "the listed objects"), context)
            return {"files": str(target), "count": 0, "bytes": 0, "skipped": 0, "deleted": 0}
        gets = DownloadItems(
            self,
            gathered,
            storage,
            is_resumed=context.is_resumed,
            outputs_changed=context.outputs_changed,
        )
        gets.check_files()
        self._check_disk(gets, gathered.objects)
        extra = self._extra(gets, had) if self.delete_extra else []
        with context.target_folder(target.parent if gets.to_file else target) as gets.folder:
            done = record_outcomes(
                storage.get(gets, context.cancel),
                context,
                gathered.objects.prefix,
                self,
                flow,
                gathered,
            )
        deleted = 0 if done.failed else _delete_files(target, extra)
        return done.outputs(files=str(target), skipped=done.skipped, deleted=deleted)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """GetObject (GetObjectVersion for a version); ListBucket for a prefix, and so that a missing key is told from a refusal."""
        listed = [list_permission(self.source)] if self.source is not None else []
        return {
            "role": [
                *listed,
                *source_permissions(
                    "s3:GetObjectVersion" if self.version else "s3:GetObject",
                    self.source,
                    self.objects,
                ),
            ]
        }

    def tracked_paths(
        self, context: StepContext, outputs: Mapping[str, Any]
    ) -> Iterator[Union[str, MirroredFolder]]:
        """The files of its manifest; with delete_extra the folder as a whole, too."""
        if outputs["count"] + outputs["skipped"]:
            yield from read_paths(context.manifest_path())
        if self.delete_extra:
            yield MirroredFolder(str(outputs["files"]))

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Count and bytes."""
        found = self._gathered(
            context.storage(access=self.access(customer_key=self.customer_key)), context
        )
        return found.summary()

    def _gathered(
        self,
        storage: Storage,
        context: StepContext,
        on_left_out: Optional[Callable[[str], None]] = None,
    ) -> SourceObjects:
        if self.version is not None and self.source is not None:
            with context.manifest(".source") as manifest:
                manifest.add_object(storage.head(self.source, self.version))
            return SourceObjects(manifest.objects(self.source))
        return collect_source(
            self.source,
            self.objects,
            self.selection(),
            storage,
            context,
            on_left_out=on_left_out if self.delete_extra else None,
        )

    def name_of(self, relative: str) -> str:
        """The path of the file that an object becomes, relative to the target."""
        return relative.removesuffix(".gz") if self.decompress is not None else relative

    def _check_disk(self, gets: "DownloadItems", objects: ObjectList) -> None:
        """Raises LocalFileFailed where the disk cannot hold what is to come; looked at file by file only where it is tight."""
        free = free_bytes(folder_of(self.target))
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
                f"{self.target}: {needed:,} bytes are to come, and {free:,} are free",
                hint=hint,
                type="DiskFull",
            )

    def _extra(self, gets: "DownloadItems", had: "NameSet") -> list[str]:
        """Files that the source does not have. Raises StepError, before anything is done, for more than may be deleted.

        The source has an object whatever the filters (``had``: those left out); files whose names the filters leave out are kept.
        """
        target, selection = folder_of(self.target), self.selection()
        kept = NameSet(folds=had.folds)
        for _, path in gets.targets():
            kept.add(str(path))
        below = walk_folder(str(target), links="skip") if kept and target.is_dir() else iter(())
        found = (
            file for file in below if _is_readable(file) and selection.matches_name(file.relative)
        )
        extra = [file.path for file in found if file.path not in kept and file.relative not in had]
        most = self.max_delete or 0
        if len(extra) > most:
            raise deletion_limit_error(len(extra), most, "file", f" below {target}")
        return extra


def _is_readable(file: SourceFile) -> bool:
    """Whether it is a regular file; a pipe or a device is none of ours. Raises LocalFileFailed for a folder that cannot be read."""
    if file.problem is not None and file.problem.type != "NotAFile":
        raise file.problem
    return file.problem is None


def _delete_files(folder: Path, extra: Sequence[str]) -> int:
    for path in extra:
        remove_below(str(folder), path)
    return len(extra)
