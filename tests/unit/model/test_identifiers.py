"""Identifiers are parsed as AWS writes them."""

from __future__ import annotations

import pytest

from rolerunner.model import RoleArn, S3Uri

POINT = "arn:aws:s3:eu-west-1:111122223333:accesspoint/landing"
OUTPOST = (
    "arn:aws:s3-outposts:us-west-2:111122223333:outpost/op-01ac5d28a6a232904/accesspoint/reports"
)
LAMBDA = "arn:aws:s3-object-lambda:eu-west-1:111122223333:accesspoint/redacted"
MANY_REGIONS = "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap"
EXPRESS = "arn:aws:s3express:us-west-2:111122223333:bucket/fast--usw2-az1--x-s3"
EXPRESS_POINT = "arn:aws:s3express:us-west-2:111122223333:accesspoint/mine--usw2-az1--xa-s3"


@pytest.mark.parametrize(
    ("text", "bucket", "key"),
    [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://bucket//a b+%\n", "bucket", "/a b+%\n"),
        (f"s3://{POINT}", POINT, ""),
        (f"s3://{POINT}/in/a/b", POINT, "in/a/b"),
        (f"s3://{OUTPOST}/in/", OUTPOST, "in/"),
        (f"s3://{LAMBDA}/in/a", LAMBDA, "in/a"),
        (f"s3://{MANY_REGIONS}/in/a", MANY_REGIONS, "in/a"),
        (f"s3://{EXPRESS}/in/a", "fast--usw2-az1--x-s3", "in/a"),
        (f"s3://{EXPRESS_POINT}", "mine--usw2-az1--xa-s3", ""),
    ],
)
def test_places_in_s3_are_read(text: str, bucket: str, key: str) -> None:
    uri = S3Uri.parse(text)
    assert (uri.bucket, uri.key) == (bucket, key)
    assert uri.in_directory_bucket == ("s3express" in text)
    assert S3Uri.parse(str(uri)) == uri


@pytest.mark.parametrize(
    "text",
    [
        "bucket/key",
        "s3:/bucket/key",
        "s3:///key",
        "s3://b/key",
        "s3://arn:aws:s3:::bucket/key",
        "s3://bu cket/key",
    ],
)
def test_what_is_no_place_in_s3_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be s3://bucket/key|is not a bucket name"):
        S3Uri.parse(text)


@pytest.mark.parametrize(
    ("key", "name", "is_prefix", "folder"),
    [
        ("", "", True, ""),
        ("in/", "", True, "in/"),
        ("in/a.csv", "a.csv", False, "in/a.csv/"),
    ],
)
def test_a_key_names_an_object_or_a_folder(
    key: str, name: str, is_prefix: bool, folder: str
) -> None:
    uri = S3Uri("bucket", key)
    assert (uri.name, uri.is_prefix, uri.as_folder().key) == (name, is_prefix, folder)
    assert uri.join("x").key == f"{key}x"


def test_the_path_of_a_role_is_kept() -> None:
    arn = RoleArn.parse("arn:aws-cn:iam::111122223333:role/jobs/nightly/loader")
    assert arn == RoleArn("aws-cn", "111122223333", "jobs/nightly/loader", "loader")


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:iam::111122223333:user/loader",
        "arn:aws:iam::1111:role/loader",
        "arn:aws:iam::111122223333:role/loader\n",
        "arn:aws:iam::111122223333:role/",
    ],
)
def test_what_is_no_role_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a role ARN such as"):
        RoleArn.parse(text)
