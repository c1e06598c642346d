from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from rolerunner.actions import registry
from rolerunner.errors import SpecError, UsageError
from rolerunner.model import JOB, Job
from rolerunner.spec.loader import load_spec

HEAD = "version: 1\nname: t\nroles:\n  reader: arn:aws:iam::111122223333:role/reader\n"
STEP = "steps:\n  - id: find\n    action: s3.list\n    role: reader\n    source: s3://bucket/in/\n"


def load(text: str, **given: Any) -> Job:
    return load_spec(text, "t.yaml", registry(), given)


def mistakes(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(text)
    return [str(problem) for problem in caught.value.problems]


def test_a_spec_becomes_frozen_values() -> None:
    job = load(HEAD + STEP)
    (step,) = job.steps
    assert (job.name, step.id, step.action) == ("t", "find", "s3.list")
    assert step.role == job.roles["reader"]
    assert step.fields == {"source": "s3://bucket/in/"}


def test_params_are_typed_and_filled_in() -> None:
    params = "params:\n  day: {type: date, required: true}\n  n: {type: integer, default: 3}\n"
    job = load(HEAD + params + STEP, day="2026-01-31", n="5")
    assert job.params == {"day": date(2026, 1, 31), "n": 5}


@pytest.mark.parametrize(
    ("declared", "given", "message"),
    [
        ("{type: integer, min: 1}", "0", "the param 'x' must be at least 1, not 0"),
        ("{type: integer}", "many", "the param 'x' must be a whole number, not 'many'"),
        (
            "{type: date}",
            "31.1.2026",
            "the param 'x' must be a date such as 2026-01-31, not '31.1.2026'",
        ),
        ("{type: boolean}", "maybe", "the param 'x' must be true or false, not 'maybe'"),
        ("{choices: [a, b]}", "c", "the param 'x' must be one of a, b, not 'c'"),
        ("{pattern: '[a-z]+'}", "A", "the param 'x' must match [a-z]+, unlike 'A'"),
    ],
)
def test_a_wrong_param_names_itself_and_the_rule(declared: str, given: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(f"{HEAD}params:\n  x: {declared}\n{STEP}", x=given)
    assert str(caught.value) == f"t.yaml: {message}"


def test_a_missing_and_an_unknown_param() -> None:
    text = HEAD + "params:\n  run_date: {required: true}\n" + STEP
    with pytest.raises(UsageError, match="the param 'run_date' is required"):
        load(text)
    with pytest.raises(
        UsageError, match=r"there is no param 'run_dat' \(did you mean 'run_date'\?\)"
    ):
        load(text, run_dat="x")


def test_two_equal_roles_are_one() -> None:
    text = (
        HEAD
        + STEP
        + "  - id: two\n    action: s3.list\n    role: arn:aws:iam::111122223333:role/reader\n    "
        "source: s3://bucket/\n"
    )
    first, second = load(text).steps
    assert first.role == second.role
    assert str(second.role) == "reader"


def test_job_is_said_out_loud() -> None:
    (step,) = load(HEAD + STEP.replace("role: reader", "role: job")).steps
    assert step.role == JOB


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEAD + STEP.replace("s3.list", "s3.lst"),
            "t.yaml:7:13: unknown action 's3.lst' (did you mean 's3.list'?)",
        ),
        (
            HEAD + STEP.replace("role: reader", "role: raeder"),
            "t.yaml:8:11: there is no role 'raeder' (did you mean 'reader'?)",
        ),
        (
            HEAD + STEP.replace("    role: reader\n", ""),
            (
                "t.yaml:6:5: the step 'find' has no role (add 'role: ALIAS', an ARN, or 'role: "
                "job' for the job's own role)"
            ),
        ),
        (
            HEAD + STEP.replace("role: reader", "role: arn:aws:iam::1:role/x"),
            (
                "t.yaml:8:11: 'arn:aws:iam::1:role/x' is not a role ARN such as "
                "arn:aws:iam::111122223333:role/name"
            ),
        ),
        (
            HEAD + STEP.replace("source: s3:", "source: s4:"),
            "t.yaml:9:13: 'source' must be s3://bucket/key, not 's4://bucket/in/'",
        ),
        (HEAD + STEP.replace("source", "sorce"), "t.yaml:6:5: 'source' is missing"),
        (
            HEAD + STEP + "    inclde: []\n",
            "t.yaml:10:5: unknown key 'inclde' (did you mean 'include'?)",
        ),
        (
            HEAD + STEP + "    id: find\n",
            "t.yaml:10:5: duplicate key 'id' (the first is on line 6)",
        ),
        (
            HEAD + STEP + STEP[7:],
            "t.yaml:10:9: duplicate step id 'find' (the first is on line 6)",
        ),
        (
            HEAD.replace("version: 1", "version: 2") + STEP,
            (
                "t.yaml:1:10: 'version' must be 1, not 2 (this release of rolerunner supports "
                "version 1 only)"
            ),
        ),
        (HEAD, "t.yaml:1:1: 'steps' is missing"),
        (
            HEAD + "  job: arn:aws:iam::111122223333:role/x\n" + STEP,
            "t.yaml:5:3: 'job' is the job's own role; choose another alias",
        ),
        (
            HEAD + STEP.replace("bucket/in/", "bucket/${{ params.day }}/"),
            "t.yaml:9:29: there is no param 'day'",
        ),
        (
            HEAD + STEP.replace("bucket/in/", "bucket/${{ steps.find.count }}/"),
            "t.yaml:9:29: the step 'find' does not run before this one",
        ),
        ("- 1\n", "t.yaml:1:1: a spec must be a mapping that starts with 'version: 1'"),
    ],
)
def test_a_mistake_says_where_what_and_what_instead(text: str, message: str) -> None:
    assert message in mistakes(text)


def test_all_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    text = """\
nme: x
version: 1
name: t
steps:
  - id: a
    action: s3.lst
  - id: b
    action: s3.write
    role: nobody
    target: s3://bucket/
    text: x
"""
    found = mistakes(text)
    assert [problem.split(": ")[0] for problem in found] == [
        "t.yaml:1:1",
        "t.yaml:6:13",
        "t.yaml:9:11",
        "t.yaml:10:13",
    ]


@pytest.mark.parametrize(
    ("role", "message"),
    [
        (
            "{arn: 'arn:aws:iam::111122223333:role/x', account: '444455556666'}",
            "has the account 444455556666, but its ARN is in 111122223333",
        ),
        ("{arn: 'arn:aws:iam::111122223333:role/x', duration: 2h}", "15m to 1h"),
        ("{arn: 'arn:aws:iam::111122223333:role/x', via: r}", "'via' forms a cycle"),
        ("{arn: 'arn:aws:iam::111122223333:role/x', via: nobody}", "there is no role 'nobody'"),
        (
            "{arn: 'arn:aws:iam::111122223333:role/x', external_id: 'a b'}",
            "must be an external id of 2 to 1224",
        ),
        ("{arn: nonsense}", "is not a role ARN"),
        ("[1]", "must be an ARN or a mapping"),
    ],
)
def test_roles_are_checked_against_their_limits(role: str, message: str) -> None:
    assert any(
        message in problem
        for problem in mistakes(
            f"version: 1\nname: t\nroles:\n  r: {role}\n" + STEP.replace("reader", "r")
        )
    )


@pytest.mark.parametrize(
    ("role", "message"),
    [
        ("{{ x }}", "'{{ x }}' is not replaced"),
        ("${{ params.x }}", "there is no param 'x'"),
        ("nobody", "there is no role 'nobody'"),
    ],
)
def test_a_wrong_role_of_the_state_is_a_mistake(role: str, message: str) -> None:
    state = f'state: {{location: s3://bucket/state/, role: "{role}"}}\n'
    (found,) = mistakes(HEAD + state + STEP)
    assert message in found


def test_the_role_of_the_state_may_wait_for_a_param() -> None:
    text = (
        f"{HEAD}params:\n  x: {{required: true}}\n"
        'state: {location: s3://bucket/state/, role: "${{ params.x }}"}\n'
    )
    job = load_spec(text + STEP, "t.yaml", registry(), {}, complete=False)
    assert (job.state, job.undecided) == (None, ("state",))
    known = load(text + STEP, x="reader").state
    assert known is not None
    assert known.role is not None
    assert known.role.name == "reader"
