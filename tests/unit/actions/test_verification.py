"""Pairs of two sides: what listings decide, and what takes requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from rolerunner.actions.comparison_sides import Side
from rolerunner.actions.comparisons import LocalFile
from rolerunner.actions.differences import DifferenceRecorder
from rolerunner.actions.verification import (
    Comparer,
    compare_sides,
    is_same_listed,
    iterate_undecided,
    write_checksums,
)
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import AccessDenied, StepError
from rolerunner.model import S3Uri
from rolerunner.selection.filters import Selection
from rolerunner.storage.protocol import ObjectInfo
from tests.unit.actions.context import make_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolerunner.storage.protocol import Storage

ETAG = "0" * 32


class Heads:
    """Answers HEAD with a checksum by key; refuses those without one."""

    def __init__(self, **checksums: str) -> None:
        self.checksums = checksums

    def head(self, uri: S3Uri, _: str = "") -> ObjectInfo:
        if uri.key not in self.checksums:
            raise AccessDenied(f"no {uri.key}", hint="ask")
        return ObjectInfo(uri.key, 1, checksum=self.checksums[uri.key])


def make_side(*infos: Any, storage: Heads | None = None) -> Side:
    def entries() -> Iterator[tuple[str, Any]]:
        for each in infos:
            yield (each.path if isinstance(each, LocalFile) else each.key), each

    bucket = None if storage is None else S3Uri("box")
    return Side(entries, cast("Storage", storage), bucket)


def info(key: str, size: int = 1, etag: str = "") -> ObjectInfo:
    return ObjectInfo(key, size, etag, "2026-01-31T00:00:00Z")


def record(
    folder: Path, source: Side, target: Side, chosen: Selection | None = None, **more: Any
) -> tuple[Comparer, DifferenceRecorder, list[str]]:
    """Returns the names of the pairs that listings do not decide."""
    comparer = Comparer(source, target, more.get("by_size", False), False, Cancel())
    recorder = DifferenceRecorder(make_context(folder), source, target)
    with recorder.open(None):
        undecided = iterate_undecided(comparer, chosen or Selection(), recorder)
        return comparer, recorder, [name for name, _, _ in undecided]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (info("a", 1, ETAG), info("a", 1, ETAG), True),
        (info("a", 1, ETAG), info("a", 2, ETAG), False),
        (info("a", 1, "1"), info("a", 1, "1"), False),  # a counter of a server proves nothing
        (info("a", 1, ""), info("a", 1, ""), False),
    ],
)
def test_what_listings_prove(one: ObjectInfo, other: ObjectInfo, same: bool) -> None:
    assert is_same_listed(one, other) is same


def test_listings_decide_what_they_can(tmp_path: Path) -> None:
    heads = Heads()
    source = make_side(info("a", 1, ETAG), info("b"), info("c"), info("d", 2), storage=heads)
    target = make_side(info("a", 1, ETAG), info("c"), info("d", 3), info("e"), storage=heads)
    _, recorder, undecided = record(tmp_path, source, target)
    assert undecided == ["c"]
    found = recorder.found
    assert (found.same, found.counts["missing"], found.counts["extra"]) == (1, 1, 1)
    assert found.counts["different"] == 1


def test_sizes_suffice_where_they_should(tmp_path: Path) -> None:
    heads = Heads()
    sides = make_side(info("a"), storage=heads), make_side(info("a"), storage=heads)
    assert record(tmp_path, *sides)[2] == ["a"]
    assert record(tmp_path, *sides, by_size=True)[2] == []
    file = make_side(LocalFile("a", 1))
    assert record(tmp_path, sides[0], file, by_size=True)[2] == []
    assert record(tmp_path, sides[0], file)[2] == ["a"]


def test_a_file_that_cannot_be_read_is_left_to_the_comparison(tmp_path: Path) -> None:
    source = make_side(info("a"), storage=Heads())
    target = make_side(LocalFile("a", -1, problem=StepError("gone", type="Gone")))
    _, recorder, undecided = record(tmp_path, source, target)
    assert (undecided, recorder.found.total) == (["a"], 0)


def test_filters_choose_pairs(tmp_path: Path) -> None:
    source = make_side(info("a.csv"), info("b.txt"), storage=Heads())
    target = make_side(ObjectInfo("c.csv", 0), ObjectInfo("d.txt", 0))  # a list of checksums
    _, recorder, _ = record(tmp_path, source, target, Selection(include=("*.csv",)))
    assert recorder.found.first["missing"] == ["a.csv"]
    assert recorder.found.first["extra"] == ["c.csv"]


def test_requests_decide_the_rest_and_a_refused_one_is_a_failure(tmp_path: Path) -> None:
    one = Heads(a="CRC32:AAAAAA==", b="CRC32:AAAAAA==")
    other = Heads(a="CRC32:AAAAAA==", b="CRC32:AAAAAQ==")
    infos = info("a"), info("b"), info("c")
    source, target = make_side(*infos, storage=one), make_side(*infos, storage=other)
    comparer = Comparer(source, target, by_size=False, read=False, cancel=Cancel())
    recorder = DifferenceRecorder(make_context(tmp_path), source, target)
    with recorder.open(None):
        compare_sides(comparer, Selection(), recorder)
    found = recorder.found
    assert (found.same, found.counts["different"], found.failed) == (1, 1, 1)
    assert isinstance(found.error, AccessDenied)


def write(folder: Path, allowed: int) -> str:
    source = make_side(info("b"), info("a"), info("c"), storage=Heads(a="MD5:0a", b="MD5:0b"))
    recorder = DifferenceRecorder(make_context(folder), source, Side(lambda: iter(())))
    path = folder / "sums"
    write_checksums(path, "MD5", source, Selection(), recorder, lambda _: allowed, Cancel())
    return path.read_text()


def test_checksums_are_written_in_the_order_of_names(tmp_path: Path) -> None:
    assert write(tmp_path, 1).splitlines() == ["0a  a", "0b  b"]


def test_no_list_of_checksums_appears_if_too_many_failed(tmp_path: Path) -> None:
    with pytest.raises(AccessDenied, match="no c"):
        write(tmp_path, 0)
    assert not (tmp_path / "sums").exists()
