"""The order of steps: unique ids, and the steps that each one waits for."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from rolerunner.spec.expressions import Template
from rolerunner.spec.values import suggest_name

STATUS = "status"
"""``steps.ID.status``, which every step has in addition to the outputs of its action."""

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolerunner.spec.raw_step import RawStep
    from rolerunner.spec.reader import SpecReader


def check_ids(steps: Sequence[RawStep], reader: SpecReader) -> None:
    """Reports ids that are used more than once: at the top level, or in a group and outside it."""
    first = _check_unique(steps, {}, reader)
    for group in steps:
        _check_unique(group.steps, first, reader)
        for step in (step for step in group.steps if step.id == STATUS):
            message = f"'{STATUS}' cannot be the id of a step inside a group"
            hint = f"steps.{group.id}.{STATUS} is the status of the group"
            reader.add((*step.path, "id"), message, hint)


def _check_unique(
    steps: Sequence[RawStep], outside: Mapping[str, RawStep], reader: SpecReader
) -> dict[str, RawStep]:
    first = dict(outside)
    for step in steps:
        other = first.setdefault(step.id, step)
        if other is not step:
            line = reader.document.mark((*other.path, "id")).line
            hint = f"the first is on line {line}"
            reader.add((*step.path, "id"), f"duplicate step id '{step.id}'", hint)
    return first


def resolve_needs(
    steps: Sequence[RawStep], references: Sequence[frozenset[str]], reader: SpecReader
) -> dict[str, tuple[str, ...]]:
    """Returns step id -> the ids of the steps that it waits for.

    A step without ``needs`` waits for the last steps of every branch before it, and so for all of
    them. ``references`` are the steps that each step reads from.
    """
    needs: dict[str, tuple[str, ...]] = {}
    last: list[str] = []
    for step, read in zip(steps, references):
        declared = last if step.common.needs is None else _list_known_needs(step, steps, reader)
        needs[step.id] = tuple(dict.fromkeys((*declared, *sorted(read))))
        last = [*(each for each in last if each not in needs[step.id]), step.id]
    if len(needs) == len(steps):  # duplicate ids have been reported, and would look like a cycle
        _check_cycle(steps, needs, reader)
    return needs


def _check_cycle(
    steps: Sequence[RawStep], needs: Mapping[str, tuple[str, ...]], reader: SpecReader
) -> None:
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        cycle = error.args[1]
        last = next(step for step in reversed(steps) if step.id in cycle)
        message = f"steps depend on each other in a cycle: {' -> '.join(cycle)}"
        reader.add((*last.path, "needs"), message)


def _list_known_needs(step: RawStep, steps: Sequence[RawStep], reader: SpecReader) -> list[str]:
    known = {other.id for other in steps}
    path, needs = (*step.path, "needs"), step.common.needs or []
    if isinstance(needs, Template):
        reader.add(path, "'needs' must be a list of ids; it cannot be an expression")
        return []
    for index, name in enumerate(needs):
        if name == step.id:
            reader.add((*path, index), f"the step '{name}' cannot wait for itself")
        elif name not in known:
            where = "" if step.group is None else f" in the group '{step.group.id}'"
            hint = suggest_name(name, known) or _explain_group_needs(step)
            reader.add((*path, index), f"there is no step '{name}'{where}", hint)
    return [name for name in needs if name in known and name != step.id]


def _explain_group_needs(step: RawStep) -> str:
    if step.group is None:
        return ""
    return "its steps wait for one another; what all of them wait for is in the group's own 'needs'"
