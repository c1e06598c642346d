"""Roles as keys of their sessions: equal roles share one session."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from rolerunner.model import JOB, Role, RoleArn
from rolerunner.sessions.identity import parse_assumed_role

if TYPE_CHECKING:
    from rolerunner.sessions.caller import CallerIdentity


class RoleResolver:
    """Resolves a spec's role to the role whose session it uses.

    A plain role that is the job's own resolves to JOB: to assume it would cost a request and a
    permission.
    """

    def __init__(self, caller: CallerIdentity) -> None:
        self._caller = caller
        # per run and not per process: equal roles of another run may have another name
        self._normalized: dict[Role, Role] = {}

    def resolve(self, role: Role) -> Role:
        """Returns the role to use, and asks STS for the job's identity where that is needed."""
        role = self._normalize_role(role)
        if role.is_job or not role.is_plain:
            return role
        return JOB if _is_own_role(role, self._caller.find_arn()) else role

    def resolve_offline(self, role: Role) -> Role:
        """Returns the role to use as far as that is known without a request."""
        role = self._normalize_role(role)
        if role.is_job or not role.is_plain:
            return role
        return JOB if _is_own_role(role, self._caller.known_arn) else role

    def _normalize_role(self, role: Role) -> Role:
        if role not in self._normalized:
            self._normalized[role] = normalize_role(role)
        return self._normalized[role]


def _is_own_role(role: Role, caller_arn: str) -> bool:
    """Returns True if the caller is a session of the role.

    Names are unique in an account whatever their path, which an assumed-role ARN leaves out.
    """
    arn = RoleArn.parse(role.arn)
    is_same = parse_assumed_role(caller_arn) == (arn.account, arn.name)
    return is_same and role.account in {"", arn.account}


def normalize_role(role: Role) -> Role:
    """Returns the role with everything sorted that has no order in AWS."""
    return replace(
        role,
        via=normalize_role(role.via) if role.via is not None and not role.via.is_job else None,
        policy=_normalize_policy(role.policy),
        policy_arns=tuple(sorted(role.policy_arns)),
        tags=tuple(sorted(role.tags)),
        transitive_tag_keys=tuple(sorted(role.transitive_tag_keys)),
    )


def _normalize_policy(policy: str) -> str:
    if policy:
        with contextlib.suppress(ValueError):  # AWS reports what is wrong with it
            return json.dumps(json.loads(policy), sort_keys=True, separators=(",", ":"))
    return policy
