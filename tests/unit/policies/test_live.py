"""Reading the policies of roles from IAM."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

from rolerunner.model import Role
from rolerunner.policies.least_privilege import RolePolicies
from rolerunner.policies.live import fetch_granted_policies

CALLER = "arn:aws:sts::111122223333:assumed-role/job/s"
READER = "arn:aws:iam::111122223333:role/team/reader"
FOREIGN = "arn:aws:iam::444455556666:role/other"


def document(action: str) -> dict[str, Any]:
    return {"Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}


class FakeIam:
    """IAM with one role, two inline policies and one managed policy; and its sessions."""

    def __init__(self, failure: Any = None) -> None:
        self.failure = failure

    def client(self, role: Role, service: str) -> FakeIam:
        assert (role.is_job, service) == (True, "iam")
        return self

    def find_caller_arn(self) -> str:
        return CALLER

    def get_role(self, RoleName: str) -> Any:  # noqa: N803 - as boto3 names it
        if self.failure is not None:
            raise self.failure
        assert RoleName == "reader"
        return {"Role": {"AssumeRolePolicyDocument": document("sts:AssumeRole")}}

    def get_paginator(self, operation: str) -> FakePages:
        return FakePages(operation)

    def get_role_policy(self, RoleName: str, PolicyName: str) -> Any:  # noqa: N803
        return {"PolicyDocument": document(f"{RoleName}:{PolicyName}")}

    def get_policy(self, PolicyArn: str) -> Any:  # noqa: N803
        return {"Policy": {"DefaultVersionId": f"v-{PolicyArn}"}}

    def get_policy_version(self, PolicyArn: str, VersionId: str) -> Any:  # noqa: N803
        return {"PolicyVersion": {"Document": document(f"{PolicyArn}:{VersionId}")}}


class FakePages:
    """Two pages of a role's policies."""

    def __init__(self, operation: str) -> None:
        self.operation = operation

    def paginate(self, RoleName: str) -> list[Any]:  # noqa: N803
        assert RoleName == "reader"
        if self.operation == "list_role_policies":
            return [{"PolicyNames": ["one"]}, {"PolicyNames": ["two"]}]
        return [{"AttachedPolicies": [{"PolicyArn": "managed"}]}]


def fetch(*arns: str, failure: Any = None) -> Any:
    roles = [RolePolicies(("r",), arn, (), ()) for arn in arns]
    sessions: Any = FakeIam(failure)
    return fetch_granted_policies(roles, sessions)


def test_inline_and_managed_policies_and_the_trust_are_read() -> None:
    found, unread = fetch(READER)
    assert unread == {}
    granted = found[READER]
    assert [each["Action"] for each in granted.statements] == [
        "reader:one",
        "reader:two",
        "managed:v-managed",
    ]
    assert granted.trust is not None
    assert [each["Action"] for each in granted.trust] == ["sts:AssumeRole"]


def test_roles_of_other_accounts_are_not_asked_for() -> None:
    found, unread = fetch(FOREIGN, READER, "")
    assert list(found) == [READER]
    assert unread == {
        FOREIGN: (
            "it is in account 444455556666, but IAM shows only the caller's account: compare there"
        )
    }


def test_a_role_that_cannot_be_read_has_the_reason() -> None:
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "iam:GetRole")
    assert fetch(READER, failure=denied) == (
        {},
        {READER: "the role 'job' may not iam:GetRole on *"},
    )
    lost = EndpointConnectionError(endpoint_url="https://iam")
    found, unread = fetch(READER, failure=lost)
    assert (found, unread) == ({}, {READER: str(lost)})
