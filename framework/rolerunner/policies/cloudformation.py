"""Renders policies as a CloudFormation template for all accounts.

Each account creates only its own roles.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rolerunner.model import RoleArn
from rolerunner.policies.least_privilege import explain_statements, list_dependencies
from rolerunner.spec.document import dump_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.policies.least_privilege import RolePolicies


def render_cloudformation(
    job: str, roles: Sequence[tuple[str, RolePolicies]], *, explain: bool
) -> str:
    """Returns the template as YAML."""
    accounts = dict.fromkeys(each.account for _, each in roles)
    return dump_yaml(
        {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": (
                f"Roles of the job {job}, as rolerunner iam made them. "
                "Each account makes its own; the job's account comes first."
            ),
            "Conditions": {
                f"In{account}": {"Fn::Equals": [{"Ref": "AWS::AccountId"}, account]}
                for account in accounts
            },
            "Resources": {
                _to_logical_id(name): _build_resource(job, each, roles, explain=explain)
                for name, each in roles
            },
        }
    )


def _build_resource(
    job: str, role: RolePolicies, roles: Sequence[tuple[str, RolePolicies]], *, explain: bool
) -> dict[str, Any]:
    arn = RoleArn.parse(role.arn)
    first = [_to_logical_id(name) for name in list_dependencies(role, roles)]
    policy = {"PolicyName": f"rolerunner-{job}", "PolicyDocument": role.policy()}
    return {
        "Type": "AWS::IAM::Role",
        "Condition": f"In{arn.account}",
        **({"DependsOn": first} if first else {}),
        **({"Metadata": {"explain": explain_statements(role)}} if explain else {}),
        "Properties": {
            "RoleName": arn.name,
            "Path": "/" + arn.path_and_name[: -len(arn.name)],
            "MaxSessionDuration": max(role.duration, 3600),
            "AssumeRolePolicyDocument": role.trust_policy(),
            **({"Policies": [policy]} if role.permissions else {}),
        },
    }


def _to_logical_id(name: str) -> str:
    """Returns a logical ID: letters and digits only (CloudFormation user guide)."""
    return "".join(
        part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", f"role-{name}")
    )
