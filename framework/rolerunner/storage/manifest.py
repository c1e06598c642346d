"""Lists of objects on disk: written line by line, read line by line, never whole in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import LocalFileFailed
from rolerunner.model import S3Uri
from rolerunner.storage.base import ObjectInfo
from rolerunner.storage.local import translated

if TYPE_CHECKING:
    from typing import IO


@dataclass(frozen=True)
class ObjectList:
    """Objects under a prefix, kept in a file of JSON lines: an output like any other, whatever its length."""

    path: Path
    prefix: S3Uri
    count: int
    bytes: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[ObjectInfo]:
        with translated(self.path), self.path.open(encoding="utf-8") as lines:
            for line in lines:
                yield ObjectInfo(**json.loads(line))

    def summary(self) -> dict[str, Any]:
        """What the result file shows of it."""
        return {"count": self.count, "bytes": self.bytes, "manifest": str(self.path)}


EMPTY_LIST = ObjectList(Path(os.devnull), S3Uri("bucket"), 0, 0)
"""No objects: what a list stands for while a spec is checked."""


class ManifestWriter:
    """Writes JSON lines under a final name; the file is closed, and so complete, when the block ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.bytes = 0
        self._file: Optional[IO[str]] = None

    def __enter__(self) -> ManifestWriter:
        with translated(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", encoding="utf-8")
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        if self._file is not None:
            with translated(self.path):
                self._file.close()

    def add(self, line: dict[str, Any], size: int) -> None:
        """One line more. Raises LocalFileFailed."""
        if self._file is None:
            raise LocalFileFailed(f"{self.path} is not open")
        with translated(self.path):
            self._file.write(json.dumps(line, ensure_ascii=True) + "\n")
        self.count += 1
        self.bytes += size

    def add_object(self, info: ObjectInfo) -> None:
        """One object more."""
        self.add(asdict(info), info.size)

    def objects(self, prefix: S3Uri) -> ObjectList:
        """What was written, as a list to read."""
        return ObjectList(self.path, prefix, self.count, self.bytes)
