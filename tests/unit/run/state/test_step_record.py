"""The files that a completed step left count on the machine that has them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.run.state.leftovers import write_left
from rolerunner.run.state.lists import ListWriter
from rolerunner.run.state.step_record import StepRecord, find_left_change, restore_outputs
from rolerunner.run.state.stores import FolderStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any


def create_record(left: Mapping[str, Any] | None) -> StepRecord:
    return StepRecord("succeeded", {"count": 3, "names": ["a"]}, {}, "run", left=left)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "state")


def test_a_step_that_left_nothing_has_not_changed(store: FolderStore, tmp_path: Path) -> None:
    assert find_left_change(create_record(None), store, tmp_path, Cancel()) == ""
    assert restore_outputs(create_record(None), store, tmp_path) == {"count": 3, "names": ["a"]}


def test_files_of_another_machine_are_not_trusted(store: FolderStore, tmp_path: Path) -> None:
    record = create_record({"host": "elsewhere"})
    change = find_left_change(record, store, tmp_path, Cancel())
    assert change == f"its files are on elsewhere, and this is {socket.gethostname()}"


def test_a_file_that_changed_is_named(store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    listed = tmp_path / "left.jsonl"
    write_left([str(tmp_path / "file")], listed, Cancel())
    record = create_record(ListWriter(store, "step").store_left([listed]))
    assert find_left_change(record, store, tmp_path, Cancel()) == ""
    (tmp_path / "file").write_text("changed")
    assert "file changed" in find_left_change(record, store, tmp_path, Cancel())
