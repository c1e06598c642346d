"""Tests the log lines that events become."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest

from rolerunner.events import Note, RunFinished, StepProgress
from rolerunner.model import Failure, RunResult
from rolerunner.observers.log import Log, format_event

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Restores the root logger, whose handlers Log replaces."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("status", "level"),
    [("succeeded", "info"), ("warning", "warning"), ("failed", "error"), ("stopped", "error")],
)
def test_level_of_a_finished_run(status: str, level: str) -> None:
    result = RunResult("id", "job", status, "", 1.0, (), (), Failure("Refused", "no", ""))  # type: ignore[arg-type]
    found, name, values = format_event(RunFinished(result))
    assert (found, name) == (level, "run_finished")
    assert (values["type"], values["error"]) == ("Refused", "no")


def test_lines_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    log = Log(stream, level="warning")
    log.notify(StepProgress("a", 1, 2, 3))
    log.notify(Note("", "info", "quiet", {}))
    log.notify(Note("a", "warning", "loud", {"count": 2}))
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert (record["event"], record["step"], record["count"]) == ("loud", "a", 2)


def test_lines_of_other_loggers_have_the_same_form() -> None:
    stream = io.StringIO()
    Log(stream)
    logging.getLogger("theirs").warning("slow %s", "disk")
    record = json.loads(stream.getvalue())
    assert (record["event"], record["logger"], record["level"]) == (
        "slow disk",
        "theirs",
        "warning",
    )
