"""Compares two sides pair by pair: by what listings say, then by requests, then by bytes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Optional, Union

from rolerunner.actions import comparisons
from rolerunner.actions.comparisons import LocalFile, Verdict
from rolerunner.actions.differences import EXTRA, MISSING, DifferenceRecorder
from rolerunner.actions.side_by_side import merge_sides
from rolerunner.common.new_files import create_atomically
from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.selection.checksum_files import format_checksum
from rolerunner.storage.concurrency import map_concurrently
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.sorting import sort_objects

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.actions.comparison_sides import Side
    from rolerunner.common.cancellation import Cancel
    from rolerunner.selection.filters import Selection

_CONCURRENCY = 8
"""Pairs that are examined at once; two blocks of 4 MiB each at most."""
_MIN_ETAG = 32
"""Characters of an ETag that is a digest; some servers have counters, which prove nothing."""


@dataclass(frozen=True)
class Comparer:
    """Decides about pairs of entries, at once or, by requests, later."""

    source: Side
    target: Side
    by_size: bool
    read: bool
    cancel: Cancel

    def decide(self, one: Any, other: Any) -> Optional[Verdict]:
        """Returns what sizes and ETags alone decide."""
        if self.is_digest(other):
            return None
        if isinstance(other, LocalFile) and other.problem is not None:
            return None
        verdict = comparisons.compare_sizes(one.size, other.size)
        if verdict is not None or isinstance(other, LocalFile):
            return verdict or (_SAME_SIZE if self.by_size else None)
        return _SAME_SIZE if self.by_size or is_same_listed(one, other) else None

    def is_digest(self, other: Any) -> bool:
        """Returns True for an entry of a list of checksums."""
        return self.target.storage is None and isinstance(other, ObjectInfo)

    def examine(self, one: ObjectInfo, other: Any) -> Verdict:
        """Returns what requests and bytes decide. Raises StepError."""
        stored = self.source.locate(one)
        if isinstance(other, LocalFile):
            return comparisons.compare_with_file(stored, other, self.cancel, read=self.read)
        if self.is_digest(other):
            algorithm, _, digest = other.checksum.partition(":")
            return comparisons.compare_with_digest(
                stored, algorithm, digest, self.cancel, read=self.read
            )
        located = self.target.locate(other)
        return comparisons.compare_objects(stored, located, self.cancel, read=self.read)


def is_same_listed(one: ObjectInfo, other: ObjectInfo) -> bool:
    """Returns True if size and ETag, as listed, are proof that two objects are the same."""
    etag = one.etag
    return etag == other.etag and one.size == other.size and len(etag) >= _MIN_ETAG


_SAME_SIZE = Verdict(comparisons.SAME)


def compare_sides(comparer: Comparer, chosen: Selection, recorder: DifferenceRecorder) -> None:
    """Compares all pairs of the two sides and records the differences."""
    cancel = comparer.cancel

    def examine(pair: tuple[str, Any, Any]) -> tuple[str, Any, Any, Union[Verdict, StepError]]:
        name, one, other = pair
        try:
            return name, one, other, comparer.examine(one, other)
        except StepError as error:
            return name, one, other, error

    undecided = iterate_undecided(comparer, chosen, recorder)
    for name, one, other, verdict in map_concurrently(undecided, examine, cancel, _CONCURRENCY):
        if isinstance(verdict, StepError):
            recorder.add_failure(name, one, other, verdict)
        elif verdict.status == comparisons.SAME:
            recorder.add_same(one)
        else:
            recorder.add(verdict.status, name, one, other, verdict.reason)
    cancel.stop_if_set()


def iterate_undecided(
    comparer: Comparer, chosen: Selection, recorder: DifferenceRecorder
) -> Generator[tuple[str, Any, Any], None, None]:
    """Yields the pairs that take requests to compare; records all others."""
    merged = merge_sides(comparer.source.entries(), comparer.target.entries())
    all_are_meant, decide = chosen.selects_everything, comparer.decide
    both_in_s3, add_same = comparer.target.storage is not None, recorder.add_same
    for name, one, other in merged:
        if not all_are_meant and not _is_chosen(chosen, name, one or other):
            continue
        if both_in_s3 and one is not None and other is not None and is_same_listed(one, other):
            add_same(one)
        elif one is None:
            recorder.add(EXTRA, name, None, other)
        elif other is None:
            recorder.add(MISSING, name, one, None)
        else:
            verdict = decide(one, other)
            if verdict is None:
                yield name, one, other
            elif verdict.status == comparisons.SAME:
                add_same(one)
            else:
                recorder.add(verdict.status, name, one, other, verdict.reason)
        if recorder.found.seen % 1000 == 0:
            comparer.cancel.stop_if_set()


def _is_chosen(chosen: Selection, name: str, entry: Any) -> bool:
    """Returns True if the filters choose a pair, by what the source has of it if it has it."""
    if isinstance(entry, ObjectInfo) and not entry.modified:  # of a list of checksums
        return chosen.matches_name(name)
    return chosen(name, entry.size, entry.modified)


def write_checksums(
    path: Path,
    algorithm: str,
    source: Side,
    chosen: Selection,
    recorder: DifferenceRecorder,
    may_fail: Callable[[int], int],
    cancel: Cancel,
) -> None:
    """Writes a list of checksums of an S3 side, in the order of names, whole or not at all.

    Objects whose digest S3 does not report are read. Raises StepError if the disk fails, or if
    more objects could not be read than ``may_fail`` allows of their number.
    """

    def find(pair: tuple[str, Any]) -> tuple[str, Any, Union[str, StepError]]:
        name, info = pair
        try:
            digest = comparisons.find_digest(source.locate(info), algorithm, cancel, read=True)
        except StepError as error:
            return name, info, error
        return name, info, digest or ""

    def list_same() -> Iterator[ObjectInfo]:
        pairs = (pair for pair in source.entries() if _is_chosen(chosen, *pair))
        for name, info, digest in map_concurrently(pairs, find, cancel, _CONCURRENCY):
            if isinstance(digest, StepError):
                recorder.add_failure(name, info, None, digest)
            else:
                recorder.add_same(info)
                yield ObjectInfo(name, 0, digest)

    with (
        create_atomically(path) as new_file,
        open(new_file.descriptor, "w", encoding="utf-8", newline="", closefd=False) as file,
    ):
        file.writelines(
            format_checksum(each.key, each.etag)
            for each in sort_objects(list_same(), lambda info: info.key)
        )
        cancel.stop_if_set()
        if recorder.found.failed > may_fail(recorder.found.seen) and recorder.found.error:
            raise recorder.found.error
