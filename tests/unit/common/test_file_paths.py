"""Paths of keys stay within their folder, and are names that the file system takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rolerunner.common.file_paths import MAX_NAME, expand_path, resolve_key_path
from rolerunner.errors import LocalFileFailed, UnsafeKey


def test_paths_of_specs_are_absolute_and_links_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    assert expand_path("link/../a") == tmp_path / "a"
    assert expand_path("link/a") == tmp_path / "link" / "a"
    assert expand_path("~/a") == Path("/home/ada/a")
    assert expand_path("/a//b/.") == Path("/a/b")


@pytest.mark.parametrize(
    "key",
    ["a", "a/b", "...", "a/...", "..a", "a..", "\xe9", "x" * MAX_NAME, "a b", "-", "a\\b", "a:b"],
)
def test_a_key_is_a_file_below_the_folder(tmp_path: Path, key: str) -> None:
    assert resolve_key_path(tmp_path, key) == f"{tmp_path}/{key}"


def test_a_long_key_of_short_parts_is_a_file(tmp_path: Path) -> None:
    key = "/".join(["x" * MAX_NAME] * 3)
    assert resolve_key_path(tmp_path, key) == f"{tmp_path}/{key}"


def test_the_root_is_a_folder_too() -> None:
    assert resolve_key_path(Path("/"), "a") == "/a"


PART = "contains an empty part, '.' or '..'"


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("", PART),
        ("/a", PART),
        ("a/", PART),
        ("a//b", PART),
        (".", PART),
        ("a/./b", PART),
        ("..", PART),
        ("../a", PART),
        ("a/..", PART),
        ("a\0b", "contains a NUL character"),
        ("x" * (MAX_NAME + 1), "has a part of more than 255 bytes"),
        ("\xe9" * 128, "has a part of more than 255 bytes"),
    ],
)
def test_a_key_that_is_no_file_name_is_refused(tmp_path: Path, key: str, problem: str) -> None:
    with pytest.raises(UnsafeKey) as caught:
        resolve_key_path(tmp_path, key)
    assert str(caught.value) == f"the key '{key}' {problem}: it cannot be a file below {tmp_path}"


def test_a_key_without_an_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalFileFailed, match="cannot be a file name") as caught:
        resolve_key_path(tmp_path, "a\ud83d")
    assert caught.value.type == "FileNameNotEncodable"


@pytest.mark.parametrize("key", ["link/a", "link/d/a", "d/link/a"])
def test_a_key_through_a_link_is_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for place in ("link", "d/link"):
        os.symlink(tmp_path / "elsewhere", tmp_path / place)
    with pytest.raises(UnsafeKey, match="leads through the link"):
        resolve_key_path(tmp_path, key)
    assert resolve_key_path(tmp_path, "link") == f"{tmp_path}/link", "the file itself is replaced"
