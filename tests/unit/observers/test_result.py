"""The result file: its fields, redaction and the values that are left out."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from rolerunner.events import RunFinished, RunStarted, StepStarted
from rolerunner.model import Failure, Job, Plan, RoleUse, RunResult, Step, StepResult
from rolerunner.observers.result import ResultFile, build_result_document, to_plain_outputs
from rolerunner.redaction.secrets import MASK

PLAN = Plan(Job("j", ()), (), ())
DONE = StepResult("a", "s3.list", "reader", "succeeded", 2, 1.5, {"count": 3, "token": "kV2"})
WRONG = StepResult(
    "b", "s3.copy", "", "skipped", error=Failure("NotFound", "none", "look"), reason="'when'"
)


def result(**more: Any) -> RunResult:
    values: dict[str, Any] = {"roles": (), "steps": (DONE, WRONG), **more}
    return RunResult("r-1", "j", "failed", "2026-01-31T00:00:00Z", 2.5, **values)


def test_the_document_has_all_fields_of_the_run_and_its_steps() -> None:
    role = RoleUse("reader", "arn:r", "arn:s", 1)
    assert build_result_document(result(roles=(role,)), {"a": 0.12345}) == {
        "version": 1,
        "run_id": "r-1",
        "job": "j",
        "status": "failed",
        "started": "2026-01-31T00:00:00Z",
        "seconds": 2.5,
        "roles": [{"role": "reader", "arn": "arn:r", "session_arn": "arn:s", "assume_calls": 1}],
        "steps": [
            {
                "id": "a",
                "action": "s3.list",
                "role": "reader",
                "status": "succeeded",
                "attempts": 2,
                "seconds": 1.5,
                "outputs": {"count": 3, "token": MASK},
                "start": 0.123,
            },
            {
                "id": "b",
                "action": "s3.copy",
                "role": "",
                "status": "skipped",
                "attempts": 0,
                "seconds": 0.0,
                "outputs": {},
                "reason": "'when'",
                "error": {"type": "NotFound", "message": "none", "hint": "look"},
            },
        ],
    }


def test_a_session_of_one_step_and_an_error_of_the_run_are_named() -> None:
    document = build_result_document(
        result(roles=(RoleUse("r", "a", "s", 2, step="a"),), error=Failure("LockLost", "gone")), {}
    )
    assert document["roles"][0]["step"] == "a"
    assert document["error"] == {"type": "LockLost", "message": "gone", "hint": ""}
    assert "start" not in document["steps"][0]


def test_outputs_become_json_whatever_they_are() -> None:
    shown = to_plain_outputs({"a": Path("x"), "b": {1}, "c": b"\xff"})
    assert shown == {"a": "x", "b": [1], "c": "/w=="}


def test_the_file_is_written_at_the_end_of_the_run_and_private(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    observer = ResultFile.at(path)
    observer.notify(RunStarted("r-1", PLAN))
    observer.notify(StepStarted(Step("a", "s3.list", {}), ""))
    first = json.loads(observer.encode_result(result()))["steps"][0]["start"]
    observer.notify(StepStarted(Step("a", "s3.list", {}), ""))
    assert not path.exists()
    before = observer.is_written
    observer.notify(RunFinished(result()))
    assert (before, observer.is_written) == (False, True)
    written = json.loads(path.read_bytes())
    assert written["steps"][0]["start"] == first, "a second attempt does not move the start"
    assert "start" not in written["steps"][1]
    assert path.read_bytes().endswith(b"}\n")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
