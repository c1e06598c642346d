"""Session policies at the exact quota of STS, and what is widened first."""

from __future__ import annotations

import json
from typing import Any

from rolerunner.iam.policy import MAX_SESSION_POLICY
from rolerunner.iam.policy_fitting import fit_session_policy
from rolerunner.model import Permission, Use


def put(bucket: str, key: str) -> Use:
    return Use(Permission("s3:PutObject", f"arn:aws:s3:::{bucket}/{key}"), "step")


def listing(bucket: str, *prefixes: str) -> Use:
    condition = (("StringLike", "s3:prefix", prefixes),)
    return Use(Permission("s3:ListBucket", f"arn:aws:s3:::{bucket}", condition), "step")


def statements(text: str) -> list[dict[str, Any]]:
    return list(json.loads(text)["Statement"])


def fit_length(length: int) -> tuple[str, tuple[str, ...]]:
    """Fits a policy whose text would have this many characters without widening."""
    base = len(fit_session_policy([put("b", "")])[0])
    return fit_session_policy([put("b", "k" * (length - base))])


def test_a_policy_of_exactly_the_quota_is_kept() -> None:
    text, notes = fit_length(MAX_SESSION_POLICY)
    assert (len(text), notes) == (MAX_SESSION_POLICY, ())


def test_a_policy_of_one_character_more_is_widened() -> None:
    text, notes = fit_length(MAX_SESSION_POLICY + 1)
    assert notes == ("prefixes of arn:aws:s3:::b became the whole bucket",)
    assert statements(text)[0]["Resource"] == "arn:aws:s3:::b/*"


def test_the_bucket_with_the_most_text_is_widened_first() -> None:
    small = [put("a-small", f"{number}/{'x' * 20}/*") for number in range(8)]
    large = [put("b-large", f"{number}/{'x' * 40}/*") for number in range(40)]
    text, notes = fit_session_policy([*small, *large])
    assert notes == ("prefixes of arn:aws:s3:::b-large became the whole bucket",)
    resources = statements(text)[0]["Resource"]
    assert "arn:aws:s3:::b-large/*" in resources
    assert len(resources) == 9


def test_as_few_buckets_as_possible_are_widened() -> None:
    """Two buckets of 15 prefixes do not fit, one does."""
    needed = [
        put(f"bucket-{bucket}", f"{number}/{'x' * 40}/*")
        for bucket in range(4)
        for number in range(15)
    ]
    text, notes = fit_session_policy(needed)
    assert notes == tuple(
        f"prefixes of arn:aws:s3:::bucket-{number} became the whole bucket" for number in range(3)
    )
    assert len(text) <= MAX_SESSION_POLICY


def test_a_widened_listing_loses_its_prefix_and_keeps_other_conditions() -> None:
    prefixes = tuple(f"{number}/{'x' * 80}/" for number in range(30))
    kept = ("StringEquals", "s3:delimiter", ("/",))
    condition = (("StringLike", "s3:prefix", prefixes), kept)
    use = Use(Permission("s3:ListBucket", "arn:aws:s3:::b", condition), "step")
    text, notes = fit_session_policy([use])
    assert notes == ("prefixes of arn:aws:s3:::b became the whole bucket",)
    (only,) = statements(text)
    assert only["Resource"] == "arn:aws:s3:::b"
    assert only["Condition"] == {"StringEquals": {"s3:delimiter": ["/"]}}


def test_a_prefix_and_its_pattern_are_written_once() -> None:
    text, _ = fit_session_policy([listing("b", "in/", "in/*", "out")])
    assert statements(text)[0]["Condition"] == {"StringLike": {"s3:prefix": ["in/*", "out"]}}


def test_values_that_must_be_equal_are_all_kept() -> None:
    condition = (("StringEquals", "aws:RequestedRegion", ("eu", "eu*")),)
    text, _ = fit_session_policy([Use(Permission("glue:StartJobRun", "*", condition), "step")])
    assert statements(text)[0]["Condition"] == {
        "StringEquals": {"aws:RequestedRegion": ["eu", "eu*"]}
    }


def test_s3_actions_are_crossed_before_resources_become_everything() -> None:
    """Each bucket has an action of its own, so that one statement for all is shorter."""
    actions = [f"s3:Action{number:02}{'x' * 8}" for number in range(20)]
    needed = [
        Use(Permission(action, f"arn:aws:s3:::{'b' * 20}-{number:02}/*"), "step")
        for number, action in enumerate(actions)
    ]
    other = Use(Permission("glue:StartJobRun", "arn:aws:glue:*:*:job/x"), "step")
    text, notes = fit_session_policy([*needed, other])
    assert notes[-1] == "each S3 action is allowed on every bucket of the role's steps"
    found = {str(each["Action"]): each["Resource"] for each in statements(text)}
    assert found["glue:StartJobRun"] == "arn:aws:glue:*:*:job/x"
    assert len(found[str(actions)]) == 20


def test_a_bucket_without_prefixes_is_not_named_as_widened() -> None:
    needed = [put(f"bucket-{'x' * 30}-{number:03}", "*") for number in range(60)]
    _, notes = fit_session_policy(needed)
    assert notes == (
        "each S3 action is allowed on every bucket of the role's steps",
        "resources became *",
    )


def test_widened_actions_keep_their_conditions() -> None:
    condition = (("StringEquals", "aws:RequestedRegion", ("eu-west-1",)),)
    needed = [
        Use(Permission(f"glue:Action{'x' * 50}{number}", "*", condition), "step")
        for number in range(60)
    ]
    text, notes = fit_session_policy(needed)
    assert notes[-1] == "actions became those of the whole service"
    assert statements(text) == [
        {
            "Effect": "Allow",
            "Action": "glue:*",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:RequestedRegion": ["eu-west-1"]}},
        }
    ]
