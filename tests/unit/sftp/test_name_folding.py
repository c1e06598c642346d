"""A server ignores case if a folder is found under its name in the other case."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest

from rolerunner.sftp.name_folding import is_case_insensitive


class Server:
    """A server with some folders, each with a time."""

    def __init__(self, home: str, folders: dict[str, int]) -> None:
        self._home = home
        self._folders = folders

    def run(self, work: Any, *_: object) -> Any:
        return work(self)

    def normalize(self, _: str) -> str:
        return self._home

    def lstat(self, path: str) -> Any:
        if path not in self._folders:
            raise OSError(errno.ENOENT, "No such file")
        return SimpleNamespace(st_mtime=self._folders[path])


@pytest.mark.parametrize(
    ("home", "folders", "expected"),
    [
        ("/", {"/in": 1, "/IN": 1}, True),
        ("/", {"/in": 1, "/IN": 2}, False),
        ("/", {"/in": 1}, False),
        ("/home", {"/home": 1, "/HOME": 1}, True),
        ("/", {}, False),
    ],
    ids=["folds", "two folders", "does not fold", "folds at home", "unknown"],
)
def test_the_other_case_is_looked_up(home: str, folders: dict[str, int], expected: bool) -> None:
    server: Any = Server(home, folders)
    assert is_case_insensitive(server, "/in/") is expected
