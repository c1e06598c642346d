"""The timeline of the report: lanes, stacked bars, ticks."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rolerunner.observers.report_document import ReportedStep
from rolerunner.observers.report_timeline import place_steps, render_timeline


def step(name: str, start: float | None, seconds: float, **more: Any) -> ReportedStep:
    values = {"id": name, "action": "s3.copy", "status": "succeeded", "role": "reader", **more}
    return ReportedStep.model_validate({**values, "start": start, "seconds": seconds})


def bars(html: str) -> list[tuple[str, str, str, str]]:
    """Step, left, width and top of each bar."""
    return re.findall(r'href="#step-(\w+)".*?left:([\d.]+%);width:([\d.]+%);top:([\d.]+rem)', html)


def test_steps_without_starts_follow_one_another() -> None:
    placed = place_steps(
        [step("a", None, 2), step("b", None, 5, status="skipped"), step("c", None, 1)]
    )
    assert [each.start for each in placed] == [0, None, 2]
    some = [step("a", None, 2), step("b", 1, 1)]
    assert place_steps(some) == some
    assert place_steps([]) == []


def test_no_step_that_ran_is_no_timeline() -> None:
    assert render_timeline([], 1) == ""
    assert render_timeline([step("a", None, 0, status="not_run")], 1) == ""


def test_each_role_has_a_lane_and_steps_that_overlap_are_stacked() -> None:
    html = render_timeline(
        [
            step("c", 5, 5),
            step("a", 0, 5),
            step("b", 2.5, 5, status="failed"),
            step("d", 0, 10, role=""),
        ],
        10,
    )
    assert bars(html) == [
        ("a", "0.0000%", "50.0000%", "0.4rem"),
        ("b", "25.0000%", "50.0000%", "1.8rem"),
        ("c", "50.0000%", "50.0000%", "0.4rem"),
        ("d", "0.0000%", "100.0000%", "0.4rem"),
    ]
    assert re.findall(r'class="lane" style="height:([\d.]+)rem"', html) == ["3.2", "1.8"]
    assert re.findall(r'<div class="name">([^<]*)</div>', html) == ["role", "reader", "no role"]
    assert 'class="bar failed"' in html
    assert 'title="b: failed, 5 s"' in html


@pytest.mark.parametrize(
    ("seconds", "ticks"),
    [
        (0, ["0 s", "0.2 s", "0.4 s", "0.6 s", "0.8 s"]),
        (10, ["0 s", "2 s", "4 s", "6 s", "8 s"]),
        (12, ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s"]),
        (3600, ["0 s", "10 min", "20 min", "30 min", "40 min", "50 min"]),
        (14400 * 13, ["0 s", "8 h", "16 h", "24 h", "32 h", "40 h", "48 h"]),
    ],
)
def test_ticks_are_about_six_round_times(seconds: float, ticks: list[str]) -> None:
    html = render_timeline([step("a", 0, seconds)], seconds)
    assert re.findall(r'class="tick" style="[^"]*">([^<]*)<', html) == ticks


def test_a_step_that_ends_after_the_run_widens_the_timeline() -> None:
    assert bars(render_timeline([step("a", 5, 15)], 10))[0][1:3] == ("25.0000%", "75.0000%")
