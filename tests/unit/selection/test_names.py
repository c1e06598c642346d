"""Names and timestamps in the forms in which they are compared."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from rolerunner.selection.names import (
    NameSet,
    fold_name,
    format_mtime,
    format_timestamp,
    name_digest,
)


def test_timestamps_are_those_of_s3() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 999_999, timezone.utc)
    assert format_timestamp(moment) == "2026-01-02T03:04:05Z"
    assert format_mtime(moment.timestamp()) == "2026-01-02T03:04:05Z"
    assert format_mtime(0) == "1970-01-01T00:00:00Z"


def test_a_digest_has_eight_bytes_and_takes_any_file_name() -> None:
    names = ["", "a", "A", "a/b", "\udcff", "\xe9", "e\u0301"]
    digests = {name_digest(name) for name in names}
    assert len(digests) == len(names)
    assert {len(digest) for digest in digests} == {8}
    assert name_digest("a") == name_digest("a")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("A/b", "a/B", True),
        ("\xe9", "e\u0301", True),
        ("STRASSE", "stra\xdfe", True),
        ("a", "b", False),
        ("a", "a ", False),
    ],
)
def test_names_are_folded_as_a_disk_does(one: str, other: str, same: bool) -> None:
    assert (fold_name(one) == fold_name(other)) is same


@pytest.mark.parametrize("folds", [False, True])
def test_a_set_of_names(folds: bool) -> None:
    names = NameSet(folds=folds)
    assert not names
    assert "a" not in names
    names.add("In/A")
    assert names
    assert "In/A" in names
    assert ("in/a" in names) is folds
    assert "in" not in names


def test_names_can_be_added_after_the_first_look() -> None:
    names = NameSet()
    for number in range(2000):
        names.add(str(number))
        assert str(number) in names
    assert all(str(number) in names for number in range(2000))
    assert not any(str(number) in names for number in range(2000, 4000))
