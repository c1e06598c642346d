"""Rules of EventBridge that tell the targets of a spec of ends that no job can tell of.

Glue ends a run that takes too long or too much memory, and one that does not start, without a word
from the job. It puts an event on the account's default bus for each end, which a rule passes on.
Sources: AWS Glue developer guide, "Automating with EventBridge"; EventBridge user guide.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.glue.launch.notified import NOTIFIED_MESSAGES
from rolerunner.iam.policy_text import compact_json
from rolerunner.model import RoleArn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.model import GlueSettings, Job, Notification

STATES: Mapping[str, tuple[str, ...]] = {"failed": ("FAILED", "TIMEOUT"), "stopped": ("STOPPED",)}
"""The end of a run in ``on`` -> the states of a Glue job run that are that end."""
NAME_PREFIX = "rolerunner-"
_MAX_NAME = 64
"""Maximum characters of a rule's name (EventBridge API reference)."""
_REGION, _ACCOUNT, _PARTITION = 3, 4, 1
_ACTIONS = {"sns": "sns:Publish", "sqs": "sqs:SendMessage", "event": "events:PutEvents"}
_TEXT = (
    '"The Glue job <job> ended as <state>, which the job itself could not tell.\\n\\n'
    'Reason: <message>\\nGlue job run: <job> <run>\\n"'
)
_VALUES = {
    "job": "$.detail.jobName",
    "run": "$.detail.jobRunId",
    "state": "$.detail.state",
    "message": "$.detail.message",
}


@dataclass(frozen=True)
class Rule:
    """A rule on the default event bus, with its only target; as_json is AWS's own form."""

    name: str
    description: str
    pattern: Mapping[str, Any]
    target: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Returns the rule as a deployment's record keeps it."""
        return {
            "Name": self.name,
            "Description": self.description,
            "EventPattern": self.pattern,
            "Target": self.target,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Rule:
        """Returns the rule of a record. Raises KeyError."""
        return cls(fields["Name"], fields["Description"], fields["EventPattern"], fields["Target"])

    @property
    def lacks_role(self) -> bool:
        """True if the target is an event bus, for which EventBridge needs a role."""
        return ":event-bus/" in self.target["Arn"] and "RoleArn" not in self.target


@dataclass(frozen=True)
class RulePlan:
    """The rules of a job, and what has to be known or done besides."""

    rules: tuple[Rule, ...] = ()
    notes: tuple[str, ...] = ()

    def drop_incomplete(self) -> RulePlan:
        """Returns the plan without rules that lack a role, each with a note."""
        kept = tuple(rule for rule in self.rules if not rule.lacks_role)
        notes = tuple(
            f"{rule.target['Arn']}: Glue's own ends are not told: EventBridge needs a role to put "
            "events there; set 'rule_role'"
            for rule in self.rules
            if rule.lacks_role
        )
        return RulePlan(kept, (*self.notes, *notes))


def plan_rules(
    job: Job, settings: GlueSettings, job_name: str, region: str, account: str = ""
) -> RulePlan:
    """Returns the rules for a job's targets; those without one have a note.

    ``account`` is that of the Glue job, by default that of its role; empty if it is not known.
    """
    role = RoleArn.parse(settings.role) if settings.role.startswith("arn:") else None
    partition = role.partition if role is not None else "aws"
    account = account or (role.account if role is not None else "")
    wanted: dict[tuple[str, str, str], list[str]] = {}
    first: dict[tuple[str, str, str], Notification] = {}
    notes: dict[str, None] = {}
    for told in job.notify:
        states = [state for end in told.on for state in STATES.get(end, ())]
        if not states:
            continue
        obstacle = _find_obstacle(told, region, account)
        if obstacle:
            notes[f"{told.label}: {obstacle}"] = None
            continue
        arn = _find_arn(told, region, account, partition)
        key = (told.kind, arn, told.rule_role)
        wanted.setdefault(key, []).extend(states)
        first.setdefault(key, told)
    rules = tuple(
        _build_rule(job_name, key, tuple(dict.fromkeys(states))) for key, states in wanted.items()
    )
    grants = (_describe_grant(first[key], key[1], region, account) for key in wanted)
    return RulePlan(rules, (*notes, *(each for each in grants if each)))


def _find_obstacle(told: Notification, region: str, account: str) -> str:
    """Returns why no rule can tell a target; empty if one can."""
    if told.kind == "webhook":
        return (
            "ends that no job can tell of, such as Glue's timeout, are not posted: EventBridge "
            "would have to keep the URL; add a topic, a queue or an event bus"
        )
    if told.kind == "event" and told.target == "default":
        return (
            "Glue itself puts its events there: match source aws.glue and detail-type "
            "'Glue Job State Change' for ends that no job can tell of"
        )
    parts = str(told.target).split(":")
    if told.kind == "sns" and parts[-1].endswith(".fifo"):
        return "Glue's own ends are not told: EventBridge sends to no FIFO topic"
    if told.kind in ("sns", "sqs") and region not in ("*", parts[_REGION]):
        return (
            f"Glue's own ends are not told: a rule in {region} reaches no target in "
            f"{parts[_REGION]}"
        )
    is_other = len(parts) > _ACCOUNT and account and parts[_ACCOUNT] != account
    if is_other and not told.rule_role:
        return (
            f"Glue's own ends are not told: a rule in {account} needs 'rule_role' for a target in "
            f"{parts[_ACCOUNT]}"
        )
    return ""


def _find_arn(told: Notification, region: str, account: str, partition: str) -> str:
    target = str(told.target)
    if told.kind != "event" or target.startswith("arn:"):
        return target
    return f"arn:{partition}:events:{region}:{account or '*'}:event-bus/{target}"


def _build_rule(job_name: str, key: tuple[str, str, str], states: tuple[str, ...]) -> Rule:
    kind, arn, role = key
    target: dict[str, Any] = {"Id": "target", "Arn": arn}
    if role:
        target["RoleArn"] = role
    if kind == "sns":
        target["InputTransformer"] = {"InputPathsMap": _VALUES, "InputTemplate": _TEXT}
    if arn.endswith(".fifo") and kind == "sqs":
        target["SqsParameters"] = {"MessageGroupId": re.sub(r"[^A-Za-z0-9_-]", "-", job_name)[:128]}
    detail = {
        "jobName": [job_name],
        "state": list(states),
        # the job itself told of these
        "message": [{"anything-but": {"wildcard": list(NOTIFIED_MESSAGES)}}, {"exists": False}],
    }
    pattern = {
        "source": ["aws.glue"],
        "detail-type": ["Glue Job State Change"],
        "detail": detail,
    }
    description = f"Ends of the Glue job {job_name} that it cannot tell of itself; by rolerunner"
    return Rule(_name_rule(job_name, arn), description[:512], pattern, target)


def _name_rule(job_name: str, arn: str) -> str:
    """Returns a name that no other job or target of the account has."""
    digest = hashlib.sha256(f"{job_name}\n{arn}".encode()).hexdigest()[:8]
    plain = re.sub(r"[^A-Za-z0-9_.-]", "-", job_name)
    return f"{NAME_PREFIX}{plain[: _MAX_NAME - len(NAME_PREFIX) - 9]}-{digest}"


def _describe_grant(told: Notification, arn: str, region: str, account: str) -> str:
    """Returns who has to grant what, for a target whose owner lets EventBridge in."""
    if told.kind == "event":
        return ""
    partition = arn.split(":")[_PARTITION]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": _ACTIONS[told.kind],
        "Resource": arn,
        "Condition": {
            "ArnLike": {
                "aws:SourceArn": (
                    f"arn:{partition}:events:{region}:{account or '*'}:rule/{NAME_PREFIX}*"
                )
            }
        },
    }
    kind = "topic" if told.kind == "sns" else "queue"
    key = (
        f"; the policy of {told.key} must allow events.amazonaws.com kms:GenerateDataKey and "
        "kms:Decrypt"
        if told.key
        else ""
    )
    return f"the policy of the {kind} must have {compact_json(statement)}{key}"


def list_deployer_statements(
    plan: RulePlan, partition: str, region: str, account: str
) -> Iterator[tuple[list[str], list[str], Optional[dict[str, Any]]]]:
    """Yields the actions, resources and condition of what deploying the rules needs."""
    if not plan.rules:
        return
    yield (
        [
            "events:DescribeRule",
            "events:ListTargetsByRule",
            "events:PutRule",
            "events:PutTargets",
            "events:RemoveTargets",
            "events:DeleteRule",
        ],
        [f"arn:{partition}:events:{region or '*'}:{account}:rule/{NAME_PREFIX}*"],
        None,
    )
    roles = sorted({rule.target["RoleArn"] for rule in plan.rules if "RoleArn" in rule.target})
    if roles:
        condition = {"StringEquals": {"iam:PassedToService": "events.amazonaws.com"}}
        yield ["iam:PassRole"], roles, condition


def describe_pattern(pattern: Mapping[str, Any]) -> str:
    """Returns an event pattern as AWS takes it."""
    return json.dumps(pattern, separators=(",", ":"), ensure_ascii=False)
