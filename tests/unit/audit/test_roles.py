"""Rules on roles: what each finds, and the case next to it that it does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rolerunner.audit import roles
from tests.unit.audit.subjects import OTHER, OWN, find

LIST = "steps:\n  - {id: a, action: s3.list, role: r, source: s3://bkt/in/}\n"
THIRD = "arn:aws:iam::777788889999:role/"


def timed(timeout: str, more: str = "") -> str:
    return LIST.replace("/in/", f"/in/, timeout: {timeout}") + more


@pytest.mark.parametrize(
    ("text", "account", "found"),
    [
        (f"roles:\n  r: {OWN}x\n{LIST}", "111122223333", []),
        (f"roles:\n  r: {{arn: '{OTHER}x', external_id: e1}}\n{LIST}", "111122223333", []),
        (
            f"roles:\n  r: {OTHER}x\n{LIST}",
            "111122223333",
            [
                (
                    "4:3 high",
                    (
                        "the role 'r' in account 444455556666 is assumed from account "
                        "111122223333 without an external ID"
                    ),
                )
            ],
        ),
        (f"roles:\n  r: {OTHER}x\n{LIST}", "", []),
        (
            (
                f"roles:\n  r: {OTHER}x\n  q: {OWN}x\n{LIST}"
                "  - {id: b, action: s3.list, role: q, source: s3://bkt/in/}\n"
            ),
            "",
            [
                (
                    f"{line}:3 medium",
                    (
                        f"the role '{name}' has no external ID, and the roles are in 2 accounts, "
                        "so at least one is not the job's"
                    ),
                )
                for line, name in ((4, "r"), (5, "q"))
            ],
        ),
    ],
)
def test_no_external_id(text: str, account: str, found: list[Any]) -> None:
    assert find(roles.no_external_id, text, account) == found


@pytest.mark.parametrize(
    ("duration", "steps", "message"),
    [
        ("15m", timed("1m"), ""),
        (
            "16m",
            timed("15m"),
            "sessions of the role 'r' last 16 minutes, but its steps take at most 15",
        ),
        ("30m", timed("30m"), ""),
        (
            "30m",
            timed("29m"),
            "sessions of the role 'r' last 30 minutes, but its steps take at most 29",
        ),
        ("1h", LIST, ""),
        (
            "1h",
            timed("1s"),
            "sessions of the role 'r' last 60 minutes, but its steps take at most 1",
        ),
        (
            "1h",
            timed(
                "30m", "  - {id: b, action: s3.list, role: r, source: s3://bkt/, timeout: 30m}\n"
            ),
            "",
        ),
        (
            "1h",
            timed("30m", "  - {id: b, action: s3.list, role: r, source: s3://bkt/}\n"),
            "",
        ),
        (
            "1h",
            "deadline: 9m\n"
            + timed(
                "30m", "  - {id: b, action: s3.list, role: r, source: s3://bkt/, timeout: 30m}\n"
            ),
            "sessions of the role 'r' last 60 minutes, but its steps take at most 39",
        ),
    ],
)
def test_long_session(duration: str, steps: str, message: str) -> None:
    text = f"roles:\n  r: {{arn: '{OWN}x', duration: {duration}}}\n{steps}"
    assert [each for _, each in find(roles.long_session, text)] == ([message] if message else [])


SECOND = "  - {id: b, action: s3.list, role: r, source: s3://other/}\n"


@pytest.mark.parametrize(
    ("role", "steps", "message"),
    [
        (f"{OWN}x", LIST, ""),
        (f"{OWN}x", LIST + SECOND.replace("other/", "bkt/in/"), ""),
        (
            f"{OWN}x",
            LIST + SECOND,
            "2 steps with different needs share all permissions of the role 'r': a, b",
        ),
        (f"{{arn: '{OWN}x', session_policy: auto}}", LIST + SECOND, ""),
        (
            f"{{arn: '{OWN}x', policy_arns: ['arn:aws:iam::aws:policy/X']}}",
            LIST + SECOND,
            "",
        ),
        (
            f"{OWN}x",
            "steps:\n  - {id: a, action: python.call, function: 'json:dumps', role: r}\n",
            "the function of 'a' has all permissions of the role 'r'",
        ),
    ],
)
def test_shared_session(role: str, steps: str, message: str) -> None:
    found = find(roles.shared_session, f"roles:\n  r: {role}\n{steps}")
    assert [each for _, each in found] == ([message] if message else [])


@pytest.mark.parametrize(
    ("statements", "messages"),
    [
        ({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bkt/*"}, []),
        ({"Effect": "Deny", "Action": "*", "Resource": "*"}, []),
        ({"Effect": "Allow", "Action": "*", "Resource": "x"}, ["the action *"]),
        ({"Effect": "Allow", "Action": ["a:b", "s3:*"], "Resource": "x"}, ["the action s3:*"]),
        (
            {"Effect": "Allow", "Action": ["s3:Get", "s3:Put"], "Resource": ["x", "*"]},
            ["s3:Get on every resource"],
        ),
        (
            {"Effect": "Allow", "NotAction": "s3:Get", "Resource": "x"},
            ["everything but what it names"],
        ),
        (
            {"Effect": "Allow", "Action": "s3:Get", "NotResource": "x"},
            ["everything but what it names"],
        ),
        (
            [
                {"Effect": "Allow", "Action": "*", "Resource": "x"},
                {"Effect": "Allow", "Action": "x:*", "Resource": "x"},
            ],
            ["the action *", "the action x:*"],
        ),
        ([], []),
        ("none", []),
    ],
)
def test_wildcard_policy(statements: Any, messages: list[str]) -> None:
    policy = json.dumps({"Statement": statements})
    text = f"roles:\n  r: {{arn: '{OWN}x', session_policy: {policy}}}\n{LIST}"
    found = find(roles.wildcard_policy, text)
    assert [each for _, each in found] == [
        f"the session policy of 'r' allows {message}" for message in messages
    ]
    assert {place for place, _ in found} <= {"4:48 medium"}


def test_a_policy_of_rolerunner_is_not_reported() -> None:
    text = f"roles:\n  r: {{arn: '{OWN}x', session_policy: auto}}\n{LIST}"
    assert find(roles.wildcard_policy, text) == []


@pytest.mark.parametrize(
    ("arn", "more", "is_found"),
    [
        ("arn:aws:iam::aws:policy/AdministratorAccess", "", True),
        ("arn:aws:iam::aws:policy/AmazonS3FullAccess", "", True),
        ("arn:aws:iam::aws:policy/job-function/ViewOnlyAccess", "", False),
        ("arn:aws:iam::111122223333:policy/FullAccess", "", False),
        ("arn:aws:iam::aws:policy/AdministratorAccess", ", session_policy: auto", False),
    ],
)
def test_broad_policy_arns(arn: str, more: str, is_found: bool) -> None:
    text = f"roles:\n  r: {{arn: '{OWN}x', policy_arns: ['{arn}']{more}}}\n{LIST}"
    message = (
        f"sessions of 'r' are limited by {arn.rpartition('/')[2]}, which allows nearly everything"
    )
    found = find(roles.broad_policy_arns, text)
    assert found == ([("4:48 medium", message)] if is_found else [])


@pytest.mark.parametrize(
    ("endpoint", "is_found"),
    [
        ("http://sts.example.com", True),
        ("http://128.0.0.1", True),
        ("https://sts.example.com", False),
        ("http://127.0.0.1:4566", False),
        ("http://localhost:4566", False),
    ],
)
def test_plain_http(endpoint: str, is_found: bool) -> None:
    text = f"roles:\n  r: {{arn: '{OWN}x', sts_endpoint: '{endpoint}'}}\n{LIST}"
    found = find(roles.plain_http, text)
    assert found == (
        [("4:48 medium", f"the role 'r' is asked for at {endpoint}, without TLS")]
        if is_found
        else []
    )


def test_unused_role() -> None:
    text = f"roles:\n  r: {{arn: '{OWN}x', via: hub}}\n  hub: {OWN}hub\n  spare: {OWN}spare\n{LIST}"
    ((place, message),) = find(roles.unused_role, text)
    assert (place, "'spare'" in message) == ("6:3 info", True)
