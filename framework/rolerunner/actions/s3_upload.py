"""s3.upload"""

import mimetypes
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Optional, Union

from pydantic import BeforeValidator, model_validator

from rolerunner.actions.base import Action, Field, StepContext, handle_empty_source
from rolerunner.actions.objects import (
    Compare,
    FilterFields,
    IfExists,
    MaxDelete,
    OnEmpty,
    TransferFields,
    deletion_limit_error,
    format_mtime,
    name_digest,
    record_outcomes,
)
from rolerunner.actions.permissions import list_permission, object_permission
from rolerunner.actions.places import possible_targets, resolve_target
from rolerunner.actions.put_options import PutFields
from rolerunner.common.cancellation import Cancel
from rolerunner.common.files import folder_of
from rolerunner.errors import AccessDenied, StepError, UnsafeKey
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.collisions import find_collision
from rolerunner.selection.filters import Selection
from rolerunner.selection.local_files import SkippedFiles, SourceFile, find_source_files
from rolerunner.selection.manifest import EMPTY_LIST, ObjectList, placeholder_list
from rolerunner.selection.target_index import TargetIndex
from rolerunner.spec.fields import (
    DYNAMIC,
    MAX_KEY,
    Flag,
    LocalPath,
    S3Location,
    check_path,
    json_form,
)
from rolerunner.storage.integrity import is_same_file
from rolerunner.storage.protocol import ObjectInfo, Outcome, Put, Storage


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
        puts = _Puts(self, storage, context)
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
        deleted = 0 if done.failed else _delete_extra(extra, done.objects, storage, context)
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
        kept = _Kept(self.sources(), place)
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


class _Kept:
    """Names that the source has. Below a folder that cannot be read it may have any."""

    def __init__(self, files: Iterable[SourceFile], place: S3Uri) -> None:
        self._keys: set[bytes] = set()
        self._unreadable: set[str] = set()
        for file in files:
            self._keys.add(name_digest(_object_of(place, file.relative).key))
            if file.problem is not None:
                self._unreadable.add(file.relative)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def has(self, key: str, relative: str) -> bool:
        """Returns True unless the source has no such file for certain."""
        if name_digest(key) in self._keys or "" in self._unreadable:
            return True
        return bool(self._unreadable) and any(
            relative[:at] in self._unreadable for at, each in enumerate(relative) if each == "/"
        )


def _object_of(place: S3Uri, relative: str) -> S3Uri:
    """Where a file goes."""
    return place.join(relative) if place.is_prefix else place


def _delete_extra(
    extra: Mapping[str, ObjectInfo], stored: ObjectList, storage: Storage, context: StepContext
) -> int:
    """How many were deleted, none of those that were stored meanwhile. Raises StepError for those that could not be."""
    if not extra:
        return 0
    own = {info.key for info in stored if info.key in extra}
    doomed = [info for key, info in extra.items() if key not in own]
    outcomes = list(storage.delete(doomed, stored.prefix.bucket, context.cancel))
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    if failed:
        first = failed[0]
        raise StepError(
            f"{len(failed):,} of {len(doomed):,} extra objects were not deleted: {first.message}",
            hint=first.hint,
            type=first.type,
        )
    return len(doomed)


class _Puts:
    """What to store and where, drawn as the engine asks for it. What cannot be a key, or lands on another's, is refused."""

    def __init__(self, action: S3Upload, storage: Storage, context: StepContext) -> None:
        self.action = action
        self.place = action.place()
        self.storage = storage
        self.cancel = context.cancel
        left_out = SkippedFiles()
        self.count = sum(1 for _ in action.files(left_out))
        if left_out.count:
            context.note("warning", f"{action.source}: {left_out}", {})
        self.if_exists = "fail" if action.if_none_match else action.if_exists
        self.is_retry = context.is_retry
        self.lenient = context.is_resumed and self.if_exists == "overwrite"
        self.if_exists = "skip_same" if self.lenient else self.if_exists
        # what an earlier try stored is recognised by its content
        self.compare = "checksum" if self.lenient else action.compare
        self.options = {
            **action.put_options(),
            **({"IfNoneMatch": "*"} if self.if_exists == "fail" else {}),
        }
        self._check_keys()

    def _check_keys(self) -> None:
        """Raises UnsafeKey, before anything is stored, where two files have one key. Files of one folder have keys that differ as their paths do."""
        action = self.action
        if not isinstance(action.source, list) and folder_of(action.source).is_dir():
            return
        found = find_collision(
            lambda: (
                (_object_of(self.place, file.relative).key, file.path)
                for file in action.files()
                if file.problem is None
            )
        )
        if found is not None:
            place = S3Uri(action.target.bucket, found.name)
            hint = "nothing was stored; store them in steps of their own, to targets that differ"
            raise UnsafeKey(
                f"{found.one} and {found.other} would both be {place}", hint=hint, type="SameKey"
            )

    def __iter__(self) -> Iterator[Union[Put, Outcome]]:
        looks = self.if_exists in ("skip", "skip_same")
        existing = (
            TargetIndex(self.storage, self.place, self.count, self.cancel, lenient=self.lenient)
            if looks
            else None
        )
        for relative, path, problem in self.action.files():
            target = _object_of(self.place, relative)
            try:
                if problem is not None:
                    raise problem
                _check_key(target, path)
                there = existing.find(target) if existing is not None else None
            except StepError as error:
                yield Outcome(target, path=path, status="failed", error=error)
                continue
            if there is not None and self.if_exists == "skip":
                yield Outcome(target, there.size, path, there.etag, status="skipped")
                continue
            skip = None if there is None else partial(self._is_same, Path(path), target, there)
            follow = self.action.symlinks == "follow"
            yield Put(
                path,
                target,
                {"ContentType": content_type(path), **self.options},
                skip,
                follow,
                self.is_retry,
            )

    def _is_same(self, path: Path, uri: S3Uri, there: ObjectInfo) -> bool:
        head = partial(self.storage.head, uri)
        try:
            same = is_same_file(
                path, there, self.compare, head, lambda: self.storage.get_part_size(uri, there)
            )
        except AccessDenied:
            if self.lenient:
                return False
            raise
        return same and (
            self.compare != "size_mtime" or there.modified >= format_mtime(path.stat().st_mtime)
        )


def _check_key(target: S3Uri, path: str) -> None:
    try:
        length = len(target.key.encode())
    except UnicodeEncodeError:
        raise UnsafeKey(
            f"{os.fsencode(path)!r}: the name is not UTF-8, which keys must be"
        ) from None
    if length > MAX_KEY:
        raise UnsafeKey(f"{path}: its key would have {length:,} bytes, {MAX_KEY:,} at most")


def content_type(path: str) -> str:
    """What a file is, by its name."""
    name = os.path.basename(path)  # noqa: PTH119 - one of each of a million files
    _, dot, endings = name.lstrip(".").partition(".")
    return _kind_of(f"x.{endings}" if dot else "")


@lru_cache(maxsize=1024)
def _kind_of(name: str) -> str:
    """A file's type by the endings of its name: many files have the same ones, and to look one up takes as long as to send it."""
    kind, encoding = mimetypes.guess_type(name)
    if encoding == "gzip":
        return "application/gzip"
    return kind or "application/octet-stream"
