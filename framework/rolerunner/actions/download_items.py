"""The downloads of s3.download: which object becomes which file, and which are skipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Union

from rolerunner.actions.existing_objects import require_same
from rolerunner.actions.name_store import NameStore
from rolerunner.actions.object_names import is_folder_marker
from rolerunner.actions.source_objects import SourceObjects
from rolerunner.common.file_paths import expand_path, resolve_key_path
from rolerunner.common.files import is_case_insensitive
from rolerunner.common.new_files import TargetFolder
from rolerunner.errors import LocalFileFailed, StepError, UnsafeKey
from rolerunner.model import S3Uri
from rolerunner.selection.collisions import find_collision
from rolerunner.selection.names import fold_name, format_mtime
from rolerunner.storage.file_comparison import BY_STATUS, BY_TIME, is_same_file
from rolerunner.storage.kept_times import find_mtime
from rolerunner.storage.protocol import Get, ObjectInfo, Outcome, QuickCheck, Storage

if TYPE_CHECKING:
    from rolerunner.actions.builtin.s3_download import S3Download


class DownloadItems:
    """The downloads of a step, generated as the engine consumes them.

    Keys that cannot be file names, and keys that map to one file, are refused.
    """

    def __init__(
        self,
        action: S3Download,
        gathered: SourceObjects,
        storage: Storage,
        *,
        is_resumed: bool,
        outputs_changed: bool,
        folds: Optional[bool] = None,
    ) -> None:
        """``folds`` is True if the disk ignores case; by default a file there shows it."""
        self.action = action
        self.objects = gathered.objects
        self.storage = storage
        self.refused = gathered.refused
        lenient = is_resumed and action.if_exists == "overwrite" and action.decompress is None
        self.if_exists = "skip_same" if lenient else action.if_exists
        # what this step itself left is recognised by its content
        self.compare = "checksum" if lenient or outputs_changed else action.compare
        self.target = expand_path(action.target)
        self.folder: Optional[TargetFolder] = None
        self.to_file = (
            action.source is not None
            and not action.source.is_prefix
            and not action.target.endswith("/")
            and not self.target.is_dir()
            and not action.renames
        )
        if folds is None:
            folds = is_case_insensitive(self.target) if gathered.total > 1 else False
        self.folds = folds
        self._names = NameStore(action.namer())

    def check_files(self) -> None:
        """Raises UnsafeKey, before anything is fetched, where two objects would be one file.

        Keys of one prefix in their order are different files, unless names are changed or folded.
        """
        changes = self.action.renames or self.action.decompress
        if self.objects.ascending and not (self.objects.flat or self.folds or changes):
            return
        found = find_collision(self._iter_file_names)
        if found is None:
            return
        one, other = (
            f"{self.objects.uri(info)}{f' (version {info.version})' if info.version else ''}"
            for info, _ in (found.one, found.other)
        )
        hint = "nothing was downloaded; download them in separate steps, to different folders"
        raise UnsafeKey(
            f"{one} and {other} would both be the file {self._place_file(found.one[1])}",
            hint=hint,
            type="SameFile",
        )

    def _iter_file_names(self) -> Iterator[tuple[str, tuple[ObjectInfo, str]]]:
        """Yields a text, the same for all names that are one file on this disk, with its owner."""
        for info, name in self._iter_names():
            if isinstance(name, str):
                yield fold_name(name) if self.folds else name, (info, name)

    def _iter_names(self) -> Iterator[tuple[ObjectInfo, Union[str, StepError]]]:
        """Yields each object with its path below the target, or the reason that it has none."""
        name_of, finish_name = self._names.begin_pass(), self.action.decompressed_name_of
        number = 0
        for info in self.objects:
            if info.deleted or is_folder_marker(info.key, info.size):
                continue
            number += 1
            try:
                relative = self.objects.relative(info)
                name = name_of(info.key, relative, info.size, info.modified, number)
                yield info, finish_name(info.key, name)
            except UnsafeKey as error:
                yield info, error

    def targets(self) -> Iterator[tuple[ObjectInfo, Path]]:
        """Yields each object that can be a file, with its path."""
        for info, name in self._iter_names():
            try:
                if isinstance(name, str):
                    yield info, Path(self._place_file(name))
            except UnsafeKey:
                continue

    def __iter__(self) -> Iterator[Union[Get, Outcome]]:
        yield from self.refused
        for info, name in self._iter_names():
            uri = self.objects.uri(info)
            try:
                if isinstance(name, StepError):
                    raise name
                target = self._place_file(name)
            except StepError as error:
                yield Outcome(uri, status="failed", error=error)
                continue
            yield self._plan_download(uri, info, target)

    def _plan_download(self, uri: S3Uri, info: ObjectInfo, target: str) -> Union[Get, Outcome]:
        unpack = self.action.decompression(info.key)
        if self.if_exists == "overwrite" or not os.path.isfile(target):  # noqa: PTH113 - one of each of a million files
            return Get(
                uri,
                target,
                info,
                decompress=unpack,
                keep_time=self.action.keep_times,
                folder=self.folder,
            )
        if self.if_exists == "fail":
            error = LocalFileFailed(
                f"{target}: already exists ('if_exists: fail')", type="AlreadyThere"
            )
            return Outcome(uri, status="failed", error=error)
        if self.if_exists == "skip":
            return Outcome(uri, info.size, target, info.etag, status="skipped")
        skip: Callable[[], bool] = partial(self._is_same, info, Path(target))
        if self.compare in BY_STATUS and not self.action.keep_times:  # a kept time needs a HEAD
            skip = QuickCheck(skip)
        if self.if_exists == "fail_different":
            skip = partial(require_same, skip, Path(target))
        return Get(
            uri,
            target,
            info,
            keep_time=self.action.keep_times,
            skip=skip,
            folder=self.folder,
        )

    def _is_same(self, info: ObjectInfo, target: Path) -> bool:
        uri = self.objects.uri(info)
        head = partial(self.storage.head, uri, info.version)
        if not is_same_file(
            target, info, self.compare, head, lambda: self.storage.get_part_size(uri, info)
        ):
            return False
        status = target.stat()
        if self.compare not in BY_TIME or format_mtime(status.st_mtime) >= info.modified:
            return True
        return self.action.keep_times and find_mtime(head()) == status.st_mtime_ns

    def _place_file(self, name: str) -> str:
        return str(self.target) if self.to_file else resolve_key_path(self.target, name)
