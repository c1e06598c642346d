"""Permissions -> statements of policies, merged and in a stable order; patterns held against one another; session policies that fit."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Generic, Optional, TypeVar

from rolerunner.iam.actions_table import build_statement, render_condition
from rolerunner.model import Condition, Permission, Use

K = TypeVar("K")
T = TypeVar("T")
VERSION = "2012-10-17"
MAX_SESSION_POLICY = 2048
"""Characters of an inline session policy, managed ones beside it not counted (STS API reference)."""
MAX_INLINE, MAX_TRUST = 10_240, 2_048
"""Characters, white space not counted, of all inline policies of a role and of its trust policy (IAM user guide, quotas)."""
DENY_ALL = {"Effect": "Deny", "Action": "*", "Resource": "*"}
"""A policy must have a statement: this one lets a session do nothing at all."""
_OBJECTS = re.compile(r"(arn:[^:]+:s3:::[^/]+)/(.*)", re.DOTALL)


@dataclass(frozen=True, order=True)
class Statement:
    """An Allow statement, and who needs it."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: tuple[Condition, ...] = ()
    by: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As IAM reads it."""
        return build_statement(
            list(self.actions), list(self.resources), render_condition(self.condition)
        )


def build_policy(statements: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A policy of these statements."""
    return {"Version": VERSION, "Statement": list(statements)}


def list_statements(policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A policy's statements; one alone may stand without a list."""
    said = policy.get("Statement", [])
    return [said] if isinstance(said, dict) else list(said)


def merge_uses(uses: Iterable[Use]) -> tuple[Statement, ...]:
    """The fewest statements that allow just these permissions, sorted. What another covers is left out."""
    needed = _gathered((use.permission, (), (use.by,)) for use in uses)
    kept = _without_covered(
        _listings_joined({permission: tuple(by) for permission, (_, by) in needed.items()})
    )
    places = _gathered(
        ((each.resource, each.condition), (each.action,), by) for each, by in kept.items()
    )
    alike = _gathered(
        ((tuple(sorted(actions)), condition), (resource,), by)
        for (resource, condition), (actions, by) in places.items()
    )
    made = (
        Statement(actions, tuple(sorted(resources)), condition, tuple(by))
        for (actions, condition), (resources, by) in alike.items()
    )
    return tuple(sorted(made, key=lambda each: (each.resources, each.actions, each.condition)))


_Ordered = dict[str, None]
"""A set that keeps its order."""


def _gathered(
    entries: Iterable[tuple[K, Iterable[str], Iterable[str]]],
) -> dict[K, tuple[_Ordered, _Ordered]]:
    """Key -> what stands beside it in its entries, and who needs it."""
    found: dict[K, tuple[_Ordered, _Ordered]] = {}
    for key, values, by in entries:
        both = found.setdefault(key, ({}, {}))
        both[0].update(dict.fromkeys(values))
        both[1].update(dict.fromkeys(by))
    return found


def _joined(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _listings_joined(
    needed: dict[Permission, tuple[str, ...]],
) -> dict[Permission, tuple[str, ...]]:
    """Listings of several prefixes of a bucket are one permission with all of them."""
    lists = {
        each: by
        for each, by in needed.items()
        if [(operator, key) for operator, key, _ in each.condition] == [("StringLike", "s3:prefix")]
    }
    joined = _gathered(
        ((each.action, each.resource), each.condition[0][2], by) for each, by in lists.items()
    )
    made = {
        Permission(
            action, resource, (("StringLike", "s3:prefix", _fewest_prefixes(tuple(values))),)
        ): tuple(by)
        for (action, resource), (values, by) in joined.items()
    }
    return {**{each: by for each, by in needed.items() if each not in lists}, **made}


def _fewest_prefixes(values: tuple[str, ...]) -> tuple[str, ...]:
    """Without pairs of p and p* that stand below another prefix."""
    wide = _ByBeginning((value, value) for value in values if value.endswith("*"))
    return tuple(
        sorted(
            value
            for value in values
            if not any(other not in (value, f"{value}*") for other in wide.covering(value))
        )
    )


def _without_covered(
    needed: dict[Permission, tuple[str, ...]],
) -> dict[Permission, tuple[str, ...]]:
    kept = dict(needed)
    by_action: dict[str, list[Permission]] = {}
    for permission in needed:
        by_action.setdefault(permission.action, []).append(permission)
    for alike in by_action.values():
        patterns = _ByBeginning((each.resource, each) for each in alike)
        for permission in alike:
            others = (
                other
                for other in patterns.covering(permission.resource)
                if other != permission and other in kept
            )
            over = next(
                (
                    other
                    for other in others
                    if all(_implied(each, permission.condition) for each in other.condition)
                ),
                None,
            )
            if over is not None:
                kept[over] = _joined(kept[over], kept.pop(permission))
    return kept


class _ByBeginning(Generic[T]):
    """Patterns by what they begin with before their first wildcard: thousands are not held against one another each."""

    def __init__(self, patterns: Iterable[tuple[str, T]]) -> None:
        self._found: dict[str, list[tuple[str, T]]] = {}
        for pattern, value in patterns:
            self._found.setdefault(re.split(r"[*?]", pattern, maxsplit=1)[0], []).append(
                (pattern, value)
            )

    def covering(self, text: str) -> Iterator[T]:
        """What the patterns stand for that cover a text."""
        for length in range(len(text) + 1):
            for pattern, value in self._found.get(text[:length], ()):
                if is_covering(pattern, text):
                    yield value


def _implied(wanted: Condition, given: Sequence[Condition]) -> bool:
    """Does whatever meets ``given`` meet ``wanted`` too?"""
    operator, key, values = wanted
    for other_operator, other_key, others in given:
        likes = {operator, other_operator} <= {"StringLike", "StringEquals"}
        if other_key == key and (other_operator == operator or likes):
            return all(
                any(
                    value == other or ("Like" in operator and is_covering(value, other))
                    for value in values
                )
                for other in others
            )
    return False


@lru_cache(maxsize=4096)
def _pattern(text: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "[^*]"}  # the * of what is held against it is more than one character
    return re.compile("".join(parts.get(each, re.escape(each)) for each in text) + r"\Z", re.DOTALL)


def is_covering(pattern: str, text: str) -> bool:
    """Does the pattern match all that ``text``, itself perhaps a pattern, matches?"""
    return pattern == text or (
        ("*" in pattern or "?" in pattern) and bool(_pattern(pattern).match(text))
    )


WIDTH = 140
"""Characters of a line that a policy is printed in, where it can be broken."""


def format_json(value: Any, indent: int = 0) -> str:
    """JSON for people: what fits into a line is in one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= WIDTH or not isinstance(value, (dict, list)):
        return line
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(key, ensure_ascii=False)}: {format_json(each, indent + 2)}"
            for key, each in value.items()
        ]
    else:
        parts = [format_json(each, indent + 2) for each in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(parts) + f"\n{' ' * indent}{closing}"


# session policies


def compact_json(policy: dict[str, Any]) -> str:
    """A policy in as few characters as may be."""
    return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)


def fit_session_policy(uses: Iterable[Use]) -> tuple[str, tuple[str, ...]]:
    """A session policy that allows these permissions within 2,048 characters, and what had to be widened for that.

    Widened only as far as it must be: first the prefixes of one bucket after the other to the bucket, then all S3 actions to
    all its buckets, then resources to ``*``, then the actions of each service to all of it. The role's own policy still holds.
    """
    permissions = tuple(uses)
    if not permissions:
        return compact_json(build_policy([DENY_ALL])), (
            "no step says what it needs, so the session may do nothing: say 'permissions' on the step",
        )
    buckets = _buckets(permissions)
    count = _fewest(permissions, buckets)
    permissions = _with_whole(permissions, buckets[:count])
    notes = [f"prefixes of {bucket} became the whole bucket" for bucket in buckets[:count]]
    text = _text(permissions)
    for note, widen in _STEPS:
        if len(text) <= MAX_SESSION_POLICY:
            break
        permissions = widen(permissions)
        text = _text(permissions)
        notes.append(note)
    return text, tuple(notes)


def _fewest(permissions: tuple[Use, ...], buckets: Sequence[str]) -> int:
    """Of how many buckets the prefixes must become the whole: found by halves, since each look merges all permissions."""
    low, high = 0, len(buckets)
    while low < high:
        middle = (low + high) // 2
        if len(_text(_with_whole(permissions, buckets[:middle]))) <= MAX_SESSION_POLICY:
            high = middle
        else:
            low = middle + 1
    return low


def _with_whole(permissions: tuple[Use, ...], buckets: Sequence[str]) -> tuple[Use, ...]:
    whole = frozenset(buckets)
    return tuple(replace(use, permission=_on_bucket(use.permission, whole)) for use in permissions)


def _text(uses: Iterable[Use]) -> str:
    return compact_json(build_policy(_shorter(each).as_json() for each in merge_uses(uses)))


def _shorter(each: Statement) -> Statement:
    """The same with fewer characters: p* allows p too."""
    condition = tuple(
        (
            operator,
            key,
            tuple(value for value in values if f"{value}*" not in values)
            if operator == "StringLike"
            else values,
        )
        for operator, key, values in each.condition
    )
    return replace(each, condition=condition)


def _buckets(uses: Iterable[Use]) -> list[str]:
    """Buckets by the room that their prefixes take, the largest first."""
    room: dict[str, int] = {}
    for permission in dict.fromkeys(use.permission for use in uses):
        found = _OBJECTS.match(permission.resource)
        bucket = found[1] if found else permission.resource
        size = (
            len(found[2])
            if found
            else sum(len(value) for _, _, values in permission.condition for value in values)
        )
        if ":s3:::" in bucket and size > 1:
            room[bucket] = room.get(bucket, 0) + size
    return sorted(room, key=lambda bucket: (-room[bucket], bucket))


def _on_bucket(permission: Permission, buckets: Collection[str]) -> Permission:
    found = _OBJECTS.match(permission.resource)
    if found and found[1] in buckets:
        return replace(permission, resource=f"{found[1]}/*")
    if permission.resource in buckets:
        return replace(
            permission,
            condition=tuple(each for each in permission.condition if each[1] != "s3:prefix"),
        )
    return permission


def _crossed(uses: tuple[Use, ...]) -> tuple[Use, ...]:
    """Every S3 action on every place that S3 actions are allowed on."""
    of_s3 = [use for use in uses if use.permission.action.startswith("s3:")]
    actions = dict.fromkeys(use.permission.action for use in of_s3)
    places = dict.fromkeys(use.permission.resource for use in of_s3)
    crossed = (Use(Permission(action, place), "") for action in actions for place in places)
    return (*crossed, *(use for use in uses if not use.permission.action.startswith("s3:")))


def _everywhere(uses: tuple[Use, ...]) -> tuple[Use, ...]:
    return tuple(replace(use, permission=replace(use.permission, resource="*")) for use in uses)


def _whole_services(uses: tuple[Use, ...]) -> tuple[Use, ...]:
    return tuple(
        replace(
            use,
            permission=Permission(
                f"{use.permission.action.partition(':')[0]}:*", "*", use.permission.condition
            ),
        )
        for use in uses
    )


_STEPS = (
    ("each S3 action is allowed on every bucket of the role's steps", _crossed),
    ("resources became *", _everywhere),
    ("actions became those of the whole service", _whole_services),
)


def match_statement(have: dict[str, Any], permission: Permission) -> Optional[tuple[str, ...]]:
    """What a statement says to a permission: None: nothing; else under which conditions that the permission does not show.

    For an Allow, nothing but these conditions stands between; a Deny holds where it is not None, for certain where it is empty.
    """
    if not (
        _names(have, "Action", permission.action.lower(), lower=True)
        and _names(have, "Resource", permission.resource)
    ):
        return None
    open_ones = []
    for operator, conditions in (have.get("Condition") or {}).items():
        for key, values in conditions.items():
            wanted: Condition = (
                operator,
                key,
                tuple(map(str, values if isinstance(values, list) else [values])),
            )
            if not _implied(wanted, permission.condition):
                open_ones.append(f"{operator} {key}: {', '.join(wanted[2])}")
    return tuple(open_ones)


def _names(have: dict[str, Any], word: str, text: str, *, lower: bool = False) -> bool:
    said = have.get(word, have.get(f"Not{word}", []))
    patterns = [said] if isinstance(said, str) else said
    found = any(is_covering(each.lower() if lower else each, text) for each in patterns)
    return found if word in have else not found
