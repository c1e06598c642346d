"""Outcomes of rehearsals for people and machines."""

from __future__ import annotations

import json
from dataclasses import replace

from rolerunner.glue.rehearsal.rehearsal import Rehearsal
from rolerunner.glue.rehearsal.report import render_json, render_text

GOOD = Rehearsal(
    runtime="glue-5.1",
    python="3.11",
    packages="0123456789ab",
    starts=True,
    succeeded=True,
    boto3="1.40.61",
    boto3_is_provided=True,
    install_seconds=2.04,
    start_seconds=0.61,
    run_seconds=1.5,
    memory_mb=71.4,
    reason="",
    error_type="",
    log=("a line",),
)
BAD = replace(
    GOOD,
    runtime="pythonshell",
    starts=False,
    succeeded=False,
    boto3="",
    boto3_is_provided=False,
    start_seconds=None,
    run_seconds=None,
    memory_mb=None,
    reason="7 of 14 wheels cannot be installed",
    log=("the log's end",),
)


def test_the_text_has_a_row_for_each_runtime_and_reasons_below() -> None:
    assert render_text([GOOD, BAD]).splitlines() == [
        "runtime      Python  starts offline  boto3    installs in  starts in  memory  job",
        "glue-5.1     3.11    yes             1.40.61  2.0 s        0.6 s      71 MB   succeeded",
        "pythonshell  3.11    no              -        2.0 s        -          -       failed",
        "",
        "pythonshell: 7 of 14 wheels cannot be installed",
        "    the log's end",
    ]


def test_a_boto3_that_is_not_the_runtimes_is_marked() -> None:
    shipped = replace(GOOD, boto3_is_provided=False)
    assert "1.40.61 (shipped)" in render_text([shipped])


def test_the_json_has_every_field() -> None:
    found = json.loads(render_json([GOOD, BAD]))
    assert found[0]["memory_mb"] == 71.4
    assert (found[1]["start_seconds"], found[1]["log"]) == (None, ["the log's end"])
