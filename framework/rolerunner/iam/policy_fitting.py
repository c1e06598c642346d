"""Session policies that fit into the quota of STS."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from rolerunner.iam.policy import DENY_ALL, MAX_SESSION_POLICY, Statement, build_policy, merge_uses
from rolerunner.iam.policy_text import compact_json
from rolerunner.model import Permission, Use

_NO_PERMISSIONS = (
    "permissions cannot be derived, so the session may do nothing; declare them under 'permissions'"
)
_OBJECTS = re.compile(r"(arn:[^:]+:s3:::[^/]+)/(.*)", re.DOTALL)


def fit_session_policy(uses: Iterable[Use]) -> tuple[str, tuple[str, ...]]:
    """Returns a session policy of at most 2,048 characters, and notes on what was widened.

    Permissions are widened no further than necessary: first prefixes to their bucket, one bucket
    after the other; then S3 actions to all buckets, resources to ``*``, and actions to their whole
    service. The role's own policy still applies.
    """
    permissions = tuple(uses)
    if not permissions:
        return compact_json(build_policy([DENY_ALL])), (_NO_PERMISSIONS,)
    buckets = _rank_buckets(permissions)
    count = _count_buckets_to_widen(permissions, buckets)
    permissions = _widen_buckets(permissions, buckets[:count])
    notes = [f"prefixes of {bucket} became the whole bucket" for bucket in buckets[:count]]
    text = _render_policy(permissions)
    for note, widen in _WIDENINGS:
        if len(text) <= MAX_SESSION_POLICY:
            break
        permissions = widen(permissions)
        text = _render_policy(permissions)
        notes.append(note)
    return text, tuple(notes)


def _count_buckets_to_widen(permissions: tuple[Use, ...], buckets: Sequence[str]) -> int:
    """Returns the number of buckets to widen, by bisection: each try merges all permissions."""
    low, high = 0, len(buckets)
    while low < high:
        middle = (low + high) // 2
        if len(_render_policy(_widen_buckets(permissions, buckets[:middle]))) <= MAX_SESSION_POLICY:
            high = middle
        else:
            low = middle + 1
    return low


def _widen_buckets(permissions: tuple[Use, ...], buckets: Sequence[str]) -> tuple[Use, ...]:
    whole = frozenset(buckets)
    return tuple(
        replace(use, permission=_widen_to_bucket(use.permission, whole)) for use in permissions
    )


def _render_policy(uses: Iterable[Use]) -> str:
    return compact_json(
        build_policy(_shorten_statement(each).as_json() for each in merge_uses(uses))
    )


def _shorten_statement(each: Statement) -> Statement:
    """Drops the values p beside p*, which allows p too."""
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


def _rank_buckets(uses: Iterable[Use]) -> list[str]:
    """Returns the buckets by the characters of their prefixes, the largest first."""
    sizes: dict[str, int] = {}
    for permission in dict.fromkeys(use.permission for use in uses):
        found = _OBJECTS.match(permission.resource)
        bucket = found[1] if found else permission.resource
        size = (
            len(found[2])
            if found
            else sum(len(value) for _, _, values in permission.condition for value in values)
        )
        if ":s3:::" in bucket and size > 1:
            sizes[bucket] = sizes.get(bucket, 0) + size
    return sorted(sizes, key=lambda bucket: (-sizes[bucket], bucket))


def _widen_to_bucket(permission: Permission, buckets: Collection[str]) -> Permission:
    found = _OBJECTS.match(permission.resource)
    if found and found[1] in buckets:
        return replace(permission, resource=f"{found[1]}/*")
    if permission.resource in buckets:
        return replace(
            permission,
            condition=tuple(each for each in permission.condition if each[1] != "s3:prefix"),
        )
    return permission


def _cross_s3_actions(uses: tuple[Use, ...]) -> tuple[Use, ...]:
    """Allows every S3 action of the permissions on every resource of them."""
    of_s3 = [use for use in uses if use.permission.action.startswith("s3:")]
    actions = dict.fromkeys(use.permission.action for use in of_s3)
    places = dict.fromkeys(use.permission.resource for use in of_s3)
    crossed = (Use(Permission(action, place), "") for action in actions for place in places)
    return (*crossed, *(use for use in uses if not use.permission.action.startswith("s3:")))


def _widen_resources(uses: tuple[Use, ...]) -> tuple[Use, ...]:
    return tuple(replace(use, permission=replace(use.permission, resource="*")) for use in uses)


def _widen_actions(uses: tuple[Use, ...]) -> tuple[Use, ...]:
    return tuple(
        replace(
            use,
            permission=Permission(
                f"{use.permission.action.partition(':')[0]}:*", "*", use.permission.condition
            ),
        )
        for use in uses
    )


_WIDENINGS = (
    ("each S3 action is allowed on every bucket of the role's steps", _cross_s3_actions),
    ("resources became *", _widen_resources),
    ("actions became those of the whole service", _widen_actions),
)
