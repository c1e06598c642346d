"""Modification times as metadata."""

from __future__ import annotations

import pytest

from rolerunner.storage.kept_times import (
    add_mtime,
    find_mtime,
    format_mtime,
    parse_mtime,
    source_mtime,
)
from rolerunner.storage.protocol import ObjectInfo

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (1_600_000_000 * SECOND, "1600000000"),
        (1_600_000_000_500_000_000, "1600000000.5"),
        (-1_500_000_000, "-1.5"),
        (-1, "-0.000000001"),
    ],
)
def test_times_are_seconds_with_decimals(nanoseconds: int, text: str) -> None:
    assert format_mtime(nanoseconds) == text
    assert parse_mtime(text) == nanoseconds


def test_more_decimals_than_nanoseconds_are_cut_off() -> None:
    assert parse_mtime("1.1234567891234") == 1_123_456_789


@pytest.mark.parametrize(
    "text", ["", " 1", "1\n", "1e9", "nan", "inf", "1.", ".5", "--1", "1" * 12, "\u0661"]
)
def test_what_is_no_time_is_left_out(text: str) -> None:
    assert parse_mtime(text) is None
    info = ObjectInfo("a", 1, modified="1970-01-01T00:00:02Z", mtime=text)
    assert find_mtime(info) == 2 * SECOND


def test_the_time_of_metadata_comes_before_that_of_s3() -> None:
    info = ObjectInfo("a", 1, modified="1970-01-01T00:00:02Z", mtime="1.5")
    assert source_mtime(info) == "1.5"
    assert source_mtime(ObjectInfo("a", 1, modified="1970-01-01T00:00:02Z")) == "2"
    assert source_mtime(ObjectInfo("a", 1)) == ""


def test_metadata_gains_the_time() -> None:
    assert add_mtime({"ACL": "private"}, "") == {"ACL": "private"}
    assert add_mtime({"Metadata": {"a": "b"}}, "1") == {"Metadata": {"a": "b", "mtime": "1"}}
    assert add_mtime({"Metadata": None}, "1") == {"Metadata": {"mtime": "1"}}
