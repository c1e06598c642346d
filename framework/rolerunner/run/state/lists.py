"""Keeps the lists of objects in a step's outputs as files beside the state document."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from rolerunner.errors import NotFound, StepError
from rolerunner.model import S3Uri
from rolerunner.run.state.document import LIST, is_plain
from rolerunner.run.state.stores import StateStore
from rolerunner.selection.manifest import ObjectList

_BLOCK_BYTES = 1 << 20


class ListDamaged(StepError):
    """A list in the state is missing, cut short or changed."""


class NotStorable(StepError):
    """Outputs that the state cannot hold, so a resumed run repeats the step."""


class ListWriter:
    """Stores the lists of one step, and returns references to them."""

    def __init__(self, store: StateStore, base: str) -> None:
        self._store = store
        self._base = base
        self._count = 0

    def store_lists(self, value: Any) -> Any:
        """Returns an output as the document holds it. Raises NotStorable, StepError."""
        if isinstance(value, ObjectList):
            return {LIST: self._store_list(value)}
        if isinstance(value, (list, tuple)) and _contains_list(value):
            return [self.store_lists(each) for each in value]
        if not is_plain(value):
            raise NotStorable("its outputs are not JSON, or are nested too deeply")
        return value

    def store_left(self, files: Sequence[Path]) -> Optional[dict[str, Any]]:
        """Stores the lists of files that a step left, as one. None for a step that left nothing.

        Raises StepError.
        """
        if not files:
            return None
        path = files[0] if len(files) == 1 else _concatenate_files(files)
        with path.open("rb") as lines:
            count = sum(1 for _ in lines)
        return {
            "host": socket.gethostname(),
            **self._store_file("left", path),
            "count": count,
            "bytes": path.stat().st_size,
        }

    def _store_list(self, objects: ObjectList) -> dict[str, Any]:
        self._count += 1
        with _readable_path(objects) as path:
            stored = self._store_file(str(self._count), path)
        return {
            **stored,
            "prefix": [objects.prefix.bucket, objects.prefix.key],
            "count": objects.count,
            "bytes": objects.bytes,
            "flat": objects.flat,
        }

    def _store_file(self, part: str, path: Path) -> dict[str, Any]:
        # a new name each time: a run that lost its lock cannot overwrite what the next one reads
        name = f"{self._base}-{part}-{secrets.token_hex(4)}.jsonl"
        digest = _digest_file(path)
        self._store.keep(name, path)
        return {"name": name, "sha256": digest}


@contextlib.contextmanager
def _readable_path(objects: ObjectList) -> Iterator[Path]:
    """Yields the manifest of a list, an empty file for a placeholder: it has no manifest."""
    if not objects.is_placeholder:
        yield objects.path
        return
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as empty:
        yield Path(empty.name)


def restore_lists(value: Any, store: StateStore, workdir: Path) -> Any:
    """Returns an output of a document with its lists on this machine.

    Raises ListDamaged, StepError.
    """
    if isinstance(value, dict) and set(value) == {LIST}:
        kept = value[LIST]
        path = fetch_list(kept, store, workdir)
        return ObjectList(path, S3Uri(*kept["prefix"]), kept["count"], kept["bytes"], kept["flat"])
    if isinstance(value, list):
        return [restore_lists(each, store, workdir) for each in value]
    return value


def fetch_list(kept: Mapping[str, Any], store: StateStore, workdir: Path) -> Path:
    """Copies a list to this machine and verifies it. Raises ListDamaged, StepError."""
    name: str = kept["name"]
    path = workdir / "state" / name.replace("/", "_")
    try:
        store.fetch(name, path)
    except NotFound as error:
        message = f"its list {name} is not in the state any more ({error.message})"
        raise ListDamaged(message, type="StateDamaged") from None
    if not _is_intact(kept, path):
        message = f"its list {name} in the state is not the one that was written"
        raise ListDamaged(message, type="StateDamaged")
    return path


def _is_intact(kept: Mapping[str, Any], path: Path) -> bool:
    if "sha256" in kept:
        return bool(_digest_file(path) == kept["sha256"])
    return _measure_list(path) == (kept["count"], kept["bytes"])


def _measure_list(path: Path) -> Optional[tuple[int, int]]:
    """Returns objects and bytes of a list without a digest, as earlier releases wrote.

    None if it cannot be read.
    """
    count = size = 0
    try:
        for info in ObjectList(path, S3Uri(""), 0, 0):
            count, size = count + 1, size + info.size
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return count, size


def _digest_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_BLOCK_BYTES), b""):
            digest.update(block)
    return digest.hexdigest()


def _concatenate_files(files: Sequence[Path]) -> Path:
    path = files[0].with_suffix(".all")
    with path.open("wb") as whole:
        for each in files:
            with each.open("rb") as part:
                shutil.copyfileobj(part, whole)
    return path


def _contains_list(value: Any) -> bool:
    """Returns True if a list of objects is among these values, however deep."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, ObjectList):
            return True
        if isinstance(each, (list, tuple)):
            pending += each
    return False
