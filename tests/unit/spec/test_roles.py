"""Roles of a spec and its includes: aliases, chains, and what refers to them."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.model import JOB, Role
from rolerunner.spec.reader import LoadContext, SpecReader
from rolerunner.spec.roles import Roles
from rolerunner.spec.yaml_parser import parse_document

ARN = "arn:aws:iam::111122223333:role/"


def read(*texts: str, **known: Any) -> tuple[Roles, SpecReader]:
    """Reads the roles of one document after the other."""
    roles, context = Roles(), LoadContext(**known)
    for number, text in enumerate(texts):
        reader = SpecReader(parse_document(f"roles:\n{text}", f"f{number}.yaml"), context)
        roles.read(reader.document.data["roles"], reader)
    roles.link()
    return roles, reader


def problems(*texts: str, **known: Any) -> list[str]:
    _, reader = read(*texts, **known)
    return [str(each) for each in reader.known.problems]


def test_the_short_and_the_long_form() -> None:
    roles, reader = read(
        f"  a: {ARN}a\n"
        f"  b: {{arn: '{ARN}b', via: a, duration: 15m, tags: {{team: x}}, "
        "transitive_tags: [team]}\n"
    )
    assert reader.known.problems == []
    made = roles.by_alias()
    assert made["a"] == Role(arn=f"{ARN}a", name="a")
    assert (made["b"].via, made["b"].duration) == (made["a"], 900)
    assert (made["b"].tags, made["b"].transitive_tag_keys) == ((("team", "x"),), ("team",))
    assert roles.list_undecided() == []


def test_a_role_may_be_declared_after_the_role_that_it_assumes() -> None:
    roles, _ = read(f"  b: {{arn: '{ARN}b', via: a}}\n  a: {ARN}a\n")
    assert roles.by_alias()["b"].via == roles.by_alias()["a"]


def test_what_a_step_may_name() -> None:
    roles, reader = read(f"  a: {ARN}a\n")
    assert roles.find("a") == roles.by_alias()["a"]
    assert roles.find("job") is JOB
    assert roles.find(f"{ARN}a") is roles.by_alias()["a"]
    assert roles.find(f"{ARN}other") == Role(arn=f"{ARN}other", name=f"{ARN}other")
    assert roles.find("b") is None
    assert (roles.is_known("a"), roles.is_known("job"), roles.is_known("b")) == (True, True, False)
    for name in ("a", "job", f"{ARN}x"):
        roles.check(name, (), reader)
    assert reader.known.problems == []


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("aliax", "there is no role 'aliax'", "did you mean 'alias'?"),
        ("jobb", "there is no role 'jobb'", "did you mean 'job'?"),
        (
            "zzz",
            "there is no role 'zzz'",
            "declare it under 'roles', or write its ARN, or 'job' for the job's own role",
        ),
        (
            "arn:aws:iam::1:role/x",
            "'arn:aws:iam::1:role/x' is not a role ARN such as arn:aws:iam::111122223333:role/name",
            "",
        ),
    ],
)
def test_what_a_step_may_not_name(name: str, message: str, hint: str) -> None:
    roles, reader = read(f"  alias: {ARN}a\n")
    roles.check(name, (), reader)
    (problem,) = reader.known.problems
    assert (problem.message, problem.hint) == (message, hint)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            f"  job: {ARN}a\n",
            ["f0.yaml:2:3: 'job' is the job's own role; choose another alias"],
        ),
        ("  a: 5\n", ["f0.yaml:2:6: the role 'a' must be an ARN or a mapping, not 5"]),
        ("  a:\n", ["f0.yaml:2:5: the role 'a' must be an ARN or a mapping, not nothing"]),
        (
            f"  a: {{arn: '{ARN}a', via: b}}\n",
            ["f0.yaml:2:53: there is no role 'b'"],
        ),
        (
            f"  a: {{arn: '{ARN}a', via: a}}\n",
            ["f0.yaml:2:53: 'via' forms a cycle: a -> a"],
        ),
        (
            f"  a: {{arn: '{ARN}a', via: b}}\n  b: {{arn: '{ARN}b', via: a}}\n",
            ["f0.yaml:2:53: 'via' forms a cycle: a -> b -> a"],
        ),
        (
            f"  a: {{arn: '{ARN}a', account: '999999999999'}}\n",
            [
                (
                    "f0.yaml:2:57: the role 'a' has the account 999999999999, but its ARN is in "
                    "111122223333"
                )
            ],
        ),
        (
            f"  a: {ARN}a\n  b: {{arn: 'arn:aws-cn:iam::111122223333:role/b', via: a}}\n",
            ["f0.yaml:3:56: 'b' cannot be assumed from 'a': they are in different partitions"],
        ),
        (
            f"  a: {{arn: '{ARN}a', tags: {{team: x}}, transitive_tags: [team, teem]}}\n",
            ["f0.yaml:2:89: 'teem' is not among the tags (did you mean 'team'?)"],
        ),
    ],
)
def test_mistakes(text: str, found: list[str]) -> None:
    assert problems(text) == found


def test_an_account_that_is_right_is_no_mistake() -> None:
    assert problems(f"  a: {{arn: '{ARN}a', account: '111122223333'}}\n") == []


def test_an_alias_is_declared_once_in_all_files() -> None:
    assert problems(f"  a: {ARN}a\n", f"  a: {ARN}b\n") == [
        "f1.yaml:2:3: duplicate role 'a' (the other is at f0.yaml:2:3)"
    ]


def test_a_role_with_mistakes_is_known_but_not_built() -> None:
    roles, reader = read(f"  a: nothing\n  b: {{arn: '{ARN}b', via: a}}\n")
    assert [each.message for each in reader.known.problems] == [
        "'nothing' is not a role ARN such as arn:aws:iam::111122223333:role/name"
    ]
    assert roles.is_known("a")
    assert (roles.by_alias(), roles.list_undecided()) == ({}, ["a", "b"])


@pytest.mark.parametrize(
    "fields",
    [
        "external_id: '${{ params.x }}'",
        "tags: {team: '${{ params.x }}'}",
        "tags: {team: x}, transitive_tags: ['${{ params.x }}']",
        "policy_arns: ['${{ params.x }}']",
    ],
)
def test_a_role_waits_for_a_param_without_a_value(fields: str) -> None:
    text = f"  a: {{arn: '{ARN}a', {fields}}}\n"
    roles, reader = read(text, undecided={"x"})
    assert reader.known.problems == []
    assert roles.list_undecided() == ["a"]


def test_params_with_a_value_are_filled_in() -> None:
    roles, _ = read("  a: 'arn:aws:iam::111122223333:role/${{ params.x }}'\n", params={"x": "r"})
    assert roles.by_alias()["a"].arn == f"{ARN}r"


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("is_cycle", [False, True])
def test_an_endless_chain_of_roles_is_one_mistake(order: int, is_cycle: bool) -> None:
    count = 1_200
    lines = [
        f"  r{number}: {{arn: '{ARN}r', via: r{(number + 1) % count}}}\n"
        for number in range(count if is_cycle else count - 1)
    ]
    last = [] if is_cycle else [f"  r{count - 1}: {ARN}r\n"]
    (found,) = problems("".join([*lines, *last][::order]))
    assert "a chain of more than 50 roles" in found
