"""The nouns read what AWS writes."""

from __future__ import annotations

import pytest

from rolerunner.model import Role, S3Uri, Step, StepResult

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
    ("target", "expected"), [("a", {}), ("b", {"source_role": "a", "target_role": "b"})]
)
def test_different_roles_of_a_step_are_named_by_their_fields(
    target: str, expected: dict[str, str]
) -> None:
    roles = {"target_role": Role(f"arn:{target}", target), "source_role": Role("arn:a", "a")}
    assert Step("it", "s3.copy", {}, roles).several_roles == expected


@pytest.mark.parametrize(
    ("role", "roles", "expected"),
    [("", {}, ()), ("a", {}, ("a",)), ("a", {"source_role": "a", "target_role": "b"}, ("a", "b"))],
)
def test_a_result_names_all_roles_of_its_step(
    role: str, roles: dict[str, str], expected: tuple[str, ...]
) -> None:
    assert StepResult("it", "s3.copy", role, "succeeded", roles=roles).role_names == expected
