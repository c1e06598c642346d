"""Servers that have one file for names that differ in case alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from rolerunner.errors import StepError
from rolerunner.sftp.name_folding import is_case_insensitive


@dataclass
class Attributes:
    st_mtime: int


@dataclass
class Server:
    """A server whose files are found by their path, or by its lower case."""

    times: dict[str, int]
    folds: bool = False
    home: str = "/home/ada"
    failure: Exception | None = None
    asked: list[str] = field(default_factory=list)

    def run(self, work: Any, path: str, what: str) -> Any:
        del path, what
        if self.failure is not None:
            raise self.failure
        return work(self)

    def normalize(self, path: str) -> str:
        assert path == "."
        return self.home

    def lstat(self, path: str) -> Attributes:
        self.asked.append(path)
        known = {each.lower(): time for each, time in self.times.items()}
        found = known.get(path.lower()) if self.folds else self.times.get(path)
        if found is None:
            raise FileNotFoundError(2, "No such file")
        return Attributes(found)


@pytest.mark.parametrize(
    ("server", "folder", "expected"),
    [
        (Server({"/In": 1}, folds=True), "/In/", True),
        (Server({"/In": 1}), "/In", False),
        (Server({"/In": 1, "/iN": 2}), "/In", False),  # two folders
        (Server({"/home/ada": 1}, folds=True), "/not/yet", True),
        (Server({"/home/ada": 1}), "/not/yet", False),
        (Server({"/1": 1, "/home/ada": 1}, folds=True), "/1", True),  # no letter
        (Server({"/1": 1}, folds=True, home="/2"), "/1", False),
        (Server({}, folds=True), "/In", False),
    ],
)
def test_a_folder_is_looked_up_in_the_other_case(
    server: Server, folder: str, expected: bool
) -> None:
    assert is_case_insensitive(server, folder) is expected  # type: ignore[arg-type]


def test_a_path_without_letters_is_not_looked_up() -> None:
    server = Server({}, home="/2")
    assert not is_case_insensitive(server, "/1")  # type: ignore[arg-type]
    assert server.asked == []


def test_a_lost_connection_is_an_error() -> None:
    server = Server({}, failure=StepError("lost"))
    with pytest.raises(StepError, match="lost"):
        is_case_insensitive(server, "/In")  # type: ignore[arg-type]
