"""Statements of policies, merged from permissions in a stable order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from rolerunner.iam.actions_table import build_statement, render_condition
from rolerunner.iam.policy_patterns import PatternIndex, is_condition_implied
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Condition, Permission, Use

K = TypeVar("K")
VERSION = "2012-10-17"
MAX_SESSION_POLICY = 2048
"""Characters of an inline session policy without managed policies (STS API reference)."""
MAX_INLINE, MAX_TRUST = 10_240, 2_048
"""Characters without white space of a role's inline policies and trust policy (IAM quotas)."""
DENY_ALL = {"Effect": "Deny", "Action": "*", "Resource": "*"}
"""The statement of a session that may do nothing: a policy must have at least one."""


@dataclass(frozen=True, order=True)
class Statement:
    """An Allow statement, and the steps that need it."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: tuple[Condition, ...] = ()
    by: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Returns the statement as JSON values."""
        return build_statement(
            list(self.actions), list(self.resources), render_condition(self.condition)
        )


def build_policy(statements: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Returns a policy of these statements."""
    return {"Version": VERSION, "Statement": list(statements)}


def list_statements(policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns a policy's statements, which a single one may give without a list."""
    statements = policy.get("Statement", [])
    return [statements] if isinstance(statements, dict) else list(statements)


def merge_uses(uses: Iterable[Use]) -> tuple[Statement, ...]:
    """Returns the fewest statements that allow exactly these permissions, sorted.

    A permission that another one covers is left out.
    """
    needed = _group_entries((use.permission, (), (use.by,)) for use in uses)
    kept = _drop_covered(
        _join_listings({permission: tuple(by) for permission, (_, by) in needed.items()})
    )
    places = _group_entries(
        ((each.resource, each.condition), (each.action,), by) for each, by in kept.items()
    )
    alike = _group_entries(
        ((tuple(sorted(actions)), condition), (resource,), by)
        for (resource, condition), (actions, by) in places.items()
    )
    statements = (
        Statement(actions, tuple(sorted(resources)), condition, tuple(by))
        for (actions, condition), (resources, by) in alike.items()
    )
    return tuple(
        sorted(statements, key=lambda each: (each.resources, each.actions, each.condition))
    )


_Ordered = dict[str, None]
"""A set that keeps its order."""


def _group_entries(
    entries: Iterable[tuple[K, Iterable[str], Iterable[str]]],
) -> dict[K, tuple[_Ordered, _Ordered]]:
    """Groups entries by key: returns key -> the values of its entries, and who needs them."""
    found: dict[K, tuple[_Ordered, _Ordered]] = {}
    for key, values, by in entries:
        both = found.setdefault(key, ({}, {}))
        both[0].update(dict.fromkeys(values))
        both[1].update(dict.fromkeys(by))
    return found


def _join_names(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _join_listings(
    needed: dict[Permission, tuple[str, ...]],
) -> dict[Permission, tuple[str, ...]]:
    """Joins listings of several prefixes of a bucket into one permission."""
    lists = {
        each: by
        for each, by in needed.items()
        if [(operator, key) for operator, key, _ in each.condition] == [("StringLike", "s3:prefix")]
    }
    joined = _group_entries(
        ((each.action, each.resource), each.condition[0][2], by) for each, by in lists.items()
    )
    listings = {
        Permission(
            action, resource, (("StringLike", "s3:prefix", _drop_nested_prefixes(tuple(values))),)
        ): tuple(by)
        for (action, resource), (values, by) in joined.items()
    }
    return {**{each: by for each, by in needed.items() if each not in lists}, **listings}


def _drop_nested_prefixes(values: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the prefixes without pairs of p and p* below another prefix."""
    wide = PatternIndex((value, value) for value in values if value.endswith("*"))
    return tuple(
        sorted(
            value
            for value in values
            if not any(other not in (value, f"{value}*") for other in wide.iter_covering(value))
        )
    )


def _drop_covered(
    needed: dict[Permission, tuple[str, ...]],
) -> dict[Permission, tuple[str, ...]]:
    kept = dict(needed)
    by_action: dict[str, list[Permission]] = {}
    for permission in needed:
        by_action.setdefault(permission.action, []).append(permission)
    for alike in by_action.values():
        patterns = PatternIndex((each.resource, each) for each in alike)
        for permission in alike:
            others = (
                other
                for other in patterns.iter_covering(permission.resource)
                if other != permission and other in kept
            )
            over = next(
                (
                    other
                    for other in others
                    if all(
                        is_condition_implied(each, permission.condition) for each in other.condition
                    )
                ),
                None,
            )
            if over is not None:
                kept[over] = _join_names(kept[over], kept.pop(permission))
    return kept
