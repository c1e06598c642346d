"""Compares the rules of a deployment with those that are there, and makes the changes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import StepError
from rolerunner.glue.deploy.merge import Change, diff_jobs
from rolerunner.glue.deploy.rules import Rule, describe_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rolerunner.glue.deploy.account import Account

_NOT_THERE = "ResourceNotFoundException"


@dataclass(frozen=True)
class RuleChanges:
    """The rules to put and to delete, with every changed field."""

    put: tuple[Rule, ...] = ()
    delete: tuple[Rule, ...] = ()
    changes: tuple[Change, ...] = ()


def plan_changes(account: Account, wanted: Iterable[Rule], last: Iterable[Rule]) -> RuleChanges:
    """Plans the changes with read requests only; sends none without rules. Raises StepError.

    ``last`` are the rules of the last deployment; those that are not wanted any more are deleted.
    """
    put, delete, changes = [], [], []
    names = set()
    for rule in wanted:
        names.add(rule.name)
        current = _fetch_rule(account, rule.name)
        found = _list_changes(rule.name, current, _flatten_rule(rule))
        if found:
            put.append(rule)
            changes += found
    for rule in last:
        current = None if rule.name in names else _fetch_rule(account, rule.name)
        if current is not None:
            delete.append(rule)
            changes += _list_changes(rule.name, current, None)
    return RuleChanges(tuple(put), tuple(delete), tuple(changes))


def put_rules(account: Account, rules: Iterable[Rule]) -> None:
    """Creates or replaces rules with their targets. Raises StepError."""
    for rule in rules:
        account.call(
            "events",
            "put_rule",
            Name=rule.name,
            Description=rule.description,
            EventPattern=describe_pattern(rule.pattern),
            State="ENABLED",
        )
        answer = account.call("events", "put_targets", Rule=rule.name, Targets=[dict(rule.target)])
        _check_entries(rule, answer)


def delete_rules(account: Account, rules: Iterable[Rule]) -> None:
    """Deletes rules with their targets; those that are gone are none of our business."""
    for rule in rules:
        found = _call_or_none(account, "list_targets_by_rule", Rule=rule.name)
        if found is None:
            continue
        ids = [target["Id"] for target in found["Targets"]]
        if ids:
            answer = account.call("events", "remove_targets", Rule=rule.name, Ids=ids)
            _check_entries(rule, answer)
        account.call("events", "delete_rule", Name=rule.name)


def _check_entries(rule: Rule, answer: dict[str, Any]) -> None:
    """Raises StepError for a target that EventBridge did not take: the call itself succeeds."""
    for failed in answer.get("FailedEntries", ()):
        raise StepError(
            f"the rule {rule.name} did not take its target {rule.target['Arn']}: "
            f"{failed.get('ErrorMessage') or failed.get('ErrorCode')}",
            type=str(failed.get("ErrorCode") or "ServiceFailed"),
        )


def _fetch_rule(account: Account, name: str) -> Optional[dict[str, Any]]:
    """Returns the rule as ``_flatten_rule`` does; None if there is none."""
    rule = _call_or_none(account, "describe_rule", Name=name)
    found = None if rule is None else _call_or_none(account, "list_targets_by_rule", Rule=name)
    if rule is None or found is None:
        return None
    try:
        pattern = json.loads(rule.get("EventPattern") or "{}")
    except ValueError:
        pattern = {}
    return {
        "State": rule.get("State", ""),
        "Description": rule.get("Description", ""),
        "EventPattern": describe_pattern(pattern),
        **{f"Targets.{each.pop('Id')}": each for each in map(dict, found["Targets"])},
    }


def _call_or_none(account: Account, operation: str, **parameters: Any) -> Optional[dict[str, Any]]:
    """Returns the answer of EventBridge; None if there is no such rule."""
    try:
        return account.call("events", operation, **parameters)
    except StepError as error:
        if error.type == _NOT_THERE:
            return None
        raise


def _flatten_rule(rule: Rule) -> dict[str, Any]:
    target = {key: value for key, value in rule.target.items() if key != "Id"}
    return {
        "State": "ENABLED",
        "Description": rule.description,
        "EventPattern": describe_pattern(rule.pattern),
        f"Targets.{rule.target['Id']}": target,
    }


def _list_changes(
    name: str, before: Optional[dict[str, Any]], after: Optional[dict[str, Any]]
) -> list[Change]:
    """Returns the change of what the rule tells whom; the changed fields if it is the same."""
    found = diff_jobs(before or {}, after or {})
    summary = Change(f"Rules.{name}", _summarize(before), _summarize(after))
    if found and summary.before != summary.after:
        return [summary]
    return [Change(f"Rules.{name}.{each.field}", each.before, each.after) for each in found]


def _summarize(rule: Optional[dict[str, Any]]) -> Optional[str]:
    """Returns ``FAILED, TIMEOUT to arn:...``; None for no rule."""
    if rule is None:
        return None
    detail = json.loads(rule["EventPattern"]).get("detail", {})
    arns = [value["Arn"] for key, value in rule.items() if key.startswith("Targets.")]
    return f"{', '.join(map(str, detail.get('state', ())))} to {', '.join(arns) or 'nobody'}"
