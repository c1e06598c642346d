"""Sources of secret params: the forms that 'from' takes, and what is wrong with others."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from rolerunner.actions import registry
from rolerunner.errors import SpecError
from rolerunner.model import JOB, Job
from rolerunner.spec.loader import load_spec
from rolerunner.spec.secret_sources import parse_location

ARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/x-AbCdEf"
PARAMETER = "arn:aws:ssm:eu-west-1:111122223333:parameter/a/b"
STEP = "steps: [{id: a, action: s3.list, role: job, source: s3://bucket/in/}]\n"


def load(params: str, roles: str = "{}", **given: Any) -> Job:
    text = f"version: 1\nname: t\nparams: {params}\nroles: {roles}\n{STEP}"
    return load_spec(text, "t.yaml", registry(), given, complete=False)


@pytest.mark.parametrize(
    ("text", "service", "name", "key"),
    [
        ("secretsmanager:prod/x", "secretsmanager", "prod/x", None),
        ("secretsmanager:rds!db-1#password", "secretsmanager", "rds!db-1", "password"),
        ("secretsmanager:x#a#b c", "secretsmanager", "x", "a#b c"),
        (f"secretsmanager:{ARN}#k", "secretsmanager", ARN, "k"),
        (f"secretsmanager:{ARN[:-7]}", "secretsmanager", ARN[:-7], None),
        ("ssm:/orders/key", "ssm", "/orders/key", None),
        ("ssm:key:3", "ssm", "key:3", None),
        ("ssm:/a:prod#k", "ssm", "/a:prod", "k"),
        (f"ssm:{PARAMETER}", "ssm", PARAMETER, None),
    ],
)
def test_a_location_has_service_name_and_key(
    text: str, service: str, name: str, key: Optional[str]
) -> None:
    assert parse_location(text) == (service, name, key)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be such as"),
        ("prod/x", "must be such as"),
        ("secretmanager:x", "did you mean 'secretsmanager'"),
        ("vault:x", "must be such as"),
        (ARN, f"must begin with the service: write secretsmanager:{ARN}"),
        (PARAMETER, f"must begin with the service: write ssm:{PARAMETER}"),
        ("secretsmanager:", "must have the name of a secret"),
        ("secretsmanager:a b", "must have the name of a secret"),
        ("secretsmanager:x\n", "must have the name of a secret"),
        ("secretsmanager:" + "x" * 513, "must have the name of a secret"),
        ("secretsmanager:x#", "has no key after '#'"),
        (f"secretsmanager:{PARAMETER}", "must have the ARN of a secret"),
        ("secretsmanager:arn:aws:secretsmanager:x", "must have the ARN of a secret"),
        (f"ssm:{ARN}", "must have the ARN of a parameter"),
        ("ssm:a/b", "write ssm:/a/b"),
        ("ssm:", "must have the name of a parameter"),
        ("ssm:a:b:c", "must have the name of a parameter"),
        ("ssm:/aws/reference/secretsmanager/prod/x", "write secretsmanager:prod/x"),
    ],
)
def test_a_wrong_location_says_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_location(text)
    assert message in str(caught.value)


def test_a_source_has_its_role_key_and_rules() -> None:
    job = load(
        "{x: {secret: true, from: 'ssm:/a#k', role: r, kms_key: alias/k, min: 2, choices: [ab]}}",
        "{r: 'arn:aws:iam::111122223333:role/r'}",
    )
    (source,) = job.secret_sources
    assert (source.param, str(source), source.user) == ("x", "ssm:/a#k", "param x")
    assert (source.role, source.kms_key) == (job.roles["r"], "alias/k")
    assert (source.rules.min, source.rules.choices) == (2, ("ab",))
    assert "x" not in job.params


def test_a_given_value_keeps_the_source() -> None:
    job = load("{x: {secret: true, from: 'ssm:/a', role: job}}", x="by-hand")
    assert job.params["x"] == "by-hand"
    assert [(source.param, source.role) for source in job.secret_sources] == [("x", JOB)]


def test_the_region_is_that_of_an_arn() -> None:
    job = load(
        f"{{x: {{secret: true, from: 'ssm:{PARAMETER}', role: job}}, "
        "y: {secret: true, from: 'ssm:y', role: job}}"
    )
    assert [source.region for source in job.secret_sources] == ["eu-west-1", ""]


def test_a_source_that_depends_on_a_missing_param_is_undecided() -> None:
    params = (
        "{s: {required: true}, x: {secret: true, from: 'ssm:/${{ params.s }}', role: job}, "
        "y: {secret: true, from: 'ssm:/y', role: r}}"
    )
    roles = "{r: 'arn:aws:iam::111122223333:role/${{ params.s }}'}"
    assert load(params, roles).undecided == ("r", "'from' of x", "'from' of y")
    assert load(params, roles, s="prod").undecided == ()


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(SpecError) as caught:
        load("{x: {from: 'ssm:a/b', required: true, kms_key: '?'}, y: {role: job}}")
    assert [problem.message for problem in caught.value.problems] == [
        "the param 'x' has 'from', so it must be secret",
        "the param 'x' has 'from', so it needs a role",
        "'from' must have a path that begins with '/': write ssm:/a/b",
        "the param 'x' has 'required' and 'from'",
        "'kms_key' must be the ARN, id or alias of a KMS key, not '?'",
        "'role' of the param 'y' requires 'from'",
    ]
