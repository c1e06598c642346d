"""Partitions are found by the folders of Hive, or by those of a layout."""

from __future__ import annotations

import pytest

from rolerunner.actions.partition_layout import HIVE, PartitionFinder, check_layout
from rolerunner.model import S3Uri

BASE = S3Uri("lake", "orders/")
KEYS = [("Country", "string"), ("day", "date"), ("n", "int")]


@pytest.mark.parametrize(
    ("key", "values", "folder"),
    [
        (
            "orders/country=at/day=2026-01-31/n=1/a",
            ("at", "2026-01-31", "1"),
            "orders/country=at/day=2026-01-31/n=1/",
        ),
        (
            "elsewhere/N=-5/x=y/day=2026-01-31/country=a%2Fb/sub/a",
            ("a/b", "2026-01-31", "-5"),
            "elsewhere/N=-5/x=y/day=2026-01-31/country=a%2Fb/",
        ),
        (
            "country=at/day=__HIVE_DEFAULT_PARTITION__/n=__HIVE_DEFAULT_PARTITION__/a",
            ("at", "__HIVE_DEFAULT_PARTITION__", "__HIVE_DEFAULT_PARTITION__"),
            "country=at/day=__HIVE_DEFAULT_PARTITION__/n=__HIVE_DEFAULT_PARTITION__/",
        ),
    ],
)
def test_folders_of_hive(key: str, values: tuple[str, ...], folder: str) -> None:
    found = PartitionFinder(HIVE, KEYS, BASE).find(S3Uri("lake", key))
    assert (found.values, found.location) == (values, S3Uri("lake", folder))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("orders/country=at/day=2026-01-31/a", "no folder for the partition key 'n'"),
        ("orders/country=at/day=2026-01-31/n=1", "no folder for the partition key 'n'"),
        ("orders/country=/day=2026-01-31/n=1/a", "an empty value for the partition key 'Country'"),
        ("orders/country=at/day=yesterday/n=1/a", "'yesterday' for the partition key 'day'"),
        ("orders/country=at/day=20260131/n=1/a", "'20260131' for the partition key 'day'"),
        ("orders/country=at/day=2026-01-31/n=one/a", "which is of type int"),
    ],
)
def test_folders_that_are_no_partition(key: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PartitionFinder(HIVE, KEYS, BASE).find(S3Uri("lake", key))


def test_folders_of_a_layout() -> None:
    finder = PartitionFinder("v1/{Day}/{country}-{n}", KEYS, BASE)
    found = finder.find(S3Uri("lake", "orders/v1/2026-01-31/at-7/sub/a.csv"))
    assert found.values == ("at", "2026-01-31", "7")
    assert found.location == S3Uri("lake", "orders/v1/2026-01-31/at-7/")
    for key, message in (
        ("orders/v2/2026-01-31/at-7/a", "does not have the folders of 'layout'"),
        ("orders/v1/2026-01-31/at-7", "does not have the folders of 'layout'"),
        ("other/v1/2026-01-31/at-7/a", "is not below the location of the table"),
    ):
        with pytest.raises(ValueError, match=message):
            finder.find(S3Uri("lake", key))


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("year/month", "must be hive, or folders"),
        ("{year", "must be hive, or folders"),
        ("{a-b}", "not the name of a partition key"),
        ("{day}/{day}", "names a partition key twice"),
    ],
)
def test_layouts_that_are_none(layout: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_layout(layout)
    assert check_layout("{year}/{month}") == "{year}/{month}"


def test_a_layout_names_the_keys_of_the_table() -> None:
    with pytest.raises(ValueError, match="'layout' names day, and the table has"):
        PartitionFinder("{day}", KEYS, BASE)
