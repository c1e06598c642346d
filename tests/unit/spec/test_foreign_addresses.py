"""Locations and role ARNs in the forms of other tools: the hint has the right one."""

from __future__ import annotations

import pytest

from rolerunner.model import RoleArn, S3Uri
from rolerunner.spec.foreign_addresses import suggest_role_arn, suggest_s3_uri


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("s3a://landing/orders/", "s3://landing/orders/"),
        ("s3n://landing/a", "s3://landing/a"),
        ("S3://landing/a", "s3://landing/a"),
        ("s3:/landing/a", "s3://landing/a"),
        ("landing/orders/", "s3://landing/orders/"),
        ("https://landing.s3.eu-west-1.amazonaws.com/orders/a", "s3://landing/orders/a"),
        ("https://landing.s3.amazonaws.com/a?versionId=1", "s3://landing/a"),
        ("https://s3.eu-west-1.amazonaws.com/landing/a", "s3://landing/a"),
        ("https://s3-us-west-2.amazonaws.com/landing/a", "s3://landing/a"),
        ("arn:aws:s3:::landing/orders/*", "s3://landing/orders/"),
        (" s3://landing/a", "s3://landing/a"),
        ("\u201cs3://landing/a\u201d", "s3://landing/a"),
    ],
)
def test_a_location_has_its_uri(text: str, right: str) -> None:
    assert suggest_s3_uri(text) == f"write {right}"
    assert str(S3Uri.parse(right)) == right


@pytest.mark.parametrize("text", ["", "/tmp/a", "gs://landing/a", "s3:///a", "file:///tmp/a", "~"])
def test_other_texts_have_none(text: str) -> None:
    assert suggest_s3_uri(text) == ""


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("arn:aws:sts::111122223333:assumed-role/reader/me", "111122223333:role/reader"),
        ("arn:aws:iam:eu-west-1:111122223333:role/reader", "111122223333:role/reader"),
        ("arn:aws:iam:111122223333:role/team/reader", "111122223333:role/team/reader"),
        ("arn:aws:iam::111122223333:role/reader ", "111122223333:role/reader"),
        ("\u2018arn:aws:iam::111122223333:role/reader\u2019", "111122223333:role/reader"),
    ],
)
def test_an_arn_has_its_role(text: str, right: str) -> None:
    assert suggest_role_arn(text) == f"write arn:aws:iam::{right}"
    assert RoleArn.parse(f"arn:aws:iam::{right}").account == "111122223333"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("reader", "write the whole ARN, arn:aws:iam::ACCOUNT:role/reader"),
        ("arn:aws:iam::111122223333:user/ada", "not a principal such as user"),
        ("arn:aws:iam::111122223333:root", "not a principal such as root"),
        ("arn:aws:iam::1111:role/reader", ""),
        ("111122223333", ""),
    ],
)
def test_other_principals(text: str, hint: str) -> None:
    assert suggest_role_arn(text).endswith(hint)
    assert bool(suggest_role_arn(text)) == bool(hint)
