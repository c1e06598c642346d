"""Templates of other tools are refused with a replacement, and can be kept as plain text."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.actions import registry
from rolerunner.errors import SpecError
from rolerunner.spec.expressions import Template
from rolerunner.spec.loader import load_spec

HEAD = """\
version: 1
name: t
params: {run_date: {type: date, default: 2026-01-31}, country: {default: nz}}
roles: {reader: "arn:aws:iam::444455556666:role/reader"}
steps:
"""


def load(step: str) -> Any:
    try:
        return load_spec(f"{HEAD}  - {{id: a, role: reader, {step}}}\n", "t.yaml", registry(), {})
    except SpecError as error:
        return list(error.problems)


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("{{ run_date }}", "${{ params.run_date }}"),
        ("{{run_date}}", "${{ params.run_date }}"),
        ("{{ params.run_date }}", "${{ params.run_date }}"),
        ("{{ run.id }}", "${{ run.id }}"),
        ("{{ rundate | upper }}", "${{ params.run_date }}"),
        ("{{ ds }}", "${{ params.NAME }}"),
        ("{{ .Values.country }}", "${{ params.country }}"),
        ("${run_date}", "${{ params.run_date }}"),
        ("${var.run_date}", "${{ params.run_date }}"),
        ("${HOME:-x}", "${{ params.NAME }}"),
        ("$(run_date)", "${{ params.run_date }}"),
        ("%(run_date)s", "${{ params.run_date }}"),
        ("<run_date>", "${{ params.run_date }}"),
        ("{run_date}", "${{ params.run_date }}"),
        ("{params.country}", "${{ params.country }}"),
    ],
)
@pytest.mark.parametrize(
    "around", ["s3://landing/orders/@/x/", "s3://landing/${{ params.country }}/@/"]
)
def test_a_template_of_another_tool_is_refused_where_it_stands(
    written: str, right: str, around: str
) -> None:
    said = around.replace("@", written)
    (problem,) = load(f"action: s3.list, source: '{said}'")
    assert problem.message == f"'{written}' is not replaced: it is a template of another tool"
    assert problem.hint == f"write {right}, or ${{{{ '{written}' }}}} for the text itself"
    assert problem.line[problem.mark.column - 1 :].startswith(written)


@pytest.mark.parametrize(
    "written", ["{{ run_date }}", "${run_date}", "{run_date}", "<run_date>", "{{ ds }}"]
)
def test_whoever_means_the_text_itself_can_say_so(written: str) -> None:
    job = load(f"action: s3.list, source: \"s3://landing/${{{{ '{written}' }}}}/\"")
    said = job.steps[0].fields["source"]
    assert isinstance(said, Template)
    assert said.evaluate({}) == f"s3://landing/{written}/"


@pytest.mark.parametrize(
    "key",
    [
        "{x}",
        "<x>",
        "$(x)",
        "%(x)s",
        "a{b,c}d",
        "{today}",
        "$x",
        "$HOME",
        "%Y/%m/%d",
        "{}",
        "{{}",
        "${",
        "$$",
        "{1}",
        "<>",
        "x}}",
        "${1}",
        "@{x}",
    ],
)
def test_other_keys_are_keys(key: str) -> None:
    assert (
        load(f"action: s3.list, source: 's3://landing/{key}/'").steps[0].fields["source"]
        == f"s3://landing/{key}/"
    )


def test_content_of_the_users_own_may_look_like_a_template() -> None:
    script = "cd ${HOME} && echo <country> {country} $(country) %(country)s; sed '{{s/a/b/}}'"
    job = load(f'action: s3.write, target: s3://landing/a, text: "{script}"')
    assert job.steps[0].fields["text"] == script
    assert load(
        "action: aws.call, service: glue, operation: GetCrawler, parameters: {Name: a}, select: "
        "'{country: Crawler.Name}'"
    ).steps
    for text in ("{{ ds }}", "${country}", "${params.country}", "${run.id}"):
        (problem,) = load(f"action: s3.write, target: s3://landing/a, text: '{text}'")
        assert text in problem.message


def test_policy_variables_of_iam_are_no_templates() -> None:
    resource = "arn:aws:s3:::b/${aws:PrincipalTag/team}/*"
    permissions = f"[{{actions: 's3:GetObject', resources: '{resource}'}}]"
    step = f"action: s3.list, source: s3://landing/, permissions: {permissions}"
    assert load(step).steps


def test_items_are_readable_in_a_loop_alone() -> None:
    assert load("action: s3.list, source: 's3://landing/<item>/'").steps
    (problem,) = load("action: s3.list, source: 's3://landing/<item>/', for_each: [a, b]")
    assert problem.hint.startswith("write ${{ item }}")


def test_roles_params_and_the_state_are_looked_at_too() -> None:
    text = """\
version: 1
name: t
params: {day: {default: "{{ ds }}"}}
roles: {reader: "arn:aws:iam::${ACCOUNT}:role/reader"}
state: {location: "s3://state/{{ env }}/", role: reader}
steps:
  - {id: a, role: reader, action: s3.list, source: "s3://landing/"}
"""
    with pytest.raises(SpecError) as caught:
        load_spec(text, "t.yaml", registry(), {})
    found = [(each.mark.line, each.message.split("'")[1]) for each in caught.value.problems]
    assert found == [(3, "{{ ds }}"), (4, "${ACCOUNT}"), (5, "{{ env }}")]
