"""Good specs load and can be planned; bad ones say each mistake as the text beside them has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rolerunner import api
from rolerunner.cli.common import format_problem
from rolerunner.errors import SpecError
from rolerunner.plan.planning import plan_to_json
from tests.conftest import CONFIGS

SPECS = Path(__file__).parents[2] / "specs"
GOOD = sorted((SPECS / "good").glob("*.yaml"))
BAD = sorted((SPECS / "bad").glob("*.yaml"))
REWRITE = os.environ.get("REWRITE_MESSAGES") == "1"
"""Writes the expected messages anew: read what it changed before it is committed."""


def said(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        api.load(path, complete=False)
    return (
        "\n".join(format_problem(problem) for problem in caught.value.problems).replace(
            str(path), path.name
        )
        + "\n"
    )


def test_the_corpus_is_large_enough() -> None:
    assert len(GOOD) >= 15
    assert len(BAD) >= 80


@pytest.mark.parametrize(
    "path",
    [*GOOD, *(path for path in sorted(CONFIGS.glob("*.yaml")) if path.name.count(".") == 1)],
    ids=lambda path: path.stem,
)
def test_a_good_spec_loads_and_can_be_planned(path: Path) -> None:
    for environment in api.load(path, complete=False).environments or ("",):
        job = api.load(path, env=environment)
        plan = api.plan(job)
        ids = dict.fromkeys(planned.step.id for planned in plan.steps)  # one entry for each role
        assert list(ids) == [step.id for step in job.action_steps]
        assert plan_to_json(plan)["job"] == job.name


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_spec_says_what_the_text_beside_it_has(path: Path) -> None:
    expected = path.with_suffix(".txt")
    if REWRITE:
        expected.write_text(said(path))
    assert said(path) == expected.read_text()
