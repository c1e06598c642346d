"""Renders policies as a Terraform configuration for all accounts.

Each account creates only its own roles.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rolerunner.iam.policy_text import format_json
from rolerunner.model import RoleArn
from rolerunner.policies.least_privilege import explain_statements, list_dependencies

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rolerunner.policies.least_privilege import RolePolicies


def render_terraform(job: str, roles: Sequence[tuple[str, RolePolicies]], *, explain: bool) -> str:
    """Returns the configuration in HCL."""
    lines = [
        (
            f"# Roles of the job {job}, as rolerunner iam made them. "
            "Each account makes its own; the job's account comes first."
        ),
        'data "aws_caller_identity" "current" {}',
    ]
    for name, role in roles:
        lines += ["", *_render_role(name, role, roles)]
        if role.permissions:
            lines += ["", *_render_policy(job, name, role, explain=explain)]
    return "\n".join(lines) + "\n"


def _render_role(
    name: str, role: RolePolicies, roles: Sequence[tuple[str, RolePolicies]]
) -> Iterator[str]:
    arn = RoleArn.parse(role.arn)
    yield f'resource "aws_iam_role" "{_to_identifier(name)}" {{'
    yield f"  count                = {_render_count(arn.account)}"
    yield f'  name                 = "{arn.name}"'
    yield f'  path                 = "/{arn.path_and_name[: -len(arn.name)]}"'
    yield f"  max_session_duration = {max(role.duration, 3600)}"
    yield f"  assume_role_policy   = jsonencode({_render_json(role.trust_policy())})"
    first = [f"aws_iam_role.{_to_identifier(each)}" for each in list_dependencies(role, roles)]
    if first:
        yield f"  depends_on           = [{', '.join(first)}]"
    yield "}"


def _render_policy(job: str, name: str, role: RolePolicies, *, explain: bool) -> Iterator[str]:
    if explain:
        yield from (
            f"# statement {each['statement']}: for {', '.join(each['for'])}"
            for each in explain_statements(role)
        )
    yield f'resource "aws_iam_role_policy" "{_to_identifier(name)}" {{'
    yield f"  count  = {_render_count(role.account)}"
    yield f'  name   = "rolerunner-{job}"'
    yield f"  role   = aws_iam_role.{_to_identifier(name)}[0].name"
    yield f"  policy = jsonencode({_render_json(role.policy())})"
    yield "}"


def _render_count(account: str) -> str:
    return f'data.aws_caller_identity.current.account_id == "{account}" ? 1 : 0'


def _render_json(value: Any) -> str:
    return escape_hcl(format_json(value, 2))


def escape_hcl(text: str) -> str:
    """Escapes JSON for HCL, which differs only in its interpolation markers."""
    return text.replace("${", "$${").replace("%{", "%%{")


def _to_identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name if name[:1].isalpha() else f"role_{name}")
