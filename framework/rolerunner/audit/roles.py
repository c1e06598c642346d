"""Rules on roles and their sessions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.audit.finding import RuleMatch, rule
from rolerunner.common.wording import format_count
from rolerunner.model import RoleArn
from rolerunner.step_ids import local_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.audit.subject import AuditSubject
    from rolerunner.model import PlannedStep, Role

_MIN_SESSION = 900
"""Minimum duration of a session in seconds (STS API reference, AssumeRole)."""
_BROAD = ("AdministratorAccess", "PowerUserAccess", "ReadOnlyAccess", "FullAccess")


@rule(
    "RR001", "no-external-id", "high",
    "A role in another account is assumed without an external ID.",
    "Anyone who can choose the role that the job assumes may reach data of others through it: "
    "the confused deputy problem of the IAM user guide.",
    "set 'external_id', and require it in the role's trust policy; between your own accounts, "
    "ignore this finding in a comment",
)  # fmt: skip
def no_external_id(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Yields certain matches if the assuming account is known, likely ones otherwise."""
    accounts = {RoleArn.parse(role.arn).account for role in subject.plan.roles if role.via is None}
    for role in subject.plan.roles:
        mine, before = RoleArn.parse(role.arn).account, subject.find_source_account(role)
        if role.external_id or mine == before:
            continue
        if before:
            message = (
                f"the role '{role}' in account {mine} is assumed from account {before} "
                "without an external ID"
            )
            yield subject.locate_role(role, message, no_external_id.remedy, "arn"), ""
        elif len(accounts) > 1:
            message = (
                f"the role '{role}' has no external ID, and the roles are in "
                f"{len(accounts)} accounts, so at least one is not the job's"
            )
            yield (
                subject.locate_role(
                    role,
                    message,
                    "set 'external_id', or pass --job-role ARN for a definite answer",
                    "arn",
                ),
                "medium",
            )


@rule(
    "RR002", "long-session", "low",
    "A session lasts longer than its steps can take.",
    "Leaked credentials can be used until the session ends.",
    "set a shorter 'duration'; sessions are renewed if a step takes longer",
)  # fmt: skip
def long_session(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Checks roles whose steps all have a timeout."""
    for role in subject.plan.roles:
        steps = subject.list_steps(role)
        timeouts = [None if _is_repeated(each) else each.step.timeout for each in steps]
        if not timeouts or any(not isinstance(each, (int, float)) for each in timeouts):
            continue
        known = [float(each) for each in timeouts if each is not None]
        deadline = subject.plan.job.deadline
        most = sum(known) if deadline is None else min(sum(known), deadline + max(known))
        if role.duration > max(most, _MIN_SESSION):
            message = (
                f"sessions of the role '{role}' last {role.duration // 60} minutes, but its steps "
                f"take at most {max(1, round(most / 60))}"
            )
            yield (
                subject.locate_role(
                    role,
                    message,
                    f"set 'duration: {max(15, -(-int(most) // 60))}m'",
                    "duration",
                    "arn",
                ),
                "",
            )


def _is_repeated(planned: PlannedStep) -> bool:
    """Returns True for a step inside a group, whose timeout is for one item."""
    return local_name(planned.step.id) != planned.step.id


@rule(
    "RR003", "shared-session", "low",
    "Steps with different needs share a role without a session policy, or your own function has "
    "all permissions of a role.",
    "A step can do everything that the role allows, not only what it needs.",
    "set 'session_policy' to auto, or to auto-per-step if the steps need different permissions, "
    "or give the step its own role",
)  # fmt: skip
def shared_session(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Checks roles without a session policy."""
    for role in subject.plan.roles:
        if role.policy or role.policy_arns:
            continue
        users = subject.list_steps(role)
        own_code = [
            planned.step.id for planned in users if subject.find_action(planned).calls_user_code
        ]
        needs = {_list_needs(planned.permissions, planned.step.roles, role) for planned in users}
        ids = list(dict.fromkeys(planned.step.id for planned in users))
        if own_code:
            message = f"the function of '{own_code[0]}' has all permissions of the role '{role}'"
        elif len(needs) > 1:
            message = (
                f"{format_count(len(ids), 'step')} with different needs share all permissions "
                f"of the role '{role}': {', '.join(ids[:5])}"
            )
        else:
            continue
        yield subject.locate_role(role, message, shared_session.remedy), ""


def _list_needs(permissions: Any, roles: Any, role: Role) -> frozenset[Any]:
    return frozenset(
        each for field, needed in permissions.items() if roles.get(field) == role for each in needed
    )


@rule(
    "RR004", "wildcard-policy", "medium",
    "A session policy allows every action, or every resource.",
    "It looks like a limit of the session, but is none.",
    "list the actions and resources that the steps need, which `rolerunner plan` prints",
)  # fmt: skip
def wildcard_policy(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Matches Allow statements with a wildcard or a negation."""
    for role in subject.plan.roles:
        for statement in _list_statements(role.policy):
            message = _describe_wide_statement(statement)
            if message:
                yield (
                    subject.locate_role(
                        role,
                        f"the session policy of '{role}' allows {message}",
                        wildcard_policy.remedy,
                        "session_policy",
                    ),
                    "",
                )


def _list_statements(policy: str) -> list[dict[str, Any]]:
    try:
        read = json.loads(policy)
    except ValueError:  # not an inline one
        return []
    statements = read.get("Statement", []) if isinstance(read, dict) else []
    return [
        each
        for each in (statements if isinstance(statements, list) else [statements])
        if isinstance(each, dict) and each.get("Effect") == "Allow"
    ]


def _describe_wide_statement(statement: dict[str, Any]) -> Optional[str]:
    if "NotAction" in statement or "NotResource" in statement:
        return "everything but what it names"
    actions, resources = (
        each if isinstance(each, list) else [each]
        for each in (statement.get("Action"), statement.get("Resource"))
    )
    star = next((action for action in actions if str(action).endswith(":*") or action == "*"), None)
    if star is not None:
        return f"the action {star}"
    return f"{actions[0]} on every resource" if "*" in resources else None


@rule(
    "RR005", "broad-policy-arns", "medium",
    "A managed policy that limits a session allows nearly everything.",
    "It looks like a limit of the session, but is none.",
    "name a managed policy that allows what the steps need, or write a 'session_policy'",
)  # fmt: skip
def broad_policy_arns(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Matches the names of AWS's own policies."""
    for role in subject.plan.roles:
        for arn in role.policy_arns:
            if ":iam::aws:" in arn and arn.endswith(_BROAD) and not role.policy:
                message = (
                    f"sessions of '{role}' are limited by {arn.rpartition('/')[2]}, "
                    "which allows nearly everything"
                )
                yield (
                    subject.locate_role(role, message, broad_policy_arns.remedy, "policy_arns"),
                    "",
                )


@rule(
    "RR006", "plain-http", "medium",
    "STS is called over http.",
    "Session credentials cross the network as plain text.",
    "write https://",
)  # fmt: skip
def plain_http(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Ignores endpoints on loopback, which tests use."""
    for role in subject.plan.roles:
        if role.sts_endpoint.startswith("http://") and not role.sts_endpoint.startswith(
            ("http://127.", "http://localhost")
        ):
            yield (
                subject.locate_role(
                    role,
                    f"the role '{role}' is asked for at {role.sts_endpoint}, without TLS",
                    plain_http.remedy,
                    "sts_endpoint",
                ),
                "",
            )


@rule(
    "RR007", "unused-role", "info",
    "No step runs under a declared role.",
    "Its trust policy trusts the job without need.",
    "remove it, and remove the job from its trust policy",
)  # fmt: skip
def unused_role(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Checks the spec's own roles: an included file may serve other specs."""
    used = {role.name for role in subject.plan.roles}
    used |= {source.role.name for source in subject.plan.job.secret_sources}
    role_data = subject.spec.data.get("roles") or {}
    for name in role_data:
        role = subject.plan.job.roles.get(name)
        if role is not None and name not in used and role not in subject.plan.roles:
            yield (
                subject.spec.problem(
                    ("roles", name),
                    f"no step runs under the role '{name}'",
                    unused_role.remedy,
                    key=True,
                ),
                "",
            )


@rule(
    "RR008", "undecided-role", "info",
    "A role depends on a param that has no value.",
    "The role and the sessions of its steps were not checked.",
    "set the param with -p NAME=VALUE",
)  # fmt: skip
def undecided_role(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Checks the roles of the spec and of the files that it includes."""
    for document in subject.documents:
        for name in document.data.get("roles") or {}:
            if name not in subject.plan.job.roles:
                message = (
                    f"the role '{name}' depends on a param that has no value, so it was not checked"
                )
                yield (
                    document.problem(("roles", name), message, undecided_role.remedy, key=True),
                    "",
                )
