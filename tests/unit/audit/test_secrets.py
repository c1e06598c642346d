"""Rules on secrets: formats, telling names and random text, and what only resembles them."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.audit import secrets
from tests.unit.audit.subjects import find, make_subject

KEY_ID = "AKIA" + "IOSFODNN7EXAMPLE"
RANDOM = "wJalrXUtnFEMI" + "K7MDENGbPxRfiCYzEXKEY9q"
STEP = "steps:\n  - {{id: a, action: s3.write, role: job, target: s3://bkt/x, json: {{{}}}}}\n"


def names(text: str) -> list[str]:
    return [
        message.removeprefix("the spec contains ")
        for _, message in find(secrets.secret_in_spec, text)
    ]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (KEY_ID, "an AWS access key id"),
        (f"x {KEY_ID.replace('AKIA', 'ASIA')} y", "an AWS access key id"),
        (KEY_ID[:-1], ""),
        (KEY_ID + "A", ""),
        (KEY_ID[:-1] + "1", ""),
        ("-----BEGIN PRIVATE KEY-----", "a private key"),
        ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
        ("-----BEGIN PUBLIC KEY-----", ""),
        ("ghp_" + "a" * 36, "a GitHub token"),
        ("ghp_" + "a" * 35, ""),
        ("github_pat_" + "a" * 50, "a GitHub token"),
        ("xoxb-" + "1" * 10, "a Slack token"),
        ("xoxb-" + "1" * 9, ""),
        ("eyJ" + "a" * 10 + ".eyJ" + "b" * 10 + "." + "c" * 10, "a JSON web token"),
        ("eyJ" + "a" * 10 + ".eyJ" + "b" * 10, ""),
        ("https://ada:abc@example.com", "a URL with a password"),
        ("https://ada:ab@example.com", ""),
        ("https://ada@example.com", ""),
        ("https://example.com:8080/a@b", ""),
    ],
)
def test_formats_of_issuers(value: str, kind: str) -> None:
    assert names(STEP.format(f'v: "{value}"')) == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("name", "value", "is_found"),
    [
        ("password", "hunter", True),
        ("password", "hunte", False),
        ("password", "two words", False),
        ("password", "${{ run.id }}-x", False),
        ("db_passwd", "hunter2", True),
        ("API_KEY", "hunter2", True),
        ("secret_arn", "hunter2", False),
        ("tokenUrl", "hunter2", False),
        ("access_key_id", "hunter2", False),
        ("name", "hunter2", False),
    ],
)
def test_values_with_a_telling_name(name: str, value: str, is_found: bool) -> None:
    text = STEP.format(f'{name}: "{value}"')
    assert names(text) == ([f"the value of a secret ('{name}')"] if is_found else [])


LIST = "steps:\n  - {id: a, action: s3.list, role: job, source: s3://bkt/}\n"


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        (f"x: {{default: '{RANDOM}'}}", ["random text like a key"]),
        (f"x: {{description: '{RANDOM}'}}", []),
        (f"x: {{default: '{RANDOM[:18]}'}}", []),
        (f"x: {{default: '{RANDOM.lower()}'}}", []),
        ("x: {default: 'aaaaaaaaaaaaaaaaaaA1'}", []),
        ("password: {default: 'hunter2'}", ["the value of a secret ('password')"]),
        ("password: {description: 'hunter2'}", []),
    ],
)
def test_defaults_of_params(declared: str, found: list[str]) -> None:
    assert names(f"params:\n  {declared}\n{LIST}") == found


def test_a_finding_does_not_show_the_secret() -> None:
    assert secrets.secret_in_spec.check is not None
    (found,) = secrets.secret_in_spec.check(make_subject(STEP.format(f'v: "{KEY_ID}"')))
    assert (found.problem.mark.line, found.problem.line, found.severity) == (4, "", "high")
    assert KEY_ID not in repr(found)


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ("password: {}", [("4:3 medium", "the param 'password' holds a secret")]),
        ("password: {secret: true}", []),
        ("secret_name: {}", []),
        ("day: {}", []),
    ],
)
def test_params_that_hold_secrets(declared: str, found: list[Any]) -> None:
    assert find(secrets.secret_param, f"params:\n  {declared}\n{LIST}") == found


def test_a_spec_without_params_has_none() -> None:
    assert find(secrets.secret_param, LIST) == []
