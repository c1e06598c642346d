"""Sandbox files: policy statements, contents of objects, and what must be unique."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from rolerunner.sandbox.statements import Grants, Permissions, policy_document
from rolerunner.sandbox.world import (
    ObjectContent,
    World,
    create_world,
)

JOB = "arn:aws:iam::111122223333:role/glue"
OTHER = "arn:aws:iam::444455556666:role/team/reader"
ALLOW = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
GRANT = {"Effect": "Allow", "Action": "s3:GetObject", "Principal": "*"}


def message(kind: Any, value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    return caught.value.errors()[0]["msg"].removeprefix("Value error, ")


def without(statement: dict[str, Any], *keys: str, **more: Any) -> dict[str, Any]:
    return {**{key: value for key, value in statement.items() if key not in keys}, **more}


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("x", "a policy statement is a mapping with Effect, Action and Resource"),
        (without(ALLOW, Effects="Allow"), "a policy statement has no 'Effects'"),
        (
            without(ALLOW, "Effect"),
            "a policy statement has 'Effect: Allow' or 'Effect: Deny'",
        ),
        (
            without(ALLOW, Effect="allow"),
            "a policy statement has 'Effect: Allow' or 'Effect: Deny'",
        ),
        (without(ALLOW, "Action"), "a policy statement has either 'Action' or 'NotAction'"),
        (without(ALLOW, NotAction="a"), "a policy statement has either 'Action' or 'NotAction'"),
        (
            without(ALLOW, Action=[]),
            "a policy statement's 'Action' is text or a list of texts",
        ),
        (
            without(ALLOW, Action=["a", ""]),
            "a policy statement's 'Action' is text or a list of texts",
        ),
        (
            without(ALLOW, Resource=1),
            "a policy statement's 'Resource' is text or a list of texts",
        ),
        (
            without(ALLOW, Principal="*"),
            "a role's permission has no 'Principal': it is the role itself",
        ),
        (
            without(ALLOW, "Resource"),
            "a role's permission has either 'Resource' or 'NotResource'",
        ),
    ],
)
def test_a_wrong_permission_says_why(statement: Any, text: str) -> None:
    assert message(Permissions, [statement]) == text


@pytest.mark.parametrize(
    "statement", [without(GRANT, "Principal"), without(GRANT, NotPrincipal="*")]
)
def test_a_grant_says_whom_it_is_for(statement: Any) -> None:
    assert message(Grants, [statement]) == ("must have either 'Principal' or 'NotPrincipal'")


@pytest.mark.parametrize(
    "value", [[ALLOW], ALLOW, {"Version": "2012-10-17", "Statement": [ALLOW]}, {"Statement": ALLOW}]
)
def test_statements_may_be_a_document_a_list_or_one(value: Any) -> None:
    assert TypeAdapter(Permissions).validate_python(value) == [ALLOW]


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({"text": ""}, b""),
        ({"text": "\xe9"}, "\xe9".encode()),
        ({"size": 0}, b""),
        ({"size": 17}, b"0123456789abcdef0"),
        ({"file": "data"}, b"of the file"),
    ],
)
def test_the_bytes_of_an_object(tmp_path: Path, fields: dict[str, Any], body: bytes) -> None:
    (tmp_path / "data").write_bytes(b"of the file")
    assert ObjectContent.model_validate(fields).body(tmp_path) == body


def test_compressed_text_is_the_same_each_time(tmp_path: Path) -> None:
    content = ObjectContent(gzip="hello")
    assert gzip.decompress(content.body(tmp_path)) == b"hello"
    assert content.body(tmp_path) == content.body(tmp_path)


@pytest.mark.parametrize("fields", [{}, {"text": "a", "size": 1}, {"gzip": "", "file": "x"}])
def test_an_object_has_one_content(fields: dict[str, Any]) -> None:
    assert (
        message(ObjectContent, fields)
        == "each object must have exactly one of text, gzip, file or size"
    )


def world(**more: Any) -> dict[str, Any]:
    return {"version": 1, "job_role": JOB, "roles": [{"arn": JOB}], **more}


BUCKET = {"name": "landing", "account": "444455556666"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (world(job_role=OTHER), f"'job_role' is not one of the roles: {OTHER}"),
        (world(roles=[{"arn": JOB}, {"arn": JOB}]), f"'roles' contains the role {JOB} twice"),
        (world(buckets=[BUCKET, BUCKET]), "'buckets' contains the bucket landing twice"),
        (world(version=2), "Input should be 1"),
        (
            world(roles=[{"arn": "arn:aws:iam::1:role/x"}]),
            "'arn:aws:iam::1:role/x' is not a role ARN such as arn:aws:iam::111122223333:role/name",
        ),
    ],
)
def test_a_wrong_world_says_why(value: dict[str, Any], text: str) -> None:
    assert message(World, value) == text


def test_files_are_named_with_their_places() -> None:
    objects = [{"key": "a", "text": ""}, {"key": "b", "file": "b.csv"}]
    found = World.model_validate(
        world(buckets=[BUCKET | {"name": "x"}, BUCKET | {"objects": objects}])
    )
    assert list(found.files()) == [(("buckets", 1, "objects", 1, "file"), "b.csv")]


class Client:
    """Collects the calls of one account."""

    def __init__(self, place: str, calls: list[tuple[str, str, dict[str, Any]]]) -> None:
        self._place = place
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return lambda **values: self._calls.append((self._place, name, values))


def created(tmp_path: Path, **more: Any) -> list[tuple[str, str, dict[str, Any]]]:
    calls: list[tuple[str, str, dict[str, Any]]] = []
    create_world(
        World.model_validate(world(**more)),
        lambda service, account: Client(f"{service} {account}", calls),
        tmp_path,
    )
    return calls


def test_roles_are_created_in_their_accounts_with_their_paths(tmp_path: Path) -> None:
    role = {
        "arn": OTHER,
        "description": "reads",
        "max_session_duration": "2h",
        "permissions": ALLOW,
    }
    job, other, policy = created(tmp_path, roles=[{"arn": JOB}, role])
    assert (job[0], job[1], job[2]["Path"]) == ("iam 111122223333", "create_role", "/")
    trust = json.loads(job[2]["AssumeRolePolicyDocument"])
    assert trust["Statement"][0]["Principal"] == {"Service": "glue.amazonaws.com"}
    assert other[0] == "iam 444455556666"
    assert other[2] == {
        "RoleName": "reader",
        "Path": "/team/",
        "AssumeRolePolicyDocument": policy_document([]),
        "Description": "reads",
        "MaxSessionDuration": 7200,
    }
    assert policy[1:] == (
        "put_role_policy",
        {
            "RoleName": "reader",
            "PolicyName": "permissions",
            "PolicyDocument": policy_document([ALLOW]),
        },
    )


@pytest.mark.parametrize(
    ("region", "place"),
    [
        ("us-east-1", {}),
        ("eu-west-1", {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}),
    ],
)
def test_buckets_are_created_with_their_objects(
    tmp_path: Path, region: str, place: dict[str, Any]
) -> None:
    bucket = {
        **BUCKET,
        "versioning": True,
        "policy": GRANT,
        "objects": [
            {"key": "a", "text": "x", "tags": {"t": "u v"}, "content_type": "text/csv"},
            {"key": "b", "size": 1, "metadata": {"m": "n"}},
        ],
    }
    calls = created(tmp_path, region=region, buckets=[bucket])[1:]
    assert {each[0] for each in calls} == {"s3 444455556666"}
    named = {"Bucket": "landing"}
    assert [each[1:] for each in calls] == [
        ("create_bucket", {**named, **place}),
        ("put_bucket_versioning", {**named, "VersioningConfiguration": {"Status": "Enabled"}}),
        (
            "put_object",
            {**named, "Key": "a", "Body": b"x", "Metadata": {}, "ContentType": "text/csv",
             "Tagging": "t=u+v"},
        ),
        ("put_object", {**named, "Key": "b", "Body": b"0", "Metadata": {"m": "n"}}),
        ("put_bucket_policy", {**named, "Policy": policy_document([GRANT])}),
    ]  # fmt: skip
