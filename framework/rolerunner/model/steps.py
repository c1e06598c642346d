"""A step, and the data that it reads and writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Optional, Union

from rolerunner.errors import Mark
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model.roles import DeclaredPermission, Role

NOWHERE = Mark("", 0, 0)


@dataclass(frozen=True)
class Retry:
    """The number of attempts, and the seconds between them.

    ``delay`` seconds before the second of ``attempts``, ``backoff`` times as long before each
    further one, at most ``max_delay``.
    """

    attempts: int = 1
    delay: float = 2.0
    backoff: float = 2.0
    max_delay: float = 60.0


@dataclass(frozen=True)
class RoleChoice:
    """A role that the items of a step choose by its alias."""

    alias: Any
    """A Template that gives the alias for an item."""
    options: Mapping[str, Role]
    """Alias -> role, for every alias that an item may give. No other role is used."""


GROUP = "group"
"""Stands for the action of a group of steps, which has none."""


@dataclass(frozen=True)
class Step:
    """A step of the spec. Templates in ``fields`` are resolved when the step starts.

    A group has ``steps``, and runs them once for each item of ``for_each``.
    """

    id: str
    """The id in the spec; ``group.id`` inside a group, ``group[item].id`` for one of its items."""
    action: str
    """The action's name; group for a group of steps."""
    fields: Mapping[str, Any]
    """The fields of the action, as the spec has them."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    """Role field of the action (``role``, ``source_role`` ...) -> role."""
    role_choices: Mapping[str, RoleChoice] = field(default_factory=dict)
    """Role field -> the role that each item chooses."""
    needs: tuple[str, ...] = ()
    """Ids of the steps it waits for: declared, read from, or else the last ones before it."""
    references: frozenset[str] = frozenset()
    """Ids of the steps whose outputs its fields read."""
    when: Any = "on_success"
    """on_success, on_failure, always, or a Template that gives a boolean."""
    for_each: Any = None
    """A list, or a Template that gives one: the step runs once for each ``item``. None: once."""
    max_parallel: int = 0
    """Items of ``for_each`` at once; 0: the job's max_parallel."""
    steps: tuple[Step, ...] = ()
    """The steps of a group, which run for each item; empty for a step with an action."""
    max_failures: Union[int, str] = 0
    """Number (or percentage, such as ``10%``) of a group's items that may fail."""
    retry: Retry = Retry()
    """The number of tries of the step, and the errors after which it is tried again."""
    timeout: Optional[float] = None
    """Seconds that all attempts together may take."""
    attempt_timeout: Optional[float] = None
    """Seconds that one attempt may take."""
    on_error: str = "fail"
    """fail, or continue: a failure is a warning, and the run goes on."""
    description: str = ""
    """The purpose of the step."""
    permissions: tuple[DeclaredPermission, ...] = ()
    """Permissions besides those derived from the fields."""
    secret_outputs: tuple[str, ...] = ()
    """Outputs declared as secret."""
    read_outputs: tuple[str, ...] = ()
    """Outputs that other steps read, of a step that runs for items and whose action does not say
    which outputs it has."""
    mark: Mark = NOWHERE
    """The place in the spec."""

    @property
    def role(self) -> Optional[Role]:
        """The step's first role; None if it has none, or if its items choose it."""
        return next(iter(self.roles.values()), None)

    @property
    def role_name(self) -> str:
        """The alias of its first role, or the aliases that its items may choose."""
        if self.roles or not self.role_choices:
            return str(self.role or "")
        return ", ".join(next(iter(self.role_choices.values())).options)

    @property
    def several_roles(self) -> dict[str, str]:
        """Role field -> alias, of a step with different roles; empty for a step with one."""
        names = {field: str(role) for field, role in sorted(self.roles.items())}
        return names if len(set(names.values())) > 1 else {}

    @property
    def all_roles(self) -> tuple[Role, ...]:
        """Every role that the step or a step of the group may use, repeated ones included."""
        chosen = (role for each in self.role_choices.values() for role in each.options.values())
        inner = (role for step in self.steps for role in step.all_roles)
        return (*self.roles.values(), *chosen, *inner)


@dataclass(frozen=True, order=True)
class Dataset:
    """Data that a step reads or writes, named as OpenLineage's naming of datasets says."""

    namespace: str
    """The store, such as ``s3://bucket``."""
    name: str
    """The data in it, such as a prefix without its last slash."""


@dataclass(frozen=True)
class StepDatasets:
    """The datasets that a step reads and writes, and the jobs of others that it starts."""

    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()
    jobs: tuple[Dataset, ...] = ()
    """Jobs, each by its namespace and name."""
