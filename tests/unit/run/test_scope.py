"""The values that expressions read."""

from __future__ import annotations

from datetime import date, datetime, timezone

from rolerunner.model import Job, Step, StepResult
from rolerunner.run.scope import build_scope, read_outputs

STARTED = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def test_a_scope_has_params_steps_and_the_run() -> None:
    job = Job("j", (), {"n": 1})
    assert build_scope(job, "r", STARTED, {"a": {}}, "broken") == {
        "params": {"n": 1},
        "steps": {"a": {}},
        "run": {
            "id": "r",
            "name": "j",
            "date": date(2026, 1, 31),
            "time": STARTED,
            "error": "broken",
        },
        "today": date(2026, 1, 31),
        "now": STARTED,
    }
    assert build_scope(job, "r", STARTED)["steps"] == {}
    assert build_scope(job, "r", STARTED)["run"]["error"] == ""


def test_a_step_reads_the_steps_that_it_names() -> None:
    results = {
        name: StepResult(name, "x", "", "succeeded", outputs={"n": name}) for name in ("a", "b")
    }
    results["c"] = StepResult("c", "x", "", "skipped", outputs={"n": 3}, was="warning")
    step = Step("it", "x", {}, references=frozenset({"a", "c", "none"}))
    assert read_outputs(step, results) == {
        "a": {"n": "a", "status": "succeeded"},
        "c": {"n": 3, "status": "warning"},
    }
