"""Rules on roles and their sessions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.audit.finding import RuleMatch, rule
from rolerunner.model import RoleArn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.audit.subject import AuditSubject
    from rolerunner.model import Role

_LEAST_SESSION = 900
"""Seconds; STS gives no shorter session (STS API reference, AssumeRole)."""
_BROAD = ("AdministratorAccess", "PowerUserAccess", "ReadOnlyAccess", "FullAccess")


@rule(
    "RR001", "no-external-id", "high",
    "A role in another account is assumed without an external id.",
    "Whoever can make the job assume a role of their choice may reach data through it that is not theirs: the confused deputy of the IAM user guide.",
    "say 'external_id', and ask for it in the role's trust policy; between accounts of your own it may be left out, with a comment that says so",
)  # fmt: skip
def no_external_id(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Certain where the account before the role is known, else where the roles themselves lie in several."""
    accounts = {RoleArn.parse(role.arn).account for role in subject.plan.roles if role.via is None}
    for role in subject.plan.roles:
        mine, before = RoleArn.parse(role.arn).account, subject.account_before(role)
        if role.external_id or mine == before:
            continue
        if before:
            message = f"the role '{role}' in account {mine} is assumed from account {before} without an external id"
            yield subject.at_role(role, message, no_external_id.remedy, "arn"), ""
        elif len(accounts) > 1:
            message = f"the role '{role}' has no external id, and the roles lie in {len(accounts)} accounts: at least one of them is not the job's"
            yield (
                subject.at_role(
                    role,
                    message,
                    "say 'external_id', or the job's role with --job-role ARN, so that it is certain",
                    "arn",
                ),
                "medium",
            )


@rule(
    "RR002", "long-session", "low",
    "A session lasts longer than its steps may take.",
    "Credentials that leak can be used until the session ends.",
    "say a shorter 'duration'; sessions are renewed where a step takes longer",
)  # fmt: skip
def long_session(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Only where every step of the role has a timeout."""
    for role in subject.plan.roles:
        timeouts = [planned.step.timeout for planned in subject.steps_of(role)]
        if not timeouts or any(not isinstance(each, (int, float)) for each in timeouts):
            continue
        known = [float(each) for each in timeouts if each is not None]
        deadline = subject.plan.job.deadline
        most = sum(known) if deadline is None else min(sum(known), deadline + max(known))
        if role.duration > max(most, _LEAST_SESSION):
            told = f"the role '{role}' has sessions of {role.duration // 60} minutes, and its steps may take {max(1, round(most / 60))} in all"
            yield (
                subject.at_role(
                    role,
                    told,
                    f"say 'duration: {max(15, -(-int(most) // 60))}m'",
                    "duration",
                    "arn",
                ),
                "",
            )


@rule(
    "RR003", "shared-session", "low",
    "Steps with different needs share a role whose session is not narrowed, or a function of yours has the whole role.",
    "A step may do all that the role may, and not only what it is for.",
    "say 'session_policy: auto', or auto-per-step where the steps' needs differ, or give the step a role of its own",
)  # fmt: skip
def shared_session(subject: AuditSubject) -> Iterator[RuleMatch]:
    """The first step of the role with the least need is no better off than the one with the greatest."""
    for role in subject.plan.roles:
        if role.policy or role.policy_arns:
            continue
        users = subject.steps_of(role)
        own_code = [
            planned.step.id for planned in users if subject.action_of(planned).calls_user_code
        ]
        needs = {_needs(planned.permissions, planned.step.roles, role) for planned in users}
        if own_code:
            told = f"the function of '{own_code[0]}' may do all that the role '{role}' may"
        elif len(needs) > 1:
            told = f"{len(users)} steps with different needs share the whole role '{role}': {', '.join(planned.step.id for planned in users[:5])}"
        else:
            continue
        yield subject.at_role(role, told, shared_session.remedy), ""


def _needs(permissions: Any, roles: Any, role: Role) -> frozenset[Any]:
    return frozenset(
        each for field, needed in permissions.items() if roles.get(field) == role for each in needed
    )


@rule(
    "RR004", "wildcard-policy", "medium",
    "An inline session policy allows everything, or on everything.",
    "It does not narrow the session, and reads as if it did.",
    "name the actions and the resources that the steps need: `rolerunner plan` lists them",
)  # fmt: skip
def wildcard_policy(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Allow statements with a star for an action or a resource, or with a negation."""
    for role in subject.plan.roles:
        for statement in _statements(role.policy):
            told = _too_wide(statement)
            if told:
                yield (
                    subject.at_role(
                        role,
                        f"the session policy of '{role}' allows {told}",
                        wildcard_policy.remedy,
                        "session_policy",
                    ),
                    "",
                )


def _statements(policy: str) -> list[dict[str, Any]]:
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


def _too_wide(statement: dict[str, Any]) -> Optional[str]:
    if "NotAction" in statement or "NotResource" in statement:
        return "all but what it names"
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
    "A managed policy that narrows a session allows nearly everything.",
    "It does not narrow the session, and reads as if it did.",
    "name a managed policy that allows what the steps need, or write a 'session_policy'",
)  # fmt: skip
def broad_policy_arns(subject: AuditSubject) -> Iterator[RuleMatch]:
    """By the names of AWS's own policies."""
    for role in subject.plan.roles:
        for arn in role.policy_arns:
            if ":iam::aws:" in arn and arn.endswith(_BROAD) and not role.policy:
                told = f"the sessions of '{role}' are narrowed to {arn.rpartition('/')[2]}, which allows nearly everything of its kind"
                yield subject.at_role(role, told, broad_policy_arns.remedy, "policy_arns"), ""


@rule(
    "RR006", "plain-http", "medium",
    "STS is asked over http.",
    "Session credentials cross the network in clear.",
    "write https://",
)  # fmt: skip
def plain_http(subject: AuditSubject) -> Iterator[RuleMatch]:
    """An endpoint on loopback is a test's."""
    for role in subject.plan.roles:
        if role.sts_endpoint.startswith("http://") and not role.sts_endpoint.startswith(
            ("http://127.", "http://localhost")
        ):
            yield (
                subject.at_role(
                    role,
                    f"the role '{role}' is asked for at {role.sts_endpoint}, without TLS",
                    plain_http.remedy,
                    "sts_endpoint",
                ),
                "",
            )


@rule(
    "RR007", "unused-role", "info",
    "A role is declared that no step runs under.",
    "Its trust policy lets the job in for nothing.",
    "take it out, and the job out of its trust policy",
)  # fmt: skip
def unused_role(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Of the spec's own roles; an included file may serve other specs."""
    used = {role.name for role in subject.plan.roles}
    said = subject.spec.data.get("roles") or {}
    for name in said:
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
    "A role hangs on a param that was not given.",
    "It was not looked at, nor were the sessions of its steps.",
    "give the param: -p NAME=VALUE",
)  # fmt: skip
def undecided_role(subject: AuditSubject) -> Iterator[RuleMatch]:
    """Roles of the spec and of what it includes that could not be made."""
    for document in subject.documents:
        for name in document.data.get("roles") or {}:
            if name not in subject.plan.job.roles:
                told = (
                    f"the role '{name}' hangs on a param that was not given: it was not looked at"
                )
                yield document.problem(("roles", name), told, undecided_role.remedy, key=True), ""
