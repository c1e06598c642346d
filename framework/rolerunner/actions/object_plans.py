"""Tells by reading alone how a run would treat each object, and why."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Optional, Union

from rolerunner.actions.backups import Backups, decide_skip, split_batches
from rolerunner.actions.base import Action, StepContext, handle_empty_source
from rolerunner.actions.existing_objects import COMPARES, LOOKS
from rolerunner.actions.source_objects import OnLeftOut, SourceObjects, collect_source
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.selection.manifest import ObjectList
from rolerunner.storage.protocol import Copy, Get, ObjectInfo, Outcome, Put

_LEFT_OUT = "the filters leave it out"
Item = Union[Copy, Get, Put, Outcome]


@dataclass(frozen=True)
class ObjectPlan:
    """One object: ``does`` is send, skip, delete, fail or, of other actions, their verb."""

    does: str
    object: str
    """The object or file that would be written, deleted or used."""
    reason: str
    source: str = ""
    size: Optional[int] = None
    backup: str = ""
    """The place where the object would be kept first."""
    then: str = ""
    """The action that would follow, such as the deletion of the source of a move."""

    def as_json(self) -> dict[str, Any]:
        """Returns the values that are set."""
        return {name: value for name, value in vars(self).items() if value not in ("", None)}


Report = Callable[[ObjectPlan], None]


def plan_step_objects(action: Action, context: StepContext, report: Report) -> bool:
    """Reports each object of a step; returns False if the action works on no objects.

    Raises StepError for what would stop the step before it did anything.
    """
    own = getattr(action, "plan_objects", None)
    if own is not None:
        own(context, report)
        return True
    if not action.object_verb:
        return False
    _plan_used_objects(action, context, report)
    return True


def _plan_used_objects(action: Any, context: StepContext, report: Report) -> None:
    """Reports the objects that a step selects, of an action without targets of their own."""
    storage = context.storage(action.role_fields[0], action.access())
    if action.source is not None and not isinstance(action.source, S3Uri):
        return
    objects = getattr(action, "objects", None)
    versions = getattr(action, "versions", False) is True
    found = collect_source(
        action.source,
        objects,
        action.selection(),
        storage,
        context,
        versions=versions,
        on_left_out=report_left_out(action.source, objects, report),
    )
    check_not_empty(found, action, context)
    report_refused(found, report)
    target = f" into {action.target}" if isinstance(getattr(action, "target", None), S3Uri) else ""
    for info in found.objects:
        uri = str(found.objects.uri(info))
        report(ObjectPlan(action.object_verb, uri, f"the step selects it{target}", size=info.size))


def check_not_empty(found: SourceObjects, action: Any, context: StepContext) -> None:
    """Raises EmptySource as the run would."""
    if found.total == 0 and hasattr(action, "on_empty"):
        handle_empty_source(action.on_empty, str(action.source or "the listed objects"), context)


def report_left_out(
    source: Optional[S3Uri], objects: Any, report: Report, more: Optional[OnLeftOut] = None
) -> OnLeftOut:
    """Returns a function that reports the objects that filters leave out."""
    prefix = objects.prefix if isinstance(objects, ObjectList) else source

    def on_left_out(info: ObjectInfo, relative: str) -> None:
        if more is not None:
            more(info, relative)
        bucket = info.bucket or (prefix.bucket if prefix is not None else "")
        uri = str(S3Uri(bucket, info.key)) if bucket else info.key
        report(ObjectPlan("skip", uri, _LEFT_OUT, size=info.size))

    return on_left_out


def report_refused(found: SourceObjects, report: Report) -> None:
    """Reports the objects that cannot be looked up."""
    for outcome in found.refused:
        report(_describe_outcome(outcome))


def plan_transfers(
    items: Iterable[Item],
    if_exists: str,
    report: Report,
    context: StepContext,
    backups: Optional[Backups] = None,
    then: str = "",
) -> None:
    """Reports what would be sent, skipped, kept and refused of a step's transfers."""
    for batch in split_batches(items):
        context.cancel.stop_if_set()
        decided = [(each, decide_skip(each)) for each in batch]
        existing = (
            backups.find_existing([each for _, each in decided if not isinstance(each, Get)])
            if backups is not None
            else {}
        )
        for item, decision in decided:
            if isinstance(decision, Outcome):
                # an item that is an outcome already was compared if the step compares at all
                is_compared = not isinstance(item, Outcome) or if_exists in COMPARES
                is_same = is_compared and decision.status == "skipped"
                plan = _describe_outcome(decision, "it is the same" if is_same else "")
                report(replace(plan, then=then) if is_same else plan)
                continue
            there = None if isinstance(decision, Get) else existing.get(decision.target)
            kept = str(there) if there is not None else ""
            report(
                ObjectPlan(
                    "send",
                    str(decision.target),
                    _find_reason(
                        item, if_exists, is_there=bool(kept), is_known=backups is not None
                    ),
                    str(decision.source),
                    _find_size(item),
                    kept,
                    then,
                )
            )


def plan_deletions(
    objects: ObjectList,
    reason: str,
    report: Report,
    backups: Optional[Backups] = None,
    *,
    relative: Optional[Callable[[ObjectInfo], str]] = None,
) -> None:
    """Reports the objects that would be deleted, and where they would be kept."""
    for info in objects:
        name = (relative or objects.relative)(info)
        place = str(backups.place_of(name)) if backups is not None else ""
        uri = str(objects.uri(info)) + (f" (version {info.version})" if info.version else "")
        report(ObjectPlan("delete", uri, reason, size=info.size, backup=place))


def _describe_outcome(outcome: Outcome, reason: str = "") -> ObjectPlan:
    place = str(outcome.path if outcome.path is not None else outcome.uri)
    if outcome.error is not None:
        return ObjectPlan("fail", place, outcome.error.message)
    source = str(outcome.source) if outcome.source is not None else ""
    return ObjectPlan("skip", place, reason or "it exists", source, outcome.size)


def _find_reason(item: Any, if_exists: str, *, is_there: bool, is_known: bool) -> str:
    if getattr(item, "skip", None) is not None:
        return "it exists and differs"
    if is_there:
        return "it exists and is overwritten"
    if if_exists == "fail":
        return "it fails if it exists"
    is_absent = is_known or if_exists in LOOKS
    return "it does not exist" if is_absent else "'if_exists' is overwrite"


def _find_size(item: Any) -> Optional[int]:
    if isinstance(item, Put):
        with suppress(OSError):  # the upload itself reports it
            return os.stat(item.source).st_size  # noqa: PTH116 - one of each of a million files
    info = getattr(item, "info", None)
    return info.size if info is not None else None
