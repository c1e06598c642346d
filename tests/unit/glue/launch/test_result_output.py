"""The result file of a job run: where it is, when it is written, and what if it cannot be."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rolerunner.errors import LocalFileFailed
from rolerunner.glue.launch.result_output import ResultOutput
from rolerunner.model import Failure, RunResult
from rolerunner.observers.log import Log
from rolerunner.sessions.identity import JobIdentity

if TYPE_CHECKING:
    from pathlib import Path

RESULT = RunResult("r-1", "daily", "failed", "2026-01-31T00:00:00Z", 1.0, (), ())


def open_output(target: object, log: io.StringIO | None = None) -> ResultOutput:
    return ResultOutput(str(target), "r-1", Log(log or io.StringIO()))


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("", ""),
        ("s3://ops/results/", "s3://ops/results/r-1.json"),
        ("s3://ops/result.json", "s3://ops/result.json"),
        ("out/", "out/r-1.json"),
    ],
)
def test_a_folder_has_a_file_for_each_run(target: str, place: str) -> None:
    assert open_output(target).target == place


def test_a_result_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    output = open_output(path)
    output.check()
    assert output.write(RESULT, JobIdentity()) is None
    assert json.loads(path.read_text())["job"] == "daily"
    path.write_text("kept")
    assert output.write(RESULT, JobIdentity()) is None
    assert path.read_text() == "kept"


def test_a_result_with_an_error_is_the_last(tmp_path: Path) -> None:
    output = open_output(tmp_path / "r.json")
    lacking = [output.lacks_error]
    for result in (RESULT, replace(RESULT, error=Failure("UsageError", "wrong"))):
        output.write(result, JobIdentity())
        lacking.append(output.lacks_error)
    assert lacking == [True, True, False]
    assert json.loads((tmp_path / "r.json").read_text())["error"]["message"] == "wrong"


def test_no_file_is_written_without_a_target() -> None:
    output = open_output("")
    output.check()
    assert output.write(RESULT, JobIdentity()) is None


def test_a_folder_that_is_not_there_is_found_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalFileFailed):
        open_output(tmp_path / "file" / "r.json").check()


def test_the_log_has_a_result_that_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "r.json"
    log = io.StringIO()
    output = open_output(target, log)
    for _ in range(2):
        failure = output.write(RESULT, JobIdentity())
        assert failure is not None
        assert failure.message.startswith(f"the result could not be written to {target}: ")
    (line,) = log.getvalue().splitlines()
    event = json.loads(line)
    assert (event["event"], event["target"]) == ("result_not_written", str(target))
    assert json.loads(event["result"])["job"] == "daily"
