"""A job whose permissions are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from rolerunner.lazy_dataclass import dataclass
from rolerunner.model.job import Job, SecretSource
from rolerunner.model.roles import Permission, Role
from rolerunner.model.settings import Notification
from rolerunner.model.steps import Step, StepDatasets


@dataclass(frozen=True)
class PlannedStep:
    """A step in its order, with what is known of it before the run.

    A step whose items choose their roles is planned once for each role.
    """

    step: Step
    """The step."""
    fields: Mapping[str, Any]
    """The fields; values that are not known yet stand as ``${{ ... }}``."""
    permissions: Mapping[str, tuple[Permission, ...]] = field(default_factory=dict)
    """Role field -> permissions."""
    notes: tuple[str, ...] = ()
    """Values unknown before the run, so that permissions are too wide or incomplete."""
    items: tuple[str, ...] = ()
    """Labels of the items that this holds for, where items choose their roles; empty: all."""
    datasets: tuple[StepDatasets, ...] = ()
    """Data outside of S3 and the Data Catalog, of each item: no permission names it."""


@dataclass(frozen=True)
class PlannedSecret:
    """A secret param that a run fetches, with the permissions for it."""

    source: SecretSource
    permissions: tuple[Permission, ...]


@dataclass(frozen=True)
class PlannedNotification:
    """A notification, and the permissions that its role needs."""

    notification: Notification
    permissions: tuple[Permission, ...] = ()


@dataclass(frozen=True)
class Use:
    """A permission and what needs it.

    That is a step's id, ``state``, ``notify``, ``param NAME`` or ``role ALIAS``.
    """

    permission: Permission
    by: str


@dataclass(frozen=True)
class Plan:
    """A job, ready to run. Printing it is the dry run."""

    job: Job
    """The job."""
    steps: tuple[PlannedStep, ...]
    """The steps with an action, in their order, each with its fields, permissions and notes."""
    roles: tuple[Role, ...]
    """Every distinct role to assume; source roles come before the roles reached through them."""
    state: tuple[Permission, ...] = ()
    """Permissions of the state's role."""
    uses: Mapping[Role, tuple[Use, ...]] = field(default_factory=dict)
    """Role -> all its permissions: of steps, secrets, the state, and to assume chained roles."""
    narrowed: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    """Role with a generated session policy -> how that policy was widened to fit."""
    secrets: tuple[PlannedSecret, ...] = ()
    """The secret params that the run fetches before its first step."""
    notify: tuple[PlannedNotification, ...] = ()
    """The notifications of the job, with their permissions."""
    optional_roles: frozenset[Role] = frozenset()
    """Roles that only notifications need. The run goes on if they are refused."""
