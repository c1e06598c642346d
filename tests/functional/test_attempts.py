"""Attempts: work in its grace period, work that still runs, and calls that are not idempotent."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import SpecError
from rolerunner.run import timeouts
from tests import memory_aws as memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.model import RunResult

FUNCTIONS = """
import time
from pathlib import Path

def note(path, word):
    with Path(path).open("a") as file:
        file.write(word)

def late(context, path, seconds):
    note(path, "x")
    time.sleep(seconds)
    return {"answer": 42}

def until_cancelled(context, path):
    note(path, "x")
    context.cancel.wait(30)
    return {"answer": 42}

def fails_when_cancelled(context, path):
    note(path, "x")
    context.cancel.wait(30)
    raise ValueError("half done")

def raises(context, path, kind):
    note(path, "x")
    raise type(kind, (Exception,), {})("no answer")
"""


@pytest.fixture(autouse=True)
def _functions(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "tries_code.py").write_text(FUNCTIONS)
    yield
    sys.modules.pop("tries_code", None)


def run(
    tmp_path: Path, function: str, more: str, top: str = "", run_key: str = "", **arguments: Any
) -> RunResult:
    path = tmp_path / "job.yaml"
    given = {"path": str(tmp_path / "calls"), **arguments}
    path.write_text(
        "version: 1\n"
        "name: t\n"
        f"{top}steps:\n"
        f"  - {{id: a, action: python.call, function: 'tries_code:{function}', "
        f"arguments: {given}, {more}}}\n"
    )
    return api.run(api.load(path), run_key=run_key)


def calls(tmp_path: Path) -> int:
    return len((tmp_path / "calls").read_text())


@pytest.mark.parametrize(
    "limit", ["timeout: 0.2", "retry: {attempts: 3, delay: 0.01, timeout: 0.2}"]
)
def test_work_that_succeeds_in_its_grace_period_is_done(limit: str, tmp_path: Path) -> None:
    result = run(tmp_path, "until_cancelled", limit)
    assert (result.status, result.steps[0].outputs, calls(tmp_path)) == (
        "succeeded",
        {"answer": 42},
        1,
    )


def test_work_that_fails_in_its_grace_period_timed_out(tmp_path: Path) -> None:
    result = run(
        tmp_path, "fails_when_cancelled", "retry: {attempts: 2, delay: 0.01, timeout: 0.2}"
    )
    assert result.steps[0].error is not None
    assert (result.steps[0].error.type, calls(tmp_path)) == ("Timeout", 2)


def test_work_that_still_runs_is_not_called_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "GRACE_SECONDS", 0.1)
    result = run(tmp_path, "late", "retry: {attempts: 3, delay: 0.01, timeout: 0.1}", seconds=2)
    assert result.steps[0].error is not None
    assert (result.steps[0].error.type, result.steps[0].attempts, calls(tmp_path)) == (
        "Timeout",
        1,
        1,
    )
    assert "was abandoned" in result.steps[0].error.message


@pytest.mark.slow
def test_work_that_still_runs_is_not_called_again_by_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "GRACE_SECONDS", 0.1)
    assert run(tmp_path, "late", "timeout: 0.1", seconds=3).status == "failed"
    second = run(tmp_path, "late", "timeout: 0.1", seconds=3)
    assert second.steps[0].error is not None
    assert (second.steps[0].error.type, calls(tmp_path)) == ("StillRunning", 1)
    assert run(tmp_path, "late", "timeout: 20", seconds=0).status == "succeeded", (
        "another call of the step is another call"
    )
    deadline = time.monotonic() + 30
    while run(tmp_path, "late", "timeout: 20", seconds=3).status != "succeeded":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert calls(tmp_path) == 3


@pytest.mark.parametrize(
    ("kind", "idempotent", "times"),
    [("ReadTimeoutError", True, 3), ("ReadTimeoutError", False, 1), ("SlowDown", False, 1)],
)
def test_a_function_that_is_not_idempotent_is_called_once(
    kind: str, idempotent: bool, times: int, tmp_path: Path
) -> None:
    result = run(
        tmp_path,
        "raises",
        f"idempotent: {str(idempotent).lower()}, retry: {{attempts: 3, delay: 0.01}}",
        kind=kind,
    )
    assert (result.status, result.steps[0].attempts, calls(tmp_path)) == ("failed", times, times)


@pytest.mark.parametrize(
    ("status", "code", "idempotent", "least", "most"),
    [
        (503, "Throttling", False, 3, 3),
        (500, "InternalFailure", False, 1, 1),
        (0, "", False, 1, 1),
    ],
)
def test_a_call_of_aws_that_is_not_idempotent(
    status: int,
    code: str,
    idempotent: bool,
    least: int,
    most: int,
    memory_aws: memory.Store,
    tmp_path: Path,
) -> None:
    """Throttled calls are repeated; calls without a response, or with a server error, are not."""
    memory_aws.hook = lambda request: (
        None if request.method != "PUT" else (memory.error(status, code) if status else memory.LOSE)
    )
    path = tmp_path / "job.yaml"
    path.write_text(
        "version: 1\n"
        "name: t\n"
        "steps:\n"
        "  - {id: a, action: aws.call, role: job, service: s3, operation: PutObject, "
        f"idempotent: {str(idempotent).lower()},"
        " parameters: {Bucket: some-bucket, Key: k}, retry: {attempts: 3, delay: 0.01}}\n"
    )
    result = api.run(api.load(path))
    puts = memory_aws.requests_of("PUT")
    assert result.status == "failed"
    assert least <= len(puts) <= most


def test_what_does_not_go_together(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        "version: 1\nname: t\nsteps:\n"
        "  - {id: a, action: aws.call, role: job, service: s3, operation: ListBuckets, "
        "idempotent: false, wait_until: {expression: Owner}}\n"
        "  - {id: b, action: python.call, function: 'tries_code:late', "
        "objects: ['s3://bucket/k'], distribute: spark, idempotent: false}\n"
        "  - {id: c, action: python.call, function: 'tries_code:late', idempotent: '${{ 1 }}'}\n"
    )
    with pytest.raises(SpecError) as raised:
        api.load(path)
    told = str(raised.value)
    assert told.count("'idempotent: false' forbids") == 2
    assert "'idempotent'" in told
