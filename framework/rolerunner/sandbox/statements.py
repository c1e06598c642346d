"""Policy statements of a sandbox file."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

_STATEMENT_KEYS = {
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
}
_TEXTS = {"Sid", "Action", "NotAction", "Resource", "NotResource"}


def _validate_statement(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError("a policy statement is a mapping with Effect, Action and Resource")  # noqa: TRY004 - pydantic takes ValueError
    unknown = sorted(set(value) - _STATEMENT_KEYS)
    if unknown:
        raise ValueError(f"a policy statement has no '{unknown[0]}'")
    if value.get("Effect") not in ("Allow", "Deny"):
        raise ValueError("a policy statement has 'Effect: Allow' or 'Effect: Deny'")
    if ("Action" in value) == ("NotAction" in value):
        raise ValueError("a policy statement has either 'Action' or 'NotAction'")
    for key in sorted(_TEXTS & set(value)):
        if not _are_texts(value[key]):
            raise ValueError(f"a policy statement's '{key}' is text or a list of texts")
    return value


def _are_texts(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(isinstance(each, str) and each for each in values)


def _validate_permission(value: Any) -> Any:
    if "Principal" in value or "NotPrincipal" in value:
        raise ValueError("a role's permission has no 'Principal': it is the role itself")
    if ("Resource" in value) == ("NotResource" in value):
        raise ValueError("a role's permission has either 'Resource' or 'NotResource'")
    return value


def _validate_grant(value: Any) -> Any:
    if ("Principal" in value) == ("NotPrincipal" in value):
        raise ValueError("must have either 'Principal' or 'NotPrincipal'")
    return value


def _validate_statements(value: Any) -> Any:
    """Accepts a policy document, a list of statements or one statement."""
    if not isinstance(value, dict):
        return value
    statements = value.get("Statement", value)
    return [statements] if isinstance(statements, dict) else statements


Statement = Annotated[dict[str, Any], BeforeValidator(_validate_statement)]
Permissions = Annotated[
    list[Annotated[Statement, AfterValidator(_validate_permission)]],
    BeforeValidator(_validate_statements),
]
"""The permissions of a role."""
Grants = Annotated[
    list[Annotated[Statement, AfterValidator(_validate_grant)]],
    BeforeValidator(_validate_statements),
]
"""Statements of a resource policy: a trust policy or a bucket policy."""


def policy_document(statements: list[dict[str, Any]]) -> str:
    """Returns statements as a policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
