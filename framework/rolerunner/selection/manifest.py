"""Lists of objects on disk, written and read line by line, never held in memory."""

from __future__ import annotations

import dataclasses
import json
import operator
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.file_errors import translate_os_errors
from rolerunner.common.new_files import PRIVATE
from rolerunner.errors import LocalFileFailed
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage.object_lines import (
    ListedBlock,
    OutcomeBlock,
    outcome_line,
    parse_object_lines,
)
from rolerunner.storage.protocol import ObjectInfo, Outcome
from rolerunner.storage.sorting import object_line

if TYPE_CHECKING:
    from typing import IO

_read = json.JSONDecoder().raw_decode
"""Like json.loads without the checks of the surrounding text, which double its time."""
_BUFFER = 1 << 16
"""Bytes per read or write; a list of a million objects has 130 MB."""
_NO_MANIFEST = Path(os.devnull)
"""The path of a placeholder, which reads as an empty list."""


@dataclass(frozen=True)
class Origin:
    """The listing behind a list: its source, and include and exclude of each selection.

    Any part may be a template.
    """

    source: Any
    globs: tuple[tuple[Any, Any], ...] = ()


@dataclass(frozen=True)
class ObjectList:
    """Objects under a prefix, kept in a file of JSON lines, whatever their number."""

    path: Path
    prefix: S3Uri
    count: int
    bytes: int
    flat: bool = False
    """True if the objects were named one by one; the relative key is then the name alone."""
    versions: Optional[bool] = False
    """Of a predicted list: True if objects have versions, None if that depends on the bucket."""
    ascending: bool = dataclasses.field(default=False, compare=False)
    """True if the keys of one bucket ascend, so that no key is repeated."""
    origin: Optional[Origin] = dataclasses.field(default=None, compare=False)
    """Of a predicted list: where its objects will come from."""
    is_bare: bool = dataclasses.field(default=False, compare=False)
    """True if only the keys are known, so that each object is looked up before it is used."""

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[ObjectInfo]:
        with (
            translate_os_errors(self.path),
            self.path.open(encoding="utf-8", buffering=_BUFFER) as lines,
        ):
            yield from parse_object_lines(lines)

    @property
    def is_placeholder(self) -> bool:
        """Returns True if no manifest was written for this list, which is empty."""
        return self.path == _NO_MANIFEST

    def uri(self, info: ObjectInfo) -> S3Uri:
        """Returns the URI of an object of this list."""
        return S3Uri(info.bucket or self.prefix.bucket, info.key)

    def relative(self, info: ObjectInfo) -> str:
        """Returns the key relative to the folder of the prefix; the name alone in a flat list."""
        return (
            info.key.rsplit("/", 1)[-1] if self.flat else info.key[self.prefix.key.rfind("/") + 1 :]
        )

    def path_in_bucket(self, info: ObjectInfo) -> str:
        """Returns the relative key, or in a flat list, whose names may be equal, the whole key."""
        return info.key if self.flat else self.relative(info)

    def describe(self, info: ObjectInfo) -> dict[str, Any]:
        """Returns an object in plain values, for ``item`` and for functions."""
        return {
            "key": info.key,
            "uri": str(self.uri(info)),
            "size": None if self.is_bare else info.size,
            "etag": info.etag,
            "modified": info.modified,
        }

    def summary(self) -> dict[str, Any]:
        """Returns what the result file shows of the list."""
        return {"count": self.count, "bytes": self.bytes, "manifest": str(self.path)}


def read_paths(manifest: Path) -> Iterator[str]:
    """Yields the local files of a manifest, except failed ones. Raises LocalFileFailed."""
    with translate_os_errors(manifest), manifest.open(encoding="utf-8", buffering=_BUFFER) as lines:
        for line in lines:
            read, _ = _read(line)
            if "path" in read and read["status"] != "failed":
                yield read["path"]


def placeholder_list(prefix: S3Uri, *, versions: Optional[bool] = False) -> ObjectList:
    """Returns an empty list that stands for the objects under a prefix before the run."""
    return ObjectList(_NO_MANIFEST, prefix, 0, 0, versions=versions)


EMPTY_LIST = placeholder_list(S3Uri("bucket"))
"""Stands for any list while a spec is checked."""


class ManifestWriter:
    """Writes a list of objects as JSON lines; the file is complete when the block ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.bytes = 0
        self._ascending = True
        self._last_key = ""
        self._file: Optional[IO[str]] = None

    def __enter__(self) -> ManifestWriter:
        with translate_os_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(
                self.path,
                os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC,
                PRIVATE,
            )
            os.fchmod(descriptor, PRIVATE)
            self._file = open(descriptor, "w", encoding="utf-8", buffering=_BUFFER)
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if self._file is not None:
            with translate_os_errors(self.path):
                self._file.close()

    def _write_line(self, line: str) -> None:
        if self._file is None:
            raise LocalFileFailed(f"{self.path} is not open")
        try:
            self._file.write(line)
        except OSError:
            with translate_os_errors(self.path):
                raise

    def add_object(self, info: ObjectInfo) -> None:
        """Adds an object. Raises LocalFileFailed."""
        self._write_line(object_line(info))
        if info.key <= self._last_key or info.bucket:
            self._ascending = self.count == 0 and not info.bucket
        self._last_key = info.key
        self.count += 1
        self.bytes += info.size

    def add_objects(self, infos: Sequence[ObjectInfo]) -> None:
        """Adds objects together, which takes less time than one by one. Raises LocalFileFailed."""
        self._write_line("".join(map(object_line, infos)))
        keys = [self._last_key, *[info.key for info in infos]]
        self._ascending = (
            self._ascending
            and all(map(operator.lt, keys, keys[1:]))
            and not any(info.bucket for info in infos)
        )
        self._last_key = keys[-1]
        self.count += len(infos)
        self.bytes += sum([info.size for info in infos])

    def add_outcome(self, outcome: Outcome, bucket: str) -> None:
        """Adds an outcome, which counts unless it failed. Raises LocalFileFailed."""
        self._ascending = False
        self._write_line(outcome_line(outcome, bucket))
        if outcome.error is None:
            self.count += 1
            self.bytes += outcome.size

    def add_listed_block(self, block: ListedBlock) -> None:
        """Adds objects that follow those added before. Raises LocalFileFailed."""
        self._write_line(block.unpack())
        if block.first_key <= self._last_key:
            self._ascending = self.count == 0
        self._last_key = block.last_key
        self.count += block.count
        self.bytes += block.bytes

    def add_outcome_block(self, block: OutcomeBlock) -> None:
        """Adds outcomes, which count unless they failed. Raises LocalFileFailed."""
        self._ascending = False
        self._write_line(block.unpack())
        self.count += block.done + block.skipped
        self.bytes += block.kept_bytes

    def objects(self, prefix: S3Uri, *, flat: bool = False) -> ObjectList:
        """Returns the written objects as a list."""
        return ObjectList(
            self.path, prefix, self.count, self.bytes, flat, ascending=self._ascending
        )
