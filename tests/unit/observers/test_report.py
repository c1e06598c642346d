"""The page of a result: facts, errors, escaping, and documents that are none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rolerunner.errors import UsageError
from rolerunner.events import RunFinished
from rolerunner.model import Failure, RoleUse, RunResult, StepResult
from rolerunner.observers.report import ReportPage, render_page
from rolerunner.observers.result import build_result_document


def page(*steps: StepResult, **more: Any) -> str:
    values: dict[str, Any] = {"status": "succeeded", "roles": (), **more}
    status, roles = values.pop("status"), values.pop("roles")
    result = RunResult("r-1", "nightly", status, "2026-01-31", 90.0, roles, steps, **values)
    return render_page(build_result_document(result, {}))


def facts(html: str) -> dict[str, str]:
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html))


def step(name: str, status: Any = "succeeded", **more: Any) -> StepResult:
    return StepResult(name, more.pop("action", "s3.copy"), "reader", status, **more)


def test_facts_are_sums_over_the_steps() -> None:
    html = page(
        step("a", outputs={"count": 2, "bytes": 1024}),
        step("b", outputs={"count": 1000, "bytes": 512}),
        step("c", "skipped"),
        step("d", action="s3.list", outputs={"count": 7, "bytes": 7}),
        roles=(RoleUse("reader", "arn", "arn", 2), RoleUse("x", "arn", "arn", 1)),
    )
    assert facts(html) == {
        "took": "1 min 30 s",
        "4 steps": "3 succeeded, 1 skipped",
        "moved": "1.5 KiB",
        "objects": "1,002",
        "2 roles": "3 AssumeRole calls",
    }


def test_a_run_without_steps_is_a_page() -> None:
    assert facts(page())["0 steps"] == "none"


def test_control_characters_are_shown() -> None:
    hostile = "\x00\x1b[31m\x85\u202e</pre>"
    failed = step("a", "failed", error=Failure(hostile, hostile, hostile), outputs={"key": hostile})
    html = page(failed, status="failed", error=Failure("E", hostile))
    assert not re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", html)
    assert html.count("\\x00\\x1b[31m\\x85\\u202e&lt;/pre&gt;") >= 4


def test_errors_are_shown_with_their_hints() -> None:
    html = page(
        step("a", "failed", error=Failure("NotFound", "no <b>", "look")),
        status="failed",
        error=Failure("LockLost", "the lock is gone"),
    )
    assert "<title>nightly: failed</title>" in html
    assert "<pre>no &lt;b&gt;</pre><p>What to do:</p><pre>look</pre>" in html
    assert "the lock is gone" in html
    assert "<b>" not in html


def test_the_page_loads_nothing_from_elsewhere() -> None:
    html = page(step("a"))
    assert "default-src 'none'" in html
    assert not re.search(r'(?:src|href)="(?!#)', html)
    assert "<script" not in html


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "not a result file: version: field required"),
        ({"version": 2}, "not a result file: version: input should be 1"),
        ([], "not a result file: the top: "),
    ],
)
def test_another_document_is_an_error(document: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        render_page(document)
    assert str(caught.value).startswith(message)


def test_the_observer_writes_the_page_at_the_end(tmp_path: Path) -> None:
    observer = ReportPage.at(tmp_path / "out.html")
    observer.notify(RunFinished(RunResult("r", "nightly", "stopped", "", 0.0, (), ())))
    assert "<title>nightly: stopped</title>" in (tmp_path / "out.html").read_text()
