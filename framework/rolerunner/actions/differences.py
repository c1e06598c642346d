"""Records how two sides differ: counts, lists of objects, and a report for people."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import field
from typing import IO, TYPE_CHECKING, Any, Optional

from rolerunner.actions.comparisons import DIFFERENT, UNPROVEN
from rolerunner.common.new_files import create_atomically
from rolerunner.common.wording import format_count
from rolerunner.events import StepProgress
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Failure
from rolerunner.storage.protocol import ObjectInfo

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.actions.base import StepContext
    from rolerunner.actions.comparison_sides import Side
    from rolerunner.errors import StepError
    from rolerunner.selection.manifest import ManifestWriter, ObjectList

MISSING, EXTRA = "missing", "extra"
DIFFERENCES = (MISSING, EXTRA, DIFFERENT, UNPROVEN)
"""The kinds of differences, in the order of a message."""
REPORT_FORMS = (".jsonl", ".csv")
_COLUMNS = ("key", "status", "source_size", "target_size", "reason")
_PROGRESS_ENTRIES = 5000
_NAMED = 3
"""Differences that a message names."""


@dataclass
class Differences:
    """Counts pairs, and keeps the first names of each kind of difference."""

    seen: int = 0
    """Number of names of both sides together."""
    same: int = 0
    bytes: int = 0
    failed: int = 0
    error: Optional[StepError] = None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DIFFERENCES, 0))
    first: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in DIFFERENCES})

    @property
    def total(self) -> int:
        """Number of differences."""
        return sum(self.counts.values())

    def add(self, kind: str, name: str) -> None:
        """Counts a difference."""
        self.seen += 1
        self.counts[kind] += 1
        if len(self.first[kind]) < _NAMED:
            self.first[kind].append(name)

    def describe(self) -> str:
        """Returns the differences in a sentence's part."""
        parts = []
        for kind in DIFFERENCES:
            if self.counts[kind]:
                more = ", ..." if self.counts[kind] > _NAMED else ""
                names = ", ".join(map(repr, self.first[kind]))
                parts.append(f"{self.counts[kind]:,} {kind} ({names}{more})")
        return "; ".join(parts)


def describe_failures(found: Differences) -> Failure:
    """Returns the failure of the pairs that could not be compared."""
    assert found.error is not None  # noqa: S101 - the caller has seen it
    message = f"{format_count(found.failed, 'object')} could not be compared"
    return Failure(found.error.type, f"{message}: {found.error.message}", found.error.hint)


def describe_differences(found: Differences, one: str, other: str, report: str) -> Failure:
    """Returns the failure of sides that differ."""
    hints = []
    if found.counts[UNPROVEN]:
        hints.append(
            "'read: true' compares the bytes of unproven objects, and 'compare: size' their sizes"
            " alone"
        )
    if report:
        hints.append(f"{report} has a line for each difference")
    else:
        hints.append(
            "'report: FILE' writes a line for each, 'on_difference: warn' lets the run go on"
        )
    message = f"{one} and {other} differ: {found.describe()}"
    return Failure("Difference", message, "\n".join(hints))


class DifferenceRecorder:
    """Writes the differences to the report and to the lists of the step."""

    def __init__(self, context: StepContext, source: Side, target: Side) -> None:
        self._context = context
        self._source = source
        self._target = target
        self.found = Differences()
        self._lists: dict[str, ManifestWriter] = {}
        self._write_row: Callable[[dict[str, Any]], object] = lambda _: None

    @contextmanager
    def open(self, report: Optional[Path]) -> Iterator[DifferenceRecorder]:
        """Opens the lists and the report, which appears whole or not at all."""
        with ExitStack() as stack:
            for kind in DIFFERENCES:
                self._lists[kind] = stack.enter_context(self._context.manifest(f".{kind}"))
            if report is not None:
                self._write_row = stack.enter_context(_open_report(report))
            yield self

    def lists(self) -> dict[str, ObjectList]:
        """Returns the objects of each kind of difference; extra ones are those of the target."""
        source = self._source.prefix
        assert source is not None  # noqa: S101 - the source is in S3
        extra = self._target.prefix or source
        return {
            kind: manifest.objects(extra if kind == EXTRA else source)
            for kind, manifest in self._lists.items()
        }

    def add_same(self, info: ObjectInfo) -> None:
        """Counts a pair that is the same."""
        found = self.found
        found.seen += 1
        found.same += 1
        found.bytes += info.size
        if not found.seen % _PROGRESS_ENTRIES:
            self._tell_progress()

    def add(self, kind: str, name: str, one: Any, other: Any, reason: str = "") -> None:
        """Records a difference."""
        self.found.add(kind, name)
        info = other if kind == EXTRA else one
        if isinstance(info, ObjectInfo) and not (kind == EXTRA and self._target.storage is None):
            self._lists[kind].add_object(info)
        self._write_row(
            {
                "key": name,
                "status": kind,
                "source_size": one.size if one is not None else None,
                "target_size": self._size_of(other),
                "reason": reason,
            }
        )
        self._tell_progress()

    def add_failure(self, name: str, one: Any, other: Any, error: StepError) -> None:
        """Records a pair that could not be compared."""
        self.found.seen += 1
        self.found.failed += 1
        self.found.error = self.found.error or error
        row = {"key": name, "status": "failed", "source_size": one.size}
        self._write_row({**row, "target_size": self._size_of(other), "reason": error.message})

    def _size_of(self, other: Any) -> Optional[int]:
        is_digest = self._target.storage is None and isinstance(other, ObjectInfo)
        return None if other is None or is_digest else other.size

    def _tell_progress(self) -> None:
        found = self.found
        self._context.progress(StepProgress(self._context.step_id, found.seen, found.bytes))


@contextmanager
def _open_report(path: Path) -> Iterator[Callable[[dict[str, Any]], object]]:
    with (
        create_atomically(path) as new_file,
        open(new_file.descriptor, "w", encoding="utf-8", newline="", closefd=False) as file,
    ):
        yield (
            _csv_writer(file)
            if path.suffix == ".csv"
            else lambda row: file.write(json.dumps(row) + "\n")
        )


def _csv_writer(file: IO[str]) -> Callable[[dict[str, Any]], object]:
    writer = csv.DictWriter(file, _COLUMNS)
    writer.writeheader()
    return writer.writerow
