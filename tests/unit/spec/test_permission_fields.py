"""Permissions that a step declares."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.spec.permission_fields import PermissionFields

BUCKET = "arn:aws:s3:::box"


def test_one_value_is_a_list_of_one() -> None:
    fields = PermissionFields.model_validate(
        {
            "actions": "s3:Get*",
            "resources": "*",
            "conditions": {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}},
        }
    )
    assert (fields.actions, fields.resources, fields.role) == (["s3:Get*"], ["*"], None)
    assert fields.conditions == {"StringEquals": {"aws:RequestedRegion": ["eu-west-1"]}}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"actions": "GetObject"}, "must be an IAM action such as s3:GetObject, not 'GetObject'"),
        ({"actions": "*"}, "must be an IAM action such as s3:GetObject, not '*'"),
        ({"actions": "S3:GetObject"}, "must be an IAM action such as s3:GetObject, not 'S3:Get"),
        ({"actions": "s3:Get Object"}, "must be an IAM action such as s3:GetObject, not 's3:Get "),
        ({"actions": ["s3:*", "x"]}, "must be an IAM action such as s3:GetObject, not 'x'"),
        ({"actions": []}, "Value should have at least 1 item"),
        ({"resources": "box"}, "must be an ARN, or '*', not 'box'"),
        ({"resources": "s3://box/"}, "must be an ARN, or '*', not 's3://box/'"),
        ({"resources": []}, "Value should have at least 1 item"),
        ({"effect": "Allow"}, "Extra inputs are not permitted"),
    ],
)
def test_mistakes(fields: dict[str, Any], message: str) -> None:
    values = {"actions": "s3:GetObject", "resources": BUCKET, **fields}
    with pytest.raises(ValidationError) as caught:
        PermissionFields.model_validate(values)
    (error,) = caught.value.errors()
    assert error["msg"].removeprefix("Value error, ").startswith(message)
