"""The log of a run in the sandbox: groups, batches, and a role that may not write it."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from rolerunner.glue.rehearsal import sandboxed_log
from rolerunner.glue.rehearsal.sandboxed_log import RunLog
from rolerunner.glue.rehearsal.sandboxed_run import SandboxedRun

if TYPE_CHECKING:
    import pytest

PYTHON, SPARK = ("pythonshell", "3.9"), ("glueetl", "5.0")


class FakeLogs:
    """CloudWatch Logs in which each group is there already."""

    exceptions: Any = type("Exceptions", (), {"ResourceAlreadyExistsException": KeyError})

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.calls = 0
        self.written: list[tuple[str, list[str]]] = []

    def create_log_group(self, logGroupName: str) -> None:  # noqa: N803 - as boto3 names it
        self.calls += 1
        if self.refuses:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "CreateLogGroup")
        raise KeyError(logGroupName)

    def create_log_stream(self, **_: str) -> None:
        self.calls += 1

    def put_log_events(self, logGroupName: str, logStreamName: str, logEvents: Any) -> None:  # noqa: N803
        assert "jr_1" in logStreamName
        self.written.append((logGroupName, [each["message"] for each in logEvents]))


def send(logs: FakeLogs, kind: tuple[str, str], *lines: tuple[str, str]) -> RunLog:
    job = {"Command": {"Name": kind[0]}, "GlueVersion": kind[1]}
    run = SandboxedRun(job, {"Id": "jr_1"}, "", "111122223333", "eu-west-1")
    log = RunLog(logs, run, run.runtime)
    for _ in range(2):
        waiting: queue.Queue[tuple[str, str]] = queue.Queue()
        for line in lines:
            waiting.put(line)
        log.send(waiting)
    return log


def test_output_and_errors_have_groups_and_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandboxed_log, "_BATCH", 2)
    logs = FakeLogs()
    send(logs, PYTHON, ("output", "a"), ("output", ""), ("output", "b"), ("error", "c"))
    once = [
        ("/aws-glue/python-jobs/output", ["a", " "]),
        ("/aws-glue/python-jobs/output", ["b"]),
        ("/aws-glue/python-jobs/error", ["c"]),
    ]
    assert logs.written == once * 2
    assert logs.calls == 4  # each group and its stream once


def test_newer_spark_has_one_group_for_both() -> None:
    logs = FakeLogs()
    send(logs, SPARK, ("output", "a"), ("error", "c"))
    assert {group.rpartition("/")[2] for group, _ in logs.written} == {"output"}


def test_a_role_that_may_not_log_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs = FakeLogs(refuses=True)
    send(logs, PYTHON, ("output", "a"))
    assert (logs.calls, logs.written) == (1, [])
    assert "AccessDenied" in capsys.readouterr().err
