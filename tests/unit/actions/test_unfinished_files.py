"""The writer of unfinished files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rolerunner.actions.unfinished_files import FileWriter
from rolerunner.model import Step
from rolerunner.run.work_notes import StartedWork, WorkNotes
from tests.unit.actions.context import make_context

if TYPE_CHECKING:
    from pathlib import Path


def test_each_run_without_a_state_is_another_writer(tmp_path: Path) -> None:
    one, other = FileWriter(make_context(tmp_path)), FileWriter(make_context(tmp_path))
    assert one.of_large == one.of_small
    assert one.of_large != other.of_large
    assert not one.is_continued


@pytest.mark.parametrize("is_kept", [False, True])
def test_attempts_of_a_step_are_one_writer_of_large_files(is_kept: bool, tmp_path: Path) -> None:
    notes = WorkNotes(write=(lambda _: None) if is_kept else None)
    started = StartedWork("it", Step("it", "sftp.upload", {}), "run", dict, notes)
    context = replace(make_context(tmp_path), started_work=started)
    one, other = FileWriter(context), FileWriter(context)
    assert one.of_large == other.of_large
    assert one.of_small != other.of_small
    assert one.is_continued is is_kept
