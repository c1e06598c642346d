"""Finds the extras of rolerunner that the features of a spec need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.actions import registry
from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.model import Job


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


def _iter_extras(job: Job) -> Iterator[RequiredExtra]:
    for name in job.telemetry.reports:
        yield RequiredExtra(name, f"telemetry.{name}")
    for step in job.action_steps:
        for name in registry()[step.action].list_extras(step.fields):
            yield RequiredExtra(name, f"step '{step.id}'")
