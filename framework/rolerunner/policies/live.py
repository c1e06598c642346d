"""Reads the policies of roles from IAM under the job's own identity, in its own account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import AwsError
from rolerunner.iam.denials import explain_error
from rolerunner.model import JOB, RoleArn
from rolerunner.policies.compare import GrantedPolicies, parse_granted_policies
from rolerunner.sessions.bounded_pages import paginate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rolerunner.policies.least_privilege import RolePolicies
    from rolerunner.sessions.registry import Sessions


def fetch_granted_policies(
    roles: Sequence[RolePolicies], sessions: Sessions
) -> tuple[dict[str, GrantedPolicies], dict[str, str]]:
    """Returns policies by role ARN, and the reason for each role that cannot be read."""
    found: dict[str, GrantedPolicies] = {}
    unread: dict[str, str] = {}
    account = sessions.find_caller_arn().split(":")[4:5]
    iam = sessions.client(JOB, "iam")
    for role in roles:
        if not role.arn:
            continue
        if [role.account] != account:
            unread[role.arn] = (
                f"it is in account {role.account}, but IAM shows only the caller's account: "
                "compare there"
            )
            continue
        try:
            found[role.arn] = _fetch_policies(iam, RoleArn.parse(role.arn).name)
        except ClientError as error:
            explained = explain_error(
                AwsError.from_client_error(error), JOB, caller=sessions.find_caller_arn()
            )
            unread[role.arn] = explained.message
        except (BotoCoreError, StepError) as error:
            unread[role.arn] = str(error)
    return found, unread


def _fetch_policies(iam: Any, name: str) -> GrantedPolicies:
    trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    return parse_granted_policies([*_iter_inline(iam, name), *_iter_managed(iam, name)], trust)


def _iter_inline(iam: Any, name: str) -> Iterator[Any]:
    for page in paginate(iam, "list_role_policies", {"RoleName": name}):
        for policy in page["PolicyNames"]:
            yield iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]


def _iter_managed(iam: Any, name: str) -> Iterator[Any]:
    for page in paginate(iam, "list_attached_role_policies", {"RoleName": name}):
        for attached in page["AttachedPolicies"]:
            version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
            yield iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)[
                "PolicyVersion"
            ]["Document"]
