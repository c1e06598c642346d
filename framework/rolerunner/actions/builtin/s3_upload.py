"""s3.upload"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Optional, Union

from pydantic import BeforeValidator, model_validator

from rolerunner.actions.base import Action, Field, StepContext, handle_empty_source
from rolerunner.actions.extra_objects import SourceKeys, delete_extra_objects
from rolerunner.actions.outcomes import deletion_limit_error, record_outcomes
from rolerunner.actions.permissions import list_permission, object_permission
from rolerunner.actions.places import possible_targets, resolve_target
from rolerunner.actions.put_options import PutFields
from rolerunner.actions.shared_fields import (
    Compare,
    FilterFields,
    IfExists,
    MaxDelete,
    OnEmpty,
    TransferFields,
)
from rolerunner.actions.upload_items import UploadItems
from rolerunner.common.cancellation import Cancel
from rolerunner.common.files import folder_of
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.filters import Selection
from rolerunner.selection.local_files import SkippedFiles, SourceFile, find_source_files
from rolerunner.selection.manifest import EMPTY_LIST, placeholder_list
from rolerunner.selection.names import format_mtime
from rolerunner.spec.field_types import (
    DYNAMIC,
    Flag,
    LocalPath,
    S3Location,
    check_path,
    json_form,
)
from rolerunner.storage.protocol import ObjectInfo, Storage


def _paths(value: Any) -> Any:
    return [check_path(each) for each in value] if isinstance(value, list) else check_path(value)


Sources = Annotated[
    Union[str, list[LocalPath]],
    BeforeValidator(_paths),
    json_form(anyOf=[{"type": "string"}, {"type": "array", "items": {"type": "string"}}]),
    DYNAMIC,
]


class S3Upload(FilterFields, PutFields, TransferFields, Action):
    """Store a file, a folder, the files of a glob or listed files as objects.

    Large files go in parts; parts of a failed upload are removed. A file that changes while it is read is a failure and
    nothing of it is stored. A step that is tried again or resumed skips what is right already, where the role may look.
    """

    kind: ClassVar[str] = "s3.upload"
    stores_objects: ClassVar[bool] = True
    moves_objects: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {
        "encryption": {"type": "aws:kms", "key": "alias/orders"}
    }
    outputs: ClassVar[Optional[Mapping[str, str]]] = {
        "objects": "the objects that are there now, for other steps",
        "count": "how many files were stored",
        "bytes": "how many bytes were stored",
        "skipped": "how many were there already",
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
        description="A file, a folder, a glob such as /tmp/out/*.csv, which means what include means, or a list of them.",
        examples=["/tmp/out/", "/tmp/out/*.csv"],
    )
    target: S3Location = Field(
        description="The prefix to write under (ends with '/'), or for one file the object.",
        examples=["s3://publish/orders/"],
    )
    symlinks: Annotated[Literal["follow", "skip", "error"], DYNAMIC] = Field(
        "follow",
        description="How links are treated, in a folder, a glob or a list: read, left out, or an error.",
        examples=["skip"],
    )
    if_exists: IfExists = Field(
        "overwrite",
        description="What an object that is there means; skip_same looks at it as 'compare' says.",
        examples=["skip_same"],
    )
    if_none_match: Flag = Field(
        False,
        description="Never overwrite: S3 itself refuses (the same as if_exists: fail).",
        examples=[True],
    )
    compare: Compare = Field(
        "checksum",
        description="What makes an object the same: checksum or ETag, etag, size, size_mtime.",
        examples=["size"],
    )
    delete_extra: Flag = Field(
        False,
        description="Delete objects under target that the source does not have, whatever the filters; needs max_delete.",
        examples=[True],
    )
    max_delete: Optional[MaxDelete] = Field(
        None, description="Delete so many objects at most, else none at all.", examples=[100]
    )
    on_empty: OnEmpty = Field(
        "error", description="What no file is: error, warn or ok.", examples=["ok"]
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> "S3Upload":
        if self.delete_extra is True and self.max_delete is None:
            raise ValueError(
                "'delete_extra' needs 'max_delete': how many objects may be deleted at most"
            )
        if self.delete_extra is True and not getattr(self.target, "key", "*"):
            raise ValueError("'delete_extra' on a whole bucket is not done; name a prefix")
        if self.if_none_match is True and self.if_exists not in ("overwrite", "fail"):
            raise ValueError("'if_none_match' never overwrites, and 'if_exists' says otherwise")
        return self

    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Store, many at once."""
        flow = self.flow()
        storage = context.storage(access=self.access(), flow=flow)
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
        extra = self._extra(puts.place, storage, context.cancel) if self.delete_extra else {}
        done = record_outcomes(
            storage.put(puts, context.cancel), context, puts.place, self, flow, None
        )
        deleted = 0 if done.failed else delete_extra_objects(extra, done.objects, storage, context)
        return done.outputs(objects=done.objects, skipped=done.skipped, deleted=deleted)

    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """PutObject, with what encryption, ACL and tags ask for; aborting a failed upload; looking and deleting where that is asked for."""
        return {
            "role": [
                each
                for place in possible_targets(self.target, to_folder=self._to_folder())
                for each in self._permissions_on(place)
            ]
        }

    def _permissions_on(self, place: S3Uri) -> list[Permission]:
        wanted = self.put_permissions(place)
        if self.if_exists in ("skip", "skip_same") or self.delete_extra:
            wanted += [list_permission(place), object_permission("s3:GetObject", place)]
        if self.delete_extra:
            wanted.append(object_permission("s3:DeleteObject", place))
        return wanted

    def predict_outputs(self) -> Mapping[str, Any]:
        """Objects under the target."""
        place = resolve_target(self.target, to_folder=bool(self._to_folder()))
        return {"objects": placeholder_list(place, versions=None)}

    def _to_folder(self) -> Optional[bool]:
        """Whether the files go below the target; None where that depends on what the source is when the step runs."""
        return True if isinstance(self.source, list) or self.source.endswith("/") else None

    def place(self) -> S3Uri:
        """Where the files go: a folder, or for one file the object."""
        return resolve_target(
            self.target,
            to_folder=bool(self._to_folder()) or not folder_of(str(self.source)).is_file(),
        )

    def _extra(self, place: S3Uri, storage: Storage, cancel: Cancel) -> dict[str, ObjectInfo]:
        """Objects that the source does not have, by key. Raises StepError, before anything is done, for more than may be deleted.

        The source has a file whatever the filters, and links too; objects whose names the filters leave out are kept.
        """
        kept = SourceKeys(self.sources(), place)
        means, under = self.selection(), placeholder_list(place)
        extra: dict[str, ObjectInfo] = {}
        for info in storage.list(place, cancel=cancel) if kept and place.is_prefix else ():
            relative = under.relative(info)
            if means.matches_name(relative) and not kept.has(info.key, relative):
                extra[info.key] = info
                if len(extra) > (self.max_delete or 0):
                    raise deletion_limit_error(
                        len(extra), self.max_delete or 0, "object", f" or more under {place}"
                    )
        return extra

    def sources(self) -> Iterator[SourceFile]:
        """Every file of the source, before filters, links followed."""
        return find_source_files(self.source if isinstance(self.source, list) else [self.source])

    def files(self, left_out: Optional[SkippedFiles] = None) -> Iterator[SourceFile]:
        """Each file that is meant, also one that cannot be read. Raises LocalFileFailed."""
        means = self.selection()
        sources = self.source if isinstance(self.source, list) else [self.source]
        for file in find_source_files(sources, links=self.symlinks, left_out=left_out):
            if means.selects_everything or self._is_meant(means, file):
                yield file

    def _is_meant(self, means: Selection, file: SourceFile) -> bool:
        if (
            file.problem is not None
        ):  # of a folder that cannot be read nothing is known but its name
            return not means.exclude or Selection.of((), means.exclude).matches_name(file.relative)
        try:
            status = os.stat(file.path)  # noqa: PTH116 - one of each of a million files
        except OSError:
            return True  # it vanished: a failure of this file when it is read
        return means(file.relative, status.st_size, format_mtime(status.st_mtime))
