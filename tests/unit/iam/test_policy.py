"""Merging permissions, holding patterns against one another, and session policies that fit."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolerunner.iam.policy import (
    MAX_INLINE,
    MAX_SESSION_POLICY,
    MAX_TRUST,
    list_statements,
    merge_uses,
)
from rolerunner.iam.policy_fitting import fit_session_policy
from rolerunner.iam.policy_patterns import is_covering, match_statement
from rolerunner.model import Permission, Use

B = "arn:aws:s3:::b"


def listing(*prefixes: str, bucket: str = B) -> Permission:
    return Permission("s3:ListBucket", bucket, (("StringLike", "s3:prefix", prefixes),))


def uses(*permissions: Permission) -> list[Use]:
    return [Use(each, f"step{number}") for number, each in enumerate(permissions)]


@pytest.mark.parametrize(
    ("pattern", "text", "answer"),
    [
        ("a/*", "a/b", True), ("a/*", "a/b*", True), ("a/b*", "a/*", False), ("*", "a?", True),
        ("a?", "ab", True), ("a?", "a*", False),
        ("a", "a", True), ("a.b", "aXb", False), ("a*", "a\nb", True), ("a*c", "a*", False),
    ],
)  # fmt: skip
def test_one_pattern_covers_another(pattern: str, text: str, answer: bool) -> None:
    assert is_covering(pattern, text) is answer


def test_what_is_covered_is_left_out_and_its_step_kept() -> None:
    (made,) = merge_uses(
        uses(Permission("s3:GetObject", f"{B}/in/a"), Permission("s3:GetObject", f"{B}/in/*"))
    )
    assert (made.actions, made.resources, set(made.by)) == (
        ("s3:GetObject",),
        (f"{B}/in/*",),
        {"step0", "step1"},
    )


def test_listings_of_a_bucket_are_one_statement_and_others_stand_apart() -> None:
    made = merge_uses(
        uses(
            listing("in/", "in/*"),
            listing("in/x/", "in/x/*"),
            listing("out/", "out/*"),
            listing("in/", "in/*", bucket=f"{B}2"),
        )
    )
    assert [(each.resources, each.condition[0][2]) for each in made] == [
        ((B,), ("in/", "in/*", "out/", "out/*")),
        ((f"{B}2",), ("in/", "in/*")),
    ]


def test_the_order_does_not_hang_on_the_order_of_the_steps() -> None:
    permissions = [
        Permission(action, f"{B}/{key}")
        for action in ("s3:GetObject", "s3:PutObject")
        for key in ("x/*", "a/*")
    ]
    assert [each.as_json() for each in merge_uses(uses(*permissions))] == [
        each.as_json() for each in merge_uses(uses(*reversed(permissions)))
    ]
    assert len(merge_uses(uses(*permissions))) == 1


KEYS = st.text(string.ascii_lowercase + "/", min_size=1, max_size=60)
BUCKETS = st.sampled_from(["one", "two", "three"])
OBJECT_ACTIONS = st.sampled_from(
    ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:GetObjectTagging"]
)
TABLES = "arn:aws:dynamodb:eu-west-1:111122223333:table"
PERMISSIONS = st.lists(
    st.one_of(
        st.builds(
            lambda action, bucket, key: Permission(action, f"arn:aws:s3:::{bucket}/{key}*"),
            OBJECT_ACTIONS,
            BUCKETS,
            KEYS,
        ),
        st.builds(
            lambda bucket, key: listing(key, f"{key}*", bucket=f"arn:aws:s3:::{bucket}"),
            BUCKETS,
            KEYS,
        ),
        st.builds(lambda name: Permission("dynamodb:PutItem", f"{TABLES}/{name}"), KEYS),
    ),
    min_size=1,
    max_size=60,
)


def is_allowed(statements: list[dict[str, Any]], permission: Permission) -> bool:
    return any(match_statement(each, permission) == () for each in statements)


@given(PERMISSIONS)
@settings(deadline=None, max_examples=60)
def test_merging_and_narrowing_take_nothing_away(permissions: list[Permission]) -> None:
    made = [each.as_json() for each in merge_uses(uses(*permissions))]
    text, notes = fit_session_policy(uses(*permissions))
    assert len(text) <= MAX_SESSION_POLICY
    for permission in permissions:
        assert is_allowed(made, permission)
        assert is_allowed(list_statements(json.loads(text)), permission)
    if not notes:
        assert not is_allowed(
            list_statements(json.loads(text)), Permission("s3:GetObject", "arn:aws:s3:::four/x")
        )


def many(count: int, buckets: int = 1) -> list[Use]:
    return uses(
        *(
            Permission(
                "s3:GetObject",
                f"arn:aws:s3:::bucket-{number % buckets:03}/prefix-{'x' * 40}-{number}/*",
            )
            for number in range(count)
        )
    )


@pytest.mark.parametrize(
    ("needed", "note", "still_refused"),
    [
        (many(10), None, "arn:aws:s3:::bucket-000/other"),
        (
            many(100),
            "prefixes of arn:aws:s3:::bucket-000 became the whole bucket",
            "arn:aws:s3:::other/x",
        ),
        (many(400, 200), "resources became *", None),
    ],
)
def test_a_session_policy_is_widened_no_further_than_it_must(
    needed: list[Use], note: str | None, still_refused: str | None
) -> None:
    text, notes = fit_session_policy(needed)
    assert len(text) <= MAX_SESSION_POLICY
    assert (notes[-1] if notes else None) == note
    if still_refused:
        assert not is_allowed(
            list_statements(json.loads(text)), Permission("s3:GetObject", still_refused)
        )


def test_only_buckets_that_take_the_room_are_widened() -> None:
    text, notes = fit_session_policy(
        [*many(40), Use(Permission("s3:GetObject", "arn:aws:s3:::small/in/*"), "small")]
    )
    assert notes == ("prefixes of arn:aws:s3:::bucket-000 became the whole bucket",)
    assert not is_allowed(
        list_statements(json.loads(text)), Permission("s3:GetObject", "arn:aws:s3:::small/out")
    )


def test_many_actions_become_those_of_their_service() -> None:
    text, notes = fit_session_policy(
        uses(
            *(
                Permission(
                    f"dynamodb:Action{'x' * 40}{number}", f"arn:aws:dynamodb:*:*:table/t{number}"
                )
                for number in range(50)
            )
        )
    )
    assert notes[-1] == "actions became those of the whole service"
    assert json.loads(text)["Statement"] == [
        {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}
    ]


def test_a_session_of_which_nothing_is_known_may_do_nothing() -> None:
    text, notes = fit_session_policy([])
    assert json.loads(text)["Statement"] == [{"Effect": "Deny", "Action": "*", "Resource": "*"}]
    assert "may do nothing" in notes[0]


@pytest.mark.parametrize(
    ("have", "answer"),
    [
        ({"Action": "s3:List*", "Resource": "*"}, ()),
        ({"Action": "S3:LISTBUCKET", "Resource": B}, ()),
        ({"NotAction": "s3:Get*", "NotResource": f"{B}/*"}, ()),
        ({"NotAction": "s3:List*", "Resource": "*"}, None),
        ({"Action": "s3:ListBucket", "Resource": f"{B}2"}, None),
        ({"Action": "*", "Resource": "*", "Condition": {"StringLike": {"s3:prefix": "in/*"}}}, ()),
        (
            {"Action": "*", "Resource": "*", "Condition": {"StringLike": {"s3:prefix": ["out/*"]}}},
            ("StringLike s3:prefix: out/*",),
        ),
        (
            {
                "Action": "*",
                "Resource": "*",
                "Condition": {"Bool": {"aws:SecureTransport": "true"}},
            },
            ("Bool aws:SecureTransport: true",),
        ),
    ],
)
def test_what_a_statement_says_to_a_permission(
    have: dict[str, Any], answer: tuple[str, ...] | None
) -> None:
    assert match_statement(have, listing("in/x/", "in/x/*")) == answer


def test_the_quotas_are_those_of_aws() -> None:
    assert (MAX_SESSION_POLICY, MAX_INLINE, MAX_TRUST) == (2_048, 10_240, 2_048)
