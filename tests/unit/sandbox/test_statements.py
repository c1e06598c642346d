"""Policy statements of a sandbox file: their forms, and what is wrong with others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from rolerunner.sandbox.statements import Grants, Permissions, policy_document

READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
GRANT = {**READ, "Principal": {"AWS": "*"}}
PERMISSIONS: TypeAdapter[Any] = TypeAdapter(Permissions)
GRANTS: TypeAdapter[Any] = TypeAdapter(Grants)


@pytest.mark.parametrize(
    "value", [READ, [READ], {"Statement": READ}, {"Version": "2012-10-17", "Statement": [READ]}]
)
def test_a_document_a_list_or_one_statement(value: Any) -> None:
    assert PERMISSIONS.validate_python(value) == [READ]


def change(statement: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {key: value for key, value in {**statement, **values}.items() if value is not None}


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("text", "is a mapping with Effect, Action and Resource"),
        (change(READ, Actions="x"), "has no 'Actions'"),
        (change(READ, Effect="allow"), "has 'Effect: Allow' or 'Effect: Deny'"),
        (change(READ, NotAction="x"), "either 'Action' or 'NotAction'"),
        (change(READ, Action=None), "either 'Action' or 'NotAction'"),
        (change(READ, Action=[]), "'Action' is text or a list of texts"),
        (change(READ, Resource=[""]), "'Resource' is text or a list of texts"),
        (change(READ, Sid=5), "'Sid' is text or a list of texts"),
        (GRANT, "a role's permission has no 'Principal'"),
        (change(READ, Resource=None), "either 'Resource' or 'NotResource'"),
    ],
)
def test_mistakes_of_a_permission(statement: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PERMISSIONS.validate_python([statement])


@pytest.mark.parametrize("statement", [READ, {**GRANT, "NotPrincipal": {"AWS": "*"}}])
def test_a_grant_has_one_principal(statement: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="either 'Principal' or 'NotPrincipal'"):
        GRANTS.validate_python([statement])
    assert GRANTS.validate_python(GRANT) == [GRANT]


def test_a_document_of_statements() -> None:
    document = json.loads(policy_document([READ]))
    assert document == {"Version": "2012-10-17", "Statement": [READ]}
