"""Reads a file in pieces: an object in S3, pinned by its ETag, or a local file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Optional, Union

from rolerunner.common.file_errors import not_regular_file_error, translate_os_errors
from rolerunner.common.file_paths import expand_path
from rolerunner.errors import NotFound, StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.selection.list_files.lines import list_error
from rolerunner.storage.parts import ObjectRange

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.protocol import ObjectInfo, Storage

_PIECE = 4 << 20
"""Bytes of a piece."""
_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
"""Flags to open a file; a pipe without a writer does not block."""
Place = Union[S3Uri, str]
"""An object, or a local path."""


@dataclass(frozen=True)
class FilePieces:
    """Opens lists under one role, or on this machine if ``storage`` is None."""

    storage: Optional[Storage]
    cancel: Cancel

    def read(self, place: Place) -> Iterator[bytes]:
        """Yields the bytes of a file in pieces. Raises StepError, also if it changes meanwhile."""
        return self._read_local(place) if isinstance(place, str) else self._read_object(place)

    def _read_object(self, uri: S3Uri) -> Iterator[bytes]:
        if self.storage is None:
            raise StepError(f"{uri}: no role reads the list", type="BadList")
        # without its version, which needs another permission; the ETag pins it too
        info = replace(self.storage.head(uri), version="")
        for start in range(0, info.size, _PIECE):
            self.cancel.stop_if_set()
            part = ObjectRange(uri, info, start, min(_PIECE, info.size - start))
            try:
                yield self.storage.read_range(part, self.cancel)
            except StepError as error:
                self._check_unchanged(uri, info, error)
                raise

    def _check_unchanged(self, uri: S3Uri, info: ObjectInfo, error: StepError) -> None:
        """Raises StepError if the object was replaced or deleted while it was read."""
        assert self.storage is not None  # noqa: S101 - it has just been used
        if error.type in ("Stopped", "AccessDenied"):
            return
        try:
            is_same = self.storage.head(uri).etag == info.etag
        except NotFound:
            is_same = False
        if not is_same:
            hint = "run the step again when the list is complete"
            raise list_error(str(uri), "the list changed while it was read", hint=hint) from error

    def _read_local(self, text: str) -> Iterator[bytes]:
        path = expand_path(text)
        with translate_os_errors(path):
            descriptor = os.open(path, _READ)
            with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - not a path
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise not_regular_file_error(path, status.st_mode)
                while piece := file.read(_PIECE):
                    self.cancel.stop_if_set()
                    yield piece
                if _identity(os.fstat(descriptor)) != _identity(status):
                    hint = "run the step again when the list is complete"
                    raise list_error(str(path), "the list changed while it was read", hint=hint)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns
