"""Roles and what they may do."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Optional

from rolerunner.lazy_dataclass import dataclass


@dataclass(frozen=True)
class Role:
    """All settings of a role session. Equal roles share one session."""

    arn: str
    """The role's ARN; empty for the job's own role."""
    name: str = field(default="", compare=False)
    """The alias in the spec, which is not compared."""
    via: Optional[Role] = None
    """The role under which this one is assumed; None: the job's own."""
    session_name: str = ""
    """The session's name; empty: made of the job's name and the run's id."""
    external_id: str = ""
    """The external ID that the trust policy requires."""
    duration: int = 3600
    """Seconds until the session ends and is renewed."""
    policy: str = ""
    """The session policy as JSON."""
    policy_arns: tuple[str, ...] = ()
    """ARNs of managed session policies."""
    tags: tuple[tuple[str, str], ...] = ()
    """Session tags: keys and values."""
    transitive_tag_keys: tuple[str, ...] = ()
    """Keys of the tags that chained sessions keep."""
    source_identity: str = ""
    """The source identity, as CloudTrail shows it."""
    region: str = ""
    """The region in which STS is called; empty: the job's."""
    sts_endpoint: str = ""
    """The URL of STS; empty: that of the region."""
    account: str = ""
    """The account that the role must belong to; empty: any."""
    step: str = ""
    """The only step with this session; empty if all steps of the role share one."""

    @property
    def is_job(self) -> bool:
        """True for the job's own role, which is used without AssumeRole."""
        return not self.arn

    @property
    def is_plain(self) -> bool:
        """True if the job's own session would do: nothing beyond the role itself is set."""
        return not (
            self.via or self.policy or self.policy_arns or self.tags or self.source_identity
        )

    def __str__(self) -> str:
        return self.name or self.arn or "job"


JOB = Role(arn="", name="job")
"""The role that the job itself runs as."""
AUTO, PER_STEP = "auto", "auto-per-step"
"""A role's ``policy`` in the spec if the plan generates it: one for all steps, or one for each."""
Condition = tuple[str, str, tuple[str, ...]]
"""Operator, key and values of a policy's Condition."""


@dataclass(frozen=True)
class Permission:
    """An IAM permission that a step needs: an action on a resource, under conditions."""

    action: str
    """The IAM action, such as s3:GetObject."""
    resource: str
    """The ARN, in which * matches any text."""
    condition: tuple[Condition, ...] = ()
    """Operators, keys and values of the condition."""
    reason: str = field(default="", compare=False)
    """Why it is needed; empty if the action says it."""


@dataclass(frozen=True)
class DeclaredPermission:
    """Permissions that a step declares: actions on resources, under conditions.

    ``role_field`` names the role that needs them; empty: every role of the step.
    """

    actions: tuple[str, ...]
    resources: tuple[Any, ...]
    """ARNs; they may be templates."""
    condition: tuple[Condition, ...] = ()
    role_field: str = ""
