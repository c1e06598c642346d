"""The uploads that s3.upload requests: which file becomes which object, and which are skipped."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Union

from rolerunner.actions.base import StepContext
from rolerunner.actions.existing_objects import LOOKS, NEVER_OVERWRITES, require_same
from rolerunner.actions.name_store import NameOf, NameStore
from rolerunner.actions.object_names import ObjectNamer
from rolerunner.actions.targets import claim_names
from rolerunner.common.file_errors import translate_os_errors
from rolerunner.common.file_paths import expand_path
from rolerunner.errors import AccessDenied, StepError, UnsafeKey
from rolerunner.model import S3Uri
from rolerunner.selection.collisions import find_collision
from rolerunner.selection.names import format_mtime
from rolerunner.selection.source_files import SkippedFiles, SourceFile
from rolerunner.selection.target_index import TargetIndex
from rolerunner.spec.field_types import (
    MAX_KEY,
)
from rolerunner.storage.file_comparison import BY_STATUS, BY_TIME, is_same_file
from rolerunner.storage.protocol import ObjectInfo, Outcome, Put, QuickCheck, Storage

if TYPE_CHECKING:
    from rolerunner.actions.builtin.s3_upload import S3Upload

_MAX_MEASURED = 10_000
"""Files that are measured before the first one is stored, for the progress of large ones."""


def target_object(place: S3Uri, relative: str) -> S3Uri:
    """Returns the target of a file."""
    return place.join(relative) if place.is_prefix else place


def target_of(
    action: S3Upload,
    file: SourceFile,
    place: S3Uri,
    namer: ObjectNamer,
    number: int,
    name_of: Optional[NameOf] = None,
) -> S3Uri:
    """Returns the target of a file under its new name. Raises UnsafeKey, LocalFileFailed.

    ``name_of`` takes the place of the namer's own function.
    """
    target = _name_target(file, place, namer, number, name_of or namer.name)
    is_named = not place.is_prefix or action.name is not None
    return action.compressed_target(target, is_named=is_named)


def _name_target(
    file: SourceFile, place: S3Uri, namer: ObjectNamer, number: int, name_of: NameOf
) -> S3Uri:
    target = target_object(place, file.relative)
    if not namer.renames:
        return target
    size, modified = 0, ""
    if namer.reads_status:
        with translate_os_errors(file.path):
            status = os.stat(file.path)  # noqa: PTH116 - one of each of a million files
        size, modified = status.st_size, format_mtime(status.st_mtime)
    return place.join(name_of(target.key, file.relative, size, modified, number))


class UploadItems:
    """The uploads of a step, generated as the engine consumes them.

    Files whose names cannot be keys, and files that map to one key, are refused.
    """

    def __init__(self, action: S3Upload, storage: Storage, context: StepContext) -> None:
        self.action = action
        self.place = action.place()
        self.storage = storage
        self.cancel = context.cancel
        left_out = SkippedFiles()
        self.count, self.bytes = _measure_files(action.files(left_out))
        if left_out.count:
            context.note("warning", f"{action.source}: {left_out}", {})
        self.if_exists = "fail" if action.if_none_match else action.if_exists
        self.is_retry = context.is_retry
        self.compression = action.compression()
        # a compressed object cannot be compared with its file, and is stored again
        self.lenient = (
            context.is_resumed and self.if_exists == "overwrite" and self.compression is None
        )
        self.if_exists = "skip_same" if self.lenient else self.if_exists
        # what an earlier try stored is recognised by its content
        self.compare = "checksum" if self.lenient else action.compare
        self.options = {
            **action.compression_options(),
            **action.put_options(),
            **({"IfNoneMatch": "*"} if self.if_exists in NEVER_OVERWRITES else {}),
        }
        self.namer = action.namer()
        self._names = NameStore(self.namer)
        self._check_keys()
        claim_names(
            (
                (str(target), file.path)
                for file, target in self._find_targets()
                if not isinstance(target, StepError)
            ),
            context,
        )

    def _check_keys(self) -> None:
        """Raises UnsafeKey, before anything is stored, if two files map to one key.

        Files of one folder have different keys, as their paths differ, unless they are renamed.
        """
        action = self.action
        of_folder = not isinstance(action.source, list) and expand_path(action.source).is_dir()
        if of_folder and not self.namer.renames:
            return
        found = find_collision(
            lambda: (
                (target.key, file.path)
                for file, target in self._find_targets()
                if not isinstance(target, StepError)
            )
        )
        if found is not None:
            place = S3Uri(action.target.bucket, found.name)
            hint = "nothing was stored; store them in separate steps, to different targets"
            raise UnsafeKey(
                f"{found.one} and {found.other} would both be {place}", hint=hint, type="SameKey"
            )

    def __iter__(self) -> Iterator[Union[Put, Outcome]]:
        looks = self.if_exists in LOOKS
        existing = (
            TargetIndex(self.storage, self.place, self.count, self.cancel, lenient=self.lenient)
            if looks
            else None
        )
        for file, target in self._find_targets():
            path = file.path
            try:
                if isinstance(target, StepError):
                    raise target
                _check_key_length(target, path)
                there = existing.find(target) if existing is not None else None
            except StepError as error:
                uri = target_object(self.place, file.relative)
                yield Outcome(uri, path=path, status="failed", error=error)
                continue
            if there is not None and self.if_exists == "skip":
                yield Outcome(target, there.size, path, there.etag, status="skipped")
                continue
            skip = None if there is None else self._make_check(Path(path), target, there)
            if skip is not None and self.if_exists == "fail_different":
                skip = partial(require_same, skip, target)
            follow = self.action.symlinks == "follow"
            yield Put(
                path,
                target,
                {"ContentType": guess_content_type(path), **self.options},
                skip,
                follow,
                self.is_retry,
                self.compression,
                self.action.keep_times,
            )

    def _find_targets(self) -> Iterator[tuple[SourceFile, Union[S3Uri, StepError]]]:
        """Yields each file with its target, or with the reason why it cannot be stored."""
        name_of = self._names.begin_pass()
        for number, file in enumerate(self.action.files(), 1):
            if file.problem is not None:
                yield file, file.problem
                continue
            try:
                target = target_of(self.action, file, self.place, self.namer, number, name_of)
                yield file, target
            except StepError as error:
                yield file, error

    def _make_check(self, path: Path, uri: S3Uri, there: ObjectInfo) -> Callable[[], bool]:
        check = partial(self._is_same, path, uri, there)
        return QuickCheck(check) if self.compare in BY_STATUS else check

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
            self.compare not in BY_TIME or there.modified >= format_mtime(path.stat().st_mtime)
        )


def _measure_files(files: Iterable[SourceFile]) -> tuple[int, int]:
    """Returns the number of files and their bytes; 0 bytes if the files are too many to look at."""
    count = size = 0
    for file in files:
        count += 1
        if count > _MAX_MEASURED:
            size = 0
        elif file.problem is None:
            with suppress(OSError):  # the upload itself reports it
                size += os.stat(file.path).st_size  # noqa: PTH116 - one of each of many files
    return count, size


def _check_key_length(target: S3Uri, path: str) -> None:
    try:
        length = len(target.key.encode())
    except UnicodeEncodeError:
        raise UnsafeKey(f"{os.fsencode(path)!r}: the name is not UTF-8, as keys must be") from None
    if length > MAX_KEY:
        raise UnsafeKey(f"{path}: its key would have {length:,} bytes, {MAX_KEY:,} at most")


def guess_content_type(path: str) -> str:
    """Returns the media type of a file, by its name."""
    name = os.path.basename(path)  # noqa: PTH119 - one of each of a million files
    _, dot, endings = name.lstrip(".").partition(".")
    return _guess_type(f"x.{endings}" if dot else "")


@lru_cache(maxsize=1024)
def _guess_type(name: str) -> str:
    """Returns the type by the name's suffixes; cached, because suffixes repeat."""
    kind, encoding = mimetypes.guess_type(name)
    if encoding == "gzip":
        return "application/gzip"
    return kind or "application/octet-stream"
