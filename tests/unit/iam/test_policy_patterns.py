"""Wildcards of policies: which conditions imply others, which patterns cover a text."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.iam.policy_patterns import PatternIndex, is_condition_implied, match_statement
from rolerunner.model import Permission

PREFIX = "s3:prefix"


@pytest.mark.parametrize(
    ("wanted", "given", "expected"),
    [
        (("StringLike", PREFIX, ("in/*",)), ("StringLike", PREFIX, ("in/a",)), True),
        (("StringLike", PREFIX, ("in/*",)), ("StringEquals", PREFIX, ("in/a",)), True),
        (("StringEquals", PREFIX, ("in/a",)), ("StringLike", PREFIX, ("in/a",)), True),
        (("StringEquals", PREFIX, ("in/*",)), ("StringEquals", PREFIX, ("in/a",)), False),
        (("StringLike", PREFIX, ("in/*",)), ("StringLike", PREFIX, ("in/a", "out")), False),
        (("StringLike", PREFIX, ("in/*", "out")), ("StringLike", PREFIX, ("in/a", "out")), True),
        (("StringLike", PREFIX, ("*",)), ("StringLike", "s3:delimiter", ("/",)), False),
        (("Bool", PREFIX, ("true",)), ("Bool", PREFIX, ("true",)), True),
        (("Bool", PREFIX, ("true",)), ("StringEquals", PREFIX, ("true",)), False),
        (("StringLike", PREFIX, ("*",)), ("ArnLike", PREFIX, ("a",)), False),
    ],
)
def test_a_condition_follows_from_a_narrower_one(wanted: Any, given: Any, expected: bool) -> None:
    other = ("Bool", "aws:SecureTransport", ("true",))
    assert is_condition_implied(wanted, [other, given]) is expected


def test_nothing_follows_from_no_condition() -> None:
    assert not is_condition_implied(("StringLike", PREFIX, ("*",)), [])


def test_an_index_finds_every_pattern_that_covers_a_text() -> None:
    index = PatternIndex([("a/*", 1), ("a/b", 2), ("*", 3), ("a/?", 4), ("b*", 5), ("a/b*", 6)])
    assert sorted(index.iter_covering("a/b")) == [1, 2, 3, 4, 6]
    assert sorted(index.iter_covering("a/bc")) == [1, 3, 6]
    assert sorted(index.iter_covering("")) == [3]


def test_conditions_that_a_statement_leaves_open_are_all_named() -> None:
    statement = {
        "Action": ["s3:Get*", "s3:PutObject"],
        "Resource": ["arn:aws:s3:::a/*", "arn:aws:s3:::b/*"],
        "Condition": {
            "StringEquals": {"aws:PrincipalTag/team": ["x", "y"], "aws:RequestedRegion": "eu"},
            "NumericLessThan": {"s3:max-keys": 10},
        },
    }
    permission = Permission("s3:PutObject", "arn:aws:s3:::b/k")
    assert match_statement(statement, permission) == (
        "StringEquals aws:PrincipalTag/team: x, y",
        "StringEquals aws:RequestedRegion: eu",
        "NumericLessThan s3:max-keys: 10",
    )


@pytest.mark.parametrize(
    ("action", "resource", "is_matched"),
    [
        ("s3:getobject", "arn:aws:s3:::B/k", False),
        ("s3:getobject", "arn:aws:s3:::b/k", True),
        ("s3:GetObject", "arn:aws:s3:::b/K", False),
    ],
)
def test_actions_match_in_any_case_and_resources_do_not(
    action: str, resource: str, is_matched: bool
) -> None:
    statement = {"Action": "s3:GETOBJECT", "Resource": "arn:aws:s3:::b/k", "Condition": None}
    assert (match_statement(statement, Permission(action, resource)) == ()) is is_matched
