"""Makes up the topics, queues and event buses that a spec notifies, for a world derived from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rolerunner.model import RoleArn
from rolerunner.sandbox.message_targets import SandboxBus, SandboxQueue, SandboxTopic
from rolerunner.sandbox.world import DEFAULT_REGION

if TYPE_CHECKING:
    from rolerunner.model import Notification, Plan
    from rolerunner.policies.least_privilege import RolePolicies

_ACCOUNT_PART = 4


@dataclass
class MadeUpTargets:
    """Topics, queues and event buses, with notes on them."""

    topics: list[SandboxTopic] = field(default_factory=list)
    queues: list[SandboxQueue] = field(default_factory=list)
    event_buses: list[SandboxBus] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make_up_targets(plan: Plan, job_role: str, roles: Iterable[RolePolicies]) -> MadeUpTargets:
    """Returns the targets of the plan's notifications; other accounts' roles are let in."""
    policies = list(roles)
    found = MadeUpTargets()
    told = {_find_arn(each.notification, job_role): each.notification for each in plan.notify}
    for arn, notification in told.items():
        if notification.kind == "sns":
            found.topics.append(SandboxTopic(arn=arn, policy=_let_in(arn, policies)))
        elif notification.kind == "sqs":
            found.queues.append(SandboxQueue(arn=arn, policy=_let_in(arn, policies)))
        elif notification.kind == "event" and not arn.endswith("/default"):
            found.event_buses.append(SandboxBus(arn=arn))
        if arn.endswith("event-bus/default"):
            continue
        if arn:
            found.notes.append(f"{arn} is made up, and takes what the spec's roles send")
        else:
            found.notes.append(f"{notification.label}: posts go to this machine only")
    return found


def _find_arn(notification: Notification, job_role: str) -> str:
    """Returns the ARN of a target; empty for a webhook."""
    target, role = str(notification.target), notification.role
    if notification.kind == "webhook":
        return ""
    if target.startswith("arn:"):
        return target
    account = RoleArn.parse((role.arn if role is not None else "") or job_role).account
    region = (role.region if role is not None else "") or DEFAULT_REGION
    return f"arn:aws:events:{region}:{account}:event-bus/{target}"


def _let_in(arn: str, roles: Iterable[RolePolicies]) -> list[dict[str, Any]]:
    """Returns the statements of a resource policy for roles of other accounts."""
    owner = arn.split(":")[_ACCOUNT_PART]
    return [
        {
            **statement.as_json(),
            "Principal": {"AWS": f"arn:aws:iam::{role.account}:root"},
            "Resource": arn,
        }
        for role in roles
        if role.account != owner
        for statement in role.permissions
        if arn in statement.resources
    ]
