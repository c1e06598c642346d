"""A listing spread over workers: each lists a span of keys up to some number, and cuts what is left of it for others.

Keys come back packed and wait on this machine's disk for their turn: memory holds what one round of workers found.
"""

from __future__ import annotations

import pickle
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Optional, Union

from rolerunner.keyspace import KeyRange, split_by_probing
from rolerunner.storage.protocol import ObjectInfo

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import S3Uri
    from rolerunner.storage.protocol import Storage
    from rolerunner.storage.workers.protocol import TaskRunner

KEYS_PER_TASK = 20_000
"""Keys that a worker lists before it gives the rest away: some two seconds on S3, half a megabyte packed."""
TASKS_PER_SLOT = 4
"""Parts of a wave for each that can run at once: the small ones at the end fill the gaps that the large ones leave."""
MIN_PIECES = 8
"""Spans at least that the rest of one is cut into."""


@dataclass(frozen=True)
class _Found:
    """What a worker found of a span: packed objects, and the spans that are left."""

    packed: bytes
    rest: list[KeyRange]


@dataclass(frozen=True)
class _ListSpan:
    """Lists one span, up to KEYS_A_TASK keys."""

    storage: Storage
    prefix: S3Uri
    versions: bool
    span: KeyRange
    pieces: int
    most: int

    def __call__(self, again: bool) -> _Found:
        del again  # listing twice does no harm
        found: list[ObjectInfo] = []
        for info in self.storage.list(self.prefix, versions=self.versions, after=self.span.after):
            if self.span.upto is not None and info.key > self.span.upto:
                break
            if (
                len(found) >= self.most and info.key != found[-1].key
            ):  # versions of one key stay together
                return _Found(_packed(found), self._rest([each.key for each in found]))
            found.append(info)
        return _Found(_packed(found), [])

    def _rest(self, seen: list[str]) -> list[KeyRange]:
        return split_by_probing(
            KeyRange(seen[-1], self.span.upto), self.prefix.key, seen, self.pieces, self._next_key
        )

    def _next_key(self, text: str) -> Optional[str]:
        info = next(
            iter(self.storage.list(self.prefix, versions=self.versions, after=text, page=1)), None
        )
        return (
            None
            if info is None or (self.span.upto is not None and info.key > self.span.upto)
            else info.key
        )


@dataclass(frozen=True)
class _Kept:
    """Where packed objects are in the file."""

    start: int
    length: int


@dataclass(frozen=True)
class DistributedListing:
    """One listing over a pool. ``storage`` comes out as the engine in a worker."""

    storage: Storage
    pool: TaskRunner
    cancel: Cancel
    prefix: S3Uri
    versions: bool
    keys_a_task: int = field(default_factory=lambda: KEYS_PER_TASK)

    def objects(self, after: str = "") -> Iterator[ObjectInfo]:
        """In the order of keys. Raises StepError."""
        line: list[Union[KeyRange, _Kept]] = [KeyRange(after)]  # in the order of keys
        with tempfile.TemporaryFile() as file:
            while line:
                line = self._round(line, file)
                kept = next(
                    (number for number, each in enumerate(line) if isinstance(each, KeyRange)),
                    len(line),
                )
                for each in line[:kept]:
                    yield from _unpacked(each, file)
                line = line[kept:]

    def _round(
        self, line: list[Union[KeyRange, _Kept]], file: IO[bytes]
    ) -> list[Union[KeyRange, _Kept]]:
        """The line after workers have listed its first spans."""
        tasks = self.pool.slots() * TASKS_PER_SLOT
        spans = [each for each in line if isinstance(each, KeyRange)][:tasks]
        pieces = max(MIN_PIECES, tasks // len(spans))
        parts = [
            pickle.dumps(
                _ListSpan(self.storage, self.prefix, self.versions, span, pieces, self.keys_a_task)
            )
            for span in spans
        ]
        (found,) = self.pool.run([parts], self.cancel, f"rolerunner: list {self.prefix}")
        results = dict(zip(spans, found))
        after: list[Union[KeyRange, _Kept]] = []
        for each in line:
            result = results.get(each) if isinstance(each, KeyRange) else None
            after += [each] if result is None else [*_keep(result.packed, file), *result.rest]
        return after


def _keep(packed: bytes, file: IO[bytes]) -> list[_Kept]:
    if not packed:
        return []
    start = file.seek(0, 2)
    file.write(packed)
    return [_Kept(start, len(packed))]


def _packed(found: list[ObjectInfo]) -> bytes:
    return (
        zlib.compress(pickle.dumps([tuple(vars(info).values()) for info in found]), 1)
        if found
        else b""
    )


def _unpacked(kept: Any, file: IO[bytes]) -> Iterator[ObjectInfo]:
    file.seek(kept.start)
    for values in pickle.loads(zlib.decompress(file.read(kept.length))):  # noqa: S301 - our own worker's
        yield ObjectInfo(*values)
