"""Roles in their long form, at the limits that IAM and STS set."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.spec.role_fields import MAX_POLICY, RoleFields

ARN = "arn:aws:iam::111122223333:role/r"


def read(**fields: Any) -> RoleFields:
    return RoleFields.model_validate({"arn": ARN, **fields})


def message(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        read(**fields)
    (error,) = caught.value.errors()
    return error["msg"].removeprefix("Value error, ")


def policy_of(length: int) -> dict[str, Any]:
    """Returns a policy that is so long as compact JSON."""
    empty = len(json.dumps({"Statement": ""}, separators=(",", ":")))
    return {"Statement": "s" * (length - empty)}


@pytest.mark.parametrize(
    "fields",
    [
        {"external_id": "ab"},
        {"external_id": "a" * 1224},
        {"external_id": "_+=,.@:/-"},
        {"duration": "15m"},
        {"duration": "1h"},
        {"duration": 900},
        {"region": "eu-west-1"},
        {"region": "us-gov-west-12"},
        {"session_name": "ab"},
        {"session_name": "a" * 64},
        {"source_identity": "ab"},
        {"source_identity": "a" * 64},
        {"tags": {f"k{number}": "v" for number in range(50)}},
        {"tags": {"k" * 128: "v" * 256}},
        {"tags": {"k": ""}},
        {"policy_arns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"] * 10},
        {"policy_arns": ["arn:aws-cn:iam::111122223333:policy/path/x"]},
        {"sts_endpoint": "http://localhost:4566"},
        {"sts_endpoint": "https://127.0.0.1"},
        {"session_policy": "none"},
        {"session_policy": "auto"},
        {"session_policy": "auto-per-step"},
        {"session_policy": policy_of(MAX_POLICY)},
    ],
)
def test_values_at_their_limits(fields: dict[str, Any]) -> None:
    read(**fields)


@pytest.mark.parametrize(
    ("fields", "start"),
    [
        ({"arn": "arn:aws:iam::1:role/x"}, "'arn:aws:iam::1:role/x' is not a role ARN such as "),
        ({"external_id": "a"}, "must be an external id of 2 to 1224 letters, digits and"),
        ({"external_id": "a" * 1225}, "must be an external id of 2 to 1224 letters"),
        ({"external_id": "a b"}, "must be an external id of 2 to 1224 letters"),
        ({"external_id": "ab\n"}, "must be an external id of 2 to 1224 letters"),
        ({"duration": "899s"}, "must be 15m to 1h: a session of a role assumed by another role"),
        ({"duration": "3601s"}, "must be 15m to 1h: a session of a role assumed by another role"),
        ({"region": "europe"}, "must be a region such as eu-west-1, not 'europe'"),
        ({"region": "eu-west-1a"}, "must be a region such as eu-west-1, not 'eu-west-1a'"),
        ({"account": "1"}, "must be an account id of twelve digits, not '1'"),
        ({"session_name": "a"}, "must be a session name of 2 to 64 letters, digits and _+=,.@-"),
        ({"session_name": "a" * 65}, "must be a session name of 2 to 64 letters"),
        ({"session_name": "a/b"}, "must be a session name of 2 to 64 letters"),
        ({"source_identity": "a"}, "must be 2 to 64 letters, digits and _+=,.@-, and cannot begin"),
        ({"source_identity": "a" * 65}, "must be 2 to 64 letters"),
        ({"source_identity": "aws:x"}, "must be 2 to 64 letters"),
        (
            {"tags": {f"k{number}": "v" for number in range(51)}},
            "must have at most 50 tags, not 51",
        ),
        ({"tags": {"": "v"}}, "must have keys of 1 to 128 and values of up to 256 characters, unl"),
        ({"tags": {"k" * 129: "v"}}, "must have keys of 1 to 128 and values of up to 256"),
        ({"tags": {"k": "v" * 257}}, "must have keys of 1 to 128 and values of up to 256"),
        ({"tags": {"AWS:x": "v"}}, "cannot have the key 'AWS:x': AWS reserves keys that begin"),
        ({"tags": {"Team": "v", "team": "v"}}, "'Team' and 'team' are the same tag key to AWS"),
        ({"policy_arns": ["arn:aws:iam::aws:role/x"]}, "must be a policy ARN such as arn:aws:iam"),
        ({"policy_arns": ["arn:aws:iam::aws:policy/"]}, "must be a policy ARN such as arn:aws:iam"),
        (
            {"policy_arns": ["arn:aws:iam::aws:policy/x"] * 11},
            "List should have at most 10 items after validation, not 11",
        ),
        ({"sts_endpoint": "sts.amazonaws.com"}, "must be a URL such as https://sts.eu-west-1"),
        ({"sts_endpoint": "ftp://x"}, "must be a URL such as https://sts.eu-west-1.amazonaws.com"),
        ({"sts_endpoint": "https://"}, "must be a URL such as https://sts.eu-west-1.amazonaws.com"),
        (
            {"sts_endpoint": "http://169.254.169.254/x"},
            "cannot be a link-local address such as 169.254.169.254",
        ),
        ({"sts_endpoint": "http://[fe80::1]"}, "cannot be a link-local address such as fe80::1"),
        ({"session_policy": "all"}, "must be a policy in JSON or YAML: "),
        ({"session_policy": "[]"}, "must be a policy with a 'Statement'"),
        ({"session_policy": {}}, "must be a policy with a 'Statement'"),
        (
            {"session_policy": policy_of(MAX_POLICY + 1)},
            "must have at most 2048 characters as compact JSON, not 2049",
        ),
        ({"externalid": "ab"}, "Extra inputs are not permitted"),
    ],
)
def test_values_beyond_their_limits(fields: dict[str, Any], start: str) -> None:
    assert message(**fields).startswith(start)


def test_a_policy_is_compact_json_with_sorted_keys() -> None:
    expected = '{"Statement":[],"Version":"2012-10-17"}'
    assert read(session_policy={"Version": "2012-10-17", "Statement": []}).session_policy == (
        expected
    )
    text = '{ "Version": "2012-10-17", "Statement": [] }'
    assert read(session_policy=text).session_policy == expected


def test_defaults() -> None:
    fields = read()
    assert (fields.duration, fields.tags, fields.policy_arns, fields.via) == (3600.0, {}, [], None)
    assert fields.session_policy is None
