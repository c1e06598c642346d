"""Formats by suffix, numbered archives, and names that cannot be members."""

from __future__ import annotations

from typing import Optional

import pytest

from rolerunner.actions.archive_formats import (
    PACKED,
    archive_pattern,
    find_format,
    find_name_problem,
    number_archive,
)
from rolerunner.model import S3Uri


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("a/b.tar", "tar"),
        ("a.TAR.GZ", "tar.gz"),
        ("a.tgz", "tar.gz"),
        ("a.tar.zst", "tar.zst"),
        ("a.zip", "zip"),
        ("a.gz", None),
        ("tar", None),
    ],
)
def test_the_suffix_names_the_format(key: str, found: Optional[str]) -> None:
    assert find_format(key) == found


def test_pack_writes_no_bz2() -> None:
    assert (find_format("a.tar.bz2"), find_format("a.tar.bz2", PACKED)) == ("tar.bz2", None)


@pytest.mark.parametrize(
    ("key", "numbered", "pattern"),
    [
        ("a/b.tar.gz", "a/b-00012.tar.gz", "a/b-*.tar.gz"),
        ("b.ZIP", "b-00012.ZIP", "b-*.ZIP"),
        ("b", "b-00012", "b-*"),
    ],
)
def test_the_number_goes_before_the_suffix(key: str, numbered: str, pattern: str) -> None:
    assert number_archive(S3Uri("box", key), 12).key == numbered
    assert archive_pattern(S3Uri("box", key)).key == pattern


@pytest.mark.parametrize("name", ["a", "a/b..c", "..a/b", "a\\b", "\u4e2d", ".hidden", "a:b"])
def test_names_that_can_be_members(name: str) -> None:
    assert not find_name_problem(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "/a", "a//b", "a/", ".", "../a", "a/../b", "a\0b", "\udcff", "a" * 1025),
        *("..\\a", "a\\..\\b", "\\a", "C:\\a", "c:/a"),
    ],
)
def test_names_that_cannot_be_members(name: str) -> None:
    assert find_name_problem(name)
