"""Lines of metrics: how many, when, and of what."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

from rolerunner.events import RunFinished, RunStarted, StepFinished
from rolerunner.model import EmfSettings, ItemResult, Job, Plan, RunResult, StepResult
from rolerunner.observers.telemetry.emf import EmfMetrics
from tests.emf_schema import read_emf_line

if TYPE_CHECKING:
    import pytest

MAX_VALUES = 100
"""Values of a metric in one line (CloudWatch user guide, embedded metric format)."""


class TerminalText(io.StringIO):
    def isatty(self) -> bool:
        return True


def start(settings: EmfSettings = EmfSettings(), environment: str = "") -> EmfMetrics:  # noqa: B008 - frozen
    metrics = EmfMetrics(settings)
    metrics.notify(RunStarted("run-1", Plan(Job("nightly", (), environment=environment), (), ())))
    return metrics


def finish(metrics: EmfMetrics, *steps: StepResult) -> None:
    for step in steps:
        metrics.notify(StepFinished(step))
    metrics.notify(
        RunFinished(RunResult("run-1", "nightly", "succeeded", "2026-01-31", 1.5, (), steps))
    )


def parse(text: str) -> list[dict[str, Any]]:
    return [read_emf_line(line) for line in text.splitlines()]


def make_group(count: int) -> StepResult:
    items = tuple(
        ItemResult(
            f"i{number}",
            "succeeded",
            (
                StepResult(
                    f"g[i{number}].f", "s3.copy", "", "succeeded", 1, 0.1, {"count": 1, "bytes": 2}
                ),
            ),
        )
        for number in range(count)
    )
    return StepResult("g", "group", "", "succeeded", 1, 9.0, items=items)


def test_a_group_of_many_items_has_no_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    group = make_group(250)
    metrics = start()
    for item in group.items:
        metrics.notify(StepFinished(item.steps[0]))
    assert capsys.readouterr().out == ""
    finish(metrics, group)
    lines = parse(capsys.readouterr().out)
    inner = [line for line in lines if line.get("step") == "g.f"]
    assert [len(line["Seconds"]) for line in inner] == [MAX_VALUES, MAX_VALUES, 50]
    assert all(set(line["Bytes"]) == {2} for line in inner)
    assert len(lines) == len(inner) + 2
    assert (lines[0]["step"], lines[0]["Objects"], lines[-1]["Bytes"]) == ("g", 250, 500)


def test_a_terminal_gets_the_lines_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = TerminalText()
    monkeypatch.setattr(sys, "stdout", stream)
    metrics, step = start(), StepResult("a", "s3.copy", "", "succeeded", 1, 0.1)
    metrics.notify(StepFinished(step))
    assert stream.getvalue() == ""
    finish(metrics)
    assert [line.get("step") for line in parse(stream.getvalue())] == ["a", None]


def test_environments_and_namespaces(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_EMF_NAMESPACE", "theirs")
    finish(start(environment="dev"))
    finish(start(EmfSettings("ours")))
    first, second = parse(capsys.readouterr().out)
    assert (first["job"], first["environment"]) == ("nightly.dev", "dev")
    assert (second["job"], "environment" in second) == ("nightly", False)
    spaces = [line["_aws"]["CloudWatchMetrics"][0]["Namespace"] for line in (first, second)]
    assert spaces == ["theirs", "ours"]
