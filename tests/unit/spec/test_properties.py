"""No text makes the loader hang or crash, and every valid spec can be planned."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolerunner import api
from rolerunner.actions import registry
from rolerunner.cli.common import expand_glob
from rolerunner.cli.validate import _format_annotation
from rolerunner.errors import Mark, Problem, SpecError, UsageError
from rolerunner.plan.planning import plan_to_json
from rolerunner.spec.filters import FILTERS
from rolerunner.spec.loader import load_spec
from rolerunner.spec.param_values import matches_pattern
from tests.conftest import CONFIGS, ROOT

WORDS = [
    "version: 1", "name: t", "params:", "roles:", "steps:", "  - id: a", "  - id: b",
    "    action: s3.list", "    action: python.call", "    role: job",
    "    source: s3://bucket/x/", "    needs: [a]", "    when: always", "    for_each: [1, 2]",
    "  p: {type: date, default: 2026-01-01}", "    retry: {attempts: 2}",
    "    function: a:b", "  r: arn:aws:iam::111122223333:role/r", "    role: r",
    "    include: ['${{ params.p }}']", "    arguments: {x: '${{ steps.a.count }}'}", "x: &a [1]",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=12)), max_size=25))
def test_whatever_the_text_it_is_a_job_that_can_be_planned_or_a_list_of_mistakes(
    lines: list[str],
) -> None:
    try:
        job = load_spec("\n".join(lines), "t.yaml", registry(), {})
    except SpecError as error:
        assert error.problems
        assert list(error.problems) == sorted(error.problems, key=lambda problem: problem.mark)
    except UsageError:
        pass
    else:
        json.dumps(plan_to_json(api.plan(job)))


def test_a_pattern_that_hangs_others_is_matched_at_once() -> None:
    assert not matches_pattern("(a+)+$", "a" * 100_000 + "!")
    assert matches_pattern("(a|aa)+", "a" * 100_000)


def test_the_manual_names_every_filter() -> None:
    page = (ROOT / "docs/expressions.md").read_text()
    named = set(re.findall(r"`(\w+)(?:\([^)`]*\))?`", page.split("## Filters")[1]))
    assert set(FILTERS) <= named


def test_a_glob_leaves_sandbox_files_out() -> None:
    found = [Path(path).name for path in expand_glob(str(CONFIGS / "*.yaml"))]
    assert found == ["blog_cross_role.yaml", "nightly.yaml", "partner_exchange.yaml"]
    with pytest.raises(UsageError, match="no file matches"):
        list(expand_glob("nowhere/*.yaml"))


def test_an_annotation_is_escaped() -> None:
    problem = Problem(Mark("a,b.yaml", 3, 4), "50 % of\nit", "x")
    assert _format_annotation(problem) == "::error file=a%2Cb.yaml,line=3,col=4::50 %25 of%0Ait (x)"


def test_params_come_from_a_file_and_the_command_line_wins(
    rolerunner: object, tmp_path: Path
) -> None:
    (tmp_path / "p.yaml").write_text("n: 5\nday: 2026-01-31\n")
    (tmp_path / "job.yaml").write_text(
        "version: 1\nname: t\nparams: {n: {type: integer}, day: {type: date}}\n"
        "steps: [{id: a, action: s3.list, role: job, "
        "source: 's3://bucket/${{ params.n }}/${{ params.day }}/'}]\n"
    )
    ended = rolerunner("plan", "job.yaml", "--params", "p.yaml", "-p", "n=7", "--json")  # type: ignore[operator]
    assert json.loads(ended.stdout)["steps"][0]["fields"]["source"] == "s3://bucket/7/2026-01-31/"


def test_included_roles_have_places_in_their_own_file(tmp_path: Path) -> None:
    (tmp_path / "roles.yaml").write_text(
        "roles:\n  a: {arn: 'arn:aws:iam::111122223333:role/a', duration: 9h}\n"
    )
    (tmp_path / "job.yaml").write_text(
        "version: 1\nname: t\ninclude: [roles.yaml]\nsteps: [{id: a, action: s3.list, role: a, "
        "source: 's3://bucket/'}]\n"
    )
    with pytest.raises(SpecError) as caught:
        api.load(tmp_path / "job.yaml")
    (problem,) = caught.value.problems
    assert (Path(problem.mark.file).name, problem.mark.line) == ("roles.yaml", 2)
