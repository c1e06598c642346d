"""Reads the objects that a file lists to a list on disk, before the step's work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Optional, TypeVar

from rolerunner.actions.objects_from import ObjectsFrom
from rolerunner.model import S3Uri

if TYPE_CHECKING:
    from rolerunner.actions.base import Action, StepContext
    from rolerunner.errors import StepError
    from rolerunner.selection.list_files.entries import Entry, ListedObject
    from rolerunner.selection.manifest import ObjectList
    from rolerunner.storage.protocol import ObjectInfo

A = TypeVar("A", bound="Action")
_NAMED_LINES = 3
"""Number of wrong lines that an error names."""
_CHECKED_EVERY = 10_000


def read_listed_objects(action: A, context: StepContext) -> A:
    """Returns the action with the objects that a file lists; others as they are.

    Raises StepError if the file cannot be read, or if a line names no object.
    """
    listing = getattr(action, "objects", None)
    if not isinstance(listing, ObjectsFrom):
        return action
    objects = _read_list(listing, context)
    repeated = None if objects.ascending else _find_repeated(objects)
    if repeated is not None:
        objects = _leave_out_repeated(objects, repeated, context)
    return action.model_copy(update={"objects": objects})


def _read_list(listing: ObjectsFrom, context: StepContext) -> ObjectList:
    from rolerunner.selection.list_files.entries import UNKNOWN_SIZE  # noqa: PLC0415

    checker = _EntryChecker(listing.prefix)
    is_bare = False
    with context.manifest(".listed") as manifest:
        for number, info in enumerate(checker.check(_iter_entries(listing, context)), 1):
            is_bare |= info.size == UNKNOWN_SIZE
            manifest.add_object(info)
            if number % _CHECKED_EVERY == 0:
                context.cancel.stop_if_set()
    objects = manifest.objects(checker.prefix, flat=listing.prefix is None)
    return replace(objects, is_bare=is_bare, bytes=0 if is_bare else objects.bytes)


def _iter_entries(listing: ObjectsFrom, context: StepContext) -> Iterator[tuple[str, Entry]]:
    from rolerunner.selection.list_files.pieces import FilePieces  # noqa: PLC0415 - few steps
    from rolerunner.selection.list_files.reader import ListReader  # noqa: PLC0415

    storage = context.storage("objects.role") if isinstance(listing.place, S3Uri) else None
    return ListReader(
        listing.place,
        listing.find_format() or "text",
        listing.column or "",
        listing.versions,
        FilePieces(storage, context.cancel),
        context.workdir,
    ).read()


class _EntryChecker:
    """Checks that each entry is an object, and lies where the objects of the list are."""

    def __init__(self, prefix: Optional[S3Uri]) -> None:
        self._within = prefix
        self._bucket = prefix.bucket if prefix is not None else ""
        self._problems: list[StepError] = []

    @property
    def prefix(self) -> S3Uri:
        """The prefix of the list: that of the field, else the bucket of its first object."""
        return self._within or S3Uri(self._bucket or "none")

    def check(self, entries: Iterator[tuple[str, Entry]]) -> Iterator[ObjectInfo]:
        """Yields the objects. Raises StepError with the first wrong lines."""
        from rolerunner.selection.list_files.entries import BadLine  # noqa: PLC0415

        for name, entry in entries:
            if isinstance(entry, BadLine):
                self._add_problem(name, entry.line, entry.problem)
                continue
            problem = self._find_problem(entry)
            if problem:
                self._add_problem(name, entry.line, problem)
            elif not self._problems:
                self._bucket = self._bucket or entry.bucket
                is_elsewhere = entry.bucket not in ("", self._bucket)
                yield replace(entry.info, bucket=entry.bucket) if is_elsewhere else entry.info
        if self._problems:
            raise self._build_error()

    def _find_problem(self, entry: ListedObject) -> str:
        within = self._within
        if within is None:
            uri = "" if entry.bucket else " has no bucket: write s3:// URIs, or set 'prefix'"
            return f"'{entry.info.key}'{uri}" if uri else ""
        _, bucket, info = entry
        if (not bucket or bucket == within.bucket) and info.key.startswith(within.key):
            return ""
        there = S3Uri(bucket or within.bucket, info.key)
        return f"{there} is not below the list's 'prefix' {within}"

    def _add_problem(self, name: str, line: int, problem: str) -> None:
        from rolerunner.selection.list_files.lines import list_error  # noqa: PLC0415

        self._problems.append(list_error(name, problem, line=line))
        if len(self._problems) == _NAMED_LINES:
            raise self._build_error()

    def _build_error(self) -> StepError:
        from rolerunner.errors import StepError  # noqa: PLC0415

        text = "; ".join(each.message for each in self._problems)
        return StepError(text, hint="nothing was done; correct the list", type="BadList")


def _find_repeated(objects: ObjectList) -> Optional[bytearray]:
    from rolerunner.selection.list_files.duplicates import find_repeated  # noqa: PLC0415

    return find_repeated(
        f"{info.bucket}\n{info.version}\n{info.key}" if info.bucket or info.version else info.key
        for info in objects
    )


def _leave_out_repeated(
    objects: ObjectList, repeated: bytearray, context: StepContext
) -> ObjectList:
    """Returns the list without the objects that it names again."""
    from rolerunner.selection.list_files.duplicates import is_marked  # noqa: PLC0415

    with context.manifest(".distinct") as manifest:
        for number, info in enumerate(objects):
            if not is_marked(repeated, number):
                manifest.add_object(info)
    left_out = objects.count - manifest.count
    context.note("info", f"{left_out:,} repeated lines of the list were left out", {})
    distinct = manifest.objects(objects.prefix, flat=objects.flat)
    return replace(
        distinct, is_bare=objects.is_bare, bytes=0 if objects.is_bare else distinct.bytes
    )
