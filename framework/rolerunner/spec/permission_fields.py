"""Models the permissions that a step declares beyond those derived from its fields."""

import re
from typing import Annotated, Any, Optional

from pydantic import BeforeValidator, Field

from rolerunner.spec.expressions import Template
from rolerunner.spec.field_types import StrictModel, Text, json_form

_ACTION = re.compile(r"[a-z0-9-]+:[A-Za-z0-9*?]+\Z")


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, (str, Template)) else value


def _validate_action(value: Any) -> Any:
    if isinstance(value, str) and not _ACTION.match(value):
        raise ValueError(f"must be an IAM action such as s3:GetObject, not '{value}'")
    return value


def _validate_resource(value: Any) -> Any:
    if isinstance(value, str) and value != "*" and not value.startswith("arn:"):
        raise ValueError(f"must be an ARN, or '*', not '{value}'")
    return value


_FORM = json_form(anyOf=[{"type": "string"}, {"type": "array", "items": {"type": "string"}}])
Actions = Annotated[
    list[Annotated[str, BeforeValidator(_validate_action)]],
    BeforeValidator(_one_or_many),
    Field(min_length=1),
    _FORM,
]
Resources = Annotated[
    list[Annotated[Text, BeforeValidator(_validate_resource)]],
    BeforeValidator(_one_or_many),
    Field(min_length=1),
    _FORM,
]
Values = Annotated[list[str], BeforeValidator(_one_or_many), _FORM]


class PermissionFields(StrictModel):
    """Permissions that a step needs beyond those derived from its fields."""

    actions: Actions = Field(
        description="IAM actions.",
        examples=["kms:Decrypt", ["dynamodb:PutItem", "dynamodb:GetItem"]],
    )
    resources: Resources = Field(
        description="ARNs, or '*'.",
        examples=["arn:aws:dynamodb:eu-west-1:111122223333:table/orders", "*"],
    )
    conditions: dict[str, dict[str, Values]] = Field(
        default_factory=dict,
        description="Conditions as in a policy: operator, key, values.",
        examples=[{"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}],
    )
    role: Optional[str] = Field(
        None,
        description="For a step with two roles: the field of the role that needs the permissions.",
        examples=["source_role"],
    )
