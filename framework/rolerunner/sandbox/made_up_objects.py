"""Makes up sample objects for what a plan reads, for a world derived from its spec."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from rolerunner.model import S3Uri
from rolerunner.plan.partial_values import ANY, PartialValues
from rolerunner.plan.step_planning import list_item_scopes
from rolerunner.sandbox.world import SandboxObject

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rolerunner.actions.base import Action
    from rolerunner.model import Plan, PlannedStep

_LARGEST = 1 << 20
"""Maximum bytes of a sample object."""
_MOST = 100
"""Maximum number of sample objects under one prefix."""


def make_up_objects(
    plan: Plan, actions: Mapping[str, type[Action]], puts: Mapping[S3Uri, Path]
) -> Iterator[tuple[S3Uri, SandboxObject]]:
    """Yields sample objects for each source that would otherwise be empty."""
    written: list[S3Uri] = []
    for _, action in iter_actions(plan, actions):
        for source in _list_sources(action):
            if not (
                any(_is_given(uri, source, action) for uri in puts)
                or any(_is_overlapping(source, each) for each in written)
            ):
                yield from _make_objects(source, action)
                written.append(source)
        target = getattr(action, "target", None)
        if isinstance(target, S3Uri):
            written.append(target)


def iter_actions(
    plan: Plan, actions: Mapping[str, type[Action]]
) -> Iterator[tuple[PlannedStep, Any]]:
    """Yields each step for each of its items with its action; None for an unknown one."""
    now = datetime.now(timezone.utc)
    scope = {
        "params": plan.job.params,
        "run": {"name": plan.job.name, "date": now.date(), "time": now},
        "today": now.date(),
        "now": now,
    }
    for planned, item in _iter_planned_items(plan, scope):
        values = PartialValues({**scope, **item}, {})
        yield planned, values.build_action(actions[planned.step.action], planned.fields)


def _iter_planned_items(
    plan: Plan, scope: Mapping[str, Any]
) -> Iterator[tuple[PlannedStep, Mapping[str, Any]]]:
    """Yields each step for each of its items, in the scope of the item if that is known."""
    loops = {step.id: group for group in plan.job.steps for step in group.steps}
    for planned in plan.steps:
        for item, label in list_item_scopes(loops.get(planned.step.id, planned.step), scope):
            if not planned.items or not label or label in planned.items:
                yield planned, item


def _is_given(uri: S3Uri, source: S3Uri, action: Any) -> bool:
    """Returns True if a given object is one that the step selects."""
    if not source.is_prefix:
        return uri == source
    below = uri.bucket == source.bucket and uri.key.startswith(source.key)
    return below and (
        not hasattr(action, "selection")
        or bool(action.selection().matches_name(uri.key[len(source.key) :]))
    )


def _is_overlapping(one: S3Uri, other: S3Uri) -> bool:
    return one.bucket == other.bucket and (
        one.key.startswith(other.key) or other.key.startswith(one.key)
    )


def _list_sources(action: Any) -> list[S3Uri]:
    source_fields = [getattr(action, name, None) for name in action.list_read_fields()]
    flat = [
        each for value in source_fields for each in (value if isinstance(value, list) else [value])
    ]
    return [each for each in flat if isinstance(each, S3Uri) and ANY not in str(each)]


def _make_objects(source: S3Uri, action: Any) -> Iterator[tuple[S3Uri, SandboxObject]]:
    """Yields objects that pass the action's filters, as many as it waits for."""
    rules = getattr(action, "filters", None) or ()
    selected = (each.include for each in rules if each.include is not None)
    include = getattr(action, "include", None) or [next(selected, "")]
    size = min(getattr(action, "min_size", 0) or 0, _LARGEST)
    for number in range(min(getattr(action, "min_count", 1), _MOST)):
        name = _make_name(include[0], number) if source.is_prefix else ""
        uri = source.join(name)
        yield uri, SandboxObject(key=uri.key, **_make_content(uri.key, size))


def _make_name(glob: str, number: int) -> str:
    """Returns a name that a glob matches: ``**/*.csv.gz`` -> sample.csv.gz."""
    name = glob.replace("**/", "").replace("**", "*") or "*.txt"
    name = re.sub(r"\{([^},]*)[^}]*\}", r"\1", name)
    name = re.sub(r"\[(.)[^\]]*\]", r"\1", name)
    return name.replace("*", f"sample{number or ''}", 1).replace("*", "").replace("?", "x")


def _make_content(key: str, size: int) -> dict[str, Any]:
    text = '{"sample": true}\n' if ".json" in key else "sample\n"
    if size > len(text):
        return {"size": size}
    return {"gzip": text} if key.endswith(".gz") else {"text": text}
