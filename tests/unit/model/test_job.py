"""A job names itself, its steps and the sources of its secrets."""

from __future__ import annotations

import pytest

from rolerunner.model import Job, SecretSource, Step

SECRET_ARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbCdEf"


@pytest.mark.parametrize(
    ("environment", "full_name", "title"),
    [("", "nightly", "nightly"), ("prod", "nightly.prod", "nightly (prod)")],
)
def test_the_environment_is_in_the_names(environment: str, full_name: str, title: str) -> None:
    job = Job("nightly", (), environment=environment)
    assert (job.full_name, job.title) == (full_name, title)


def test_the_steps_of_groups_have_the_actions() -> None:
    first, inner = Step("first", "s3.list", {}), Step("group.inner", "s3.copy", {})
    job = Job("nightly", (first, Step("group", "group", {}, steps=(inner,))))
    assert job.action_steps == (first, inner)


@pytest.mark.parametrize(
    ("source", "region", "text"),
    [
        (
            SecretSource("password", "secretsmanager", SECRET_ARN, json_key="pass"),
            "eu-west-1",
            f"secretsmanager:{SECRET_ARN}#pass",
        ),
        (SecretSource("password", "ssm", "/db/password:3"), "", "ssm:/db/password:3"),
    ],
)
def test_a_secret_names_its_source(source: SecretSource, region: str, text: str) -> None:
    assert (source.region, str(source), source.user) == (region, text, "param password")
