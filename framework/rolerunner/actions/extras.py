"""Finds the extras of rolerunner that the features of a spec need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.actions import registry
from rolerunner.errors import UsageError
from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rolerunner.actions.base import Action
    from rolerunner.model import Job, Step


@dataclass(frozen=True)
class RequiredExtra:
    """An extra of rolerunner, and the first feature of the spec that needs it."""

    name: str
    feature: str
    """The user of the extra, such as ``telemetry.metrics`` or ``step 'pack'``."""


def find_required_extras(job: Job) -> tuple[RequiredExtra, ...]:
    """Returns the extras that a job needs, each once; a bundle contains their packages."""
    found: dict[str, RequiredExtra] = {}
    for extra in _iter_extras(job):
        found.setdefault(extra.name, extra)
    return tuple(found.values())


def find_missing_extras(
    job: Job,
    actions: Mapping[str, type[Action]],
    is_selected: Callable[[str], bool] = lambda _: True,
) -> tuple[RequiredExtra, ...]:
    """Returns the extras that selected steps certainly need and that this machine does not have.

    A step with a condition may not run, so it is not among them.
    """
    needed: dict[str, RequiredExtra] = {}
    for step in _iter_certain_steps(job):
        for name in actions[step.action].list_certain_extras(step.fields):
            if is_selected(step.id):
                needed.setdefault(name, RequiredExtra(name, f"step '{step.id}'"))
    if not needed:
        return ()
    from rolerunner.common.extras import is_installed  # noqa: PLC0415 - most jobs need no extra

    return tuple(each for each in needed.values() if not is_installed(each.name))


def _iter_certain_steps(job: Job) -> Iterator[Step]:
    """Yields the steps with an action that no condition leaves out of a run that succeeds."""
    for outer in job.steps:
        for step in outer.steps or (outer,):
            if all(each.when in ("on_success", "always") for each in (outer, step)):
                yield step


def check_extras(
    job: Job,
    actions: Mapping[str, type[Action]],
    is_selected: Callable[[str], bool] = lambda _: True,
) -> None:
    """Raises UsageError if this machine does not have an extra that the job certainly needs."""
    for missing in find_missing_extras(job, actions, is_selected):
        raise UsageError(describe_missing(missing))


def describe_missing(extra: RequiredExtra) -> str:
    """Returns what is missing and how to install it."""
    from rolerunner.common.extras import list_packages  # noqa: PLC0415 - most jobs need no extra

    packages = " and ".join(list_packages(extra.name)) or "packages"
    return (
        f"{extra.feature} needs {packages}, which is not installed here; install with:"
        f" pip install 'rolerunner[{extra.name}]'; a Glue job gets it by 'rolerunner deploy'"
    )


def _iter_extras(job: Job) -> Iterator[RequiredExtra]:
    for name in job.telemetry.reports:
        yield RequiredExtra(name, f"telemetry.{name}")
    for step in job.action_steps:
        for name in registry()[step.action].list_extras(step.fields):
            yield RequiredExtra(name, f"step '{step.id}'")
