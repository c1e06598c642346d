"""The files of a result: those that fail, and a run that did not begin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from rolerunner.cli.result_files import record_result
from rolerunner.errors import SpecError, UsageError
from rolerunner.events import RunFinished
from rolerunner.model import RunResult

if TYPE_CHECKING:
    from pathlib import Path

ENDED = RunFinished(RunResult("id", "job", "succeeded", "2026-01-01T00:00:00Z", 1.0, (), ()))


def test_each_file_is_written_whatever_becomes_of_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with record_result(str(tmp_path / "a/r.json"), str(tmp_path / "r.html")) as files:
        (tmp_path / "a").rmdir()
        (tmp_path / "a").touch()
        files.notify(ENDED)
        assert files.print_lost_result()
    assert "id" in (tmp_path / "r.html").read_text()
    printed = capsys.readouterr().err
    assert printed.count("could not be written") == 1
    assert json.loads(printed[printed.index("{") :])["run_id"] == "id"


def test_nothing_is_printed_of_files_that_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with record_result(str(tmp_path / "r.json"), None) as files:
        files.notify(ENDED)
        assert not files.print_lost_result()
    assert capsys.readouterr().err == ""


def test_a_run_that_does_not_begin_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(SpecError), record_result(str(tmp_path / "r.json"), None):
        raise SpecError([])
    assert json.loads((tmp_path / "r.json").read_text())["error"]["type"] == "SpecError"


def test_a_result_of_the_runner_is_not_replaced(tmp_path: Path) -> None:
    def end_and_fail() -> None:
        with record_result(str(tmp_path / "r.json"), None) as files:
            files.notify(ENDED)
            raise UsageError("later")

    with pytest.raises(UsageError):
        end_and_fail()
    assert json.loads((tmp_path / "r.json").read_text())["run_id"] == "id"
