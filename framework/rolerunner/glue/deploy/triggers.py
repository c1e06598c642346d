"""Makes, changes and removes the trigger of a Glue job: its schedule, or the jobs before it.

A trigger that rolerunner made has a description that says so, or is in the record of the last
deployment. Others are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import StepError, UsageError
from rolerunner.glue.deploy.merge import Change, diff_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.glue.deploy.account import Account
    from rolerunner.model import GlueSettings

_NOT_THERE = "EntityNotFoundException"
_DESCRIPTION = "Starts the job {}. Set by rolerunner deploy."
_PAUSED = ("DEACTIVATED", "DEACTIVATING", "CREATED")
_TYPE_NAMES = {"SCHEDULED": "a schedule", "CONDITIONAL": "jobs before it"}


def define_trigger(job: str, settings: GlueSettings) -> dict[str, Any]:
    """Returns the parameters of CreateTrigger for a job; empty if nothing starts it by itself."""
    common = {"Description": _DESCRIPTION.format(job), "Actions": [{"JobName": job}]}
    if settings.schedule:
        return {
            "Name": f"{job}-schedule",
            "Type": "SCHEDULED",
            "Schedule": settings.schedule,
            **common,
        }
    if settings.after is None:
        return {}
    conditions = [
        {"LogicalOperator": "EQUALS", "JobName": name, "State": settings.after.on.upper()}
        for name in settings.after.jobs
    ]
    return {
        "Name": f"{job}-after",
        "Type": "CONDITIONAL",
        "Predicate": {"Logical": "AND", "Conditions": conditions},
        **common,
    }


@dataclass(frozen=True)
class TriggerChange:
    """A trigger that a deployment makes, changes or removes."""

    name: str
    verb: str
    """made, changed or removed; empty if it stays as it is."""
    wanted: Mapping[str, Any]
    changes: tuple[Change, ...]
    is_paused: bool = False

    def text(self) -> str:
        """Returns the change as text."""
        head = f"Glue trigger {self.name}" + (f" is {self.verb}:" if self.verb else ": no change")
        paused = (
            [f"  it is deactivated, and stays so: aws glue start-trigger --name '{self.name}'"]
            if self.is_paused
            else []
        )
        return "\n".join([head, *(f"  {change}" for change in self.changes), *paused])


class Triggers:
    """The triggers of one Glue job."""

    def __init__(self, account: Account, job: str) -> None:
        self.account = account
        self.job = job

    def plan_changes(
        self, wanted: Mapping[str, Any], last: Mapping[str, Any], *, adopt: bool = False
    ) -> tuple[TriggerChange, ...]:
        """Plans the trigger with read requests only; ``last`` is that of the last deployment.

        Raises StepError, and UsageError for a trigger of somebody else.
        """
        return tuple(self._list_changes(wanted, last, adopt=adopt))

    def apply(self, changes: tuple[TriggerChange, ...]) -> None:
        """Makes the changes. Raises StepError."""
        for change in changes:
            wanted = dict(change.wanted)
            if change.verb == "removed":
                self._remove(change.name)
            elif change.verb == "made":
                self.account.call("glue", "create_trigger", StartOnCreation=True, **wanted)
            elif change.verb == "changed":
                update = {key: value for key, value in wanted.items() if key != "Type"}
                self.account.call("glue", "update_trigger", Name=change.name, TriggerUpdate=update)

    def _list_changes(
        self, wanted: Mapping[str, Any], last: Mapping[str, Any], *, adopt: bool
    ) -> Iterator[TriggerChange]:
        if last and last["Name"] != wanted.get("Name"):
            current = self._fetch(last["Name"])
            if current is not None and self._starts_job_alone(current):
                yield TriggerChange(last["Name"], "removed", {}, diff_jobs(_view(current), {}))
        if not wanted:
            return
        current = self._fetch(wanted["Name"])
        if current is None:
            yield TriggerChange(wanted["Name"], "made", wanted, diff_jobs({}, _view(wanted)))
            return
        is_ours = last.get("Name") == wanted["Name"] or self._is_ours(current)
        if not is_ours and not adopt:
            raise UsageError(
                f"the Glue trigger '{wanted['Name']}' exists and was not made by rolerunner: "
                "choose another 'job_name', or use --adopt"
            )
        self._reject_other_type(current, wanted)
        if any(action.get("JobName") == self.job for action in current.get("Actions", ())):
            wanted = {**wanted, "Actions": current["Actions"]}  # with arguments set elsewhere
        changes = diff_jobs(_view(current), _view(wanted))
        is_paused = current.get("State") in _PAUSED
        if changes or is_paused:
            verb = "changed" if changes else ""
            yield TriggerChange(wanted["Name"], verb, wanted, changes, is_paused)

    def _fetch(self, name: str) -> Optional[dict[str, Any]]:
        try:
            found: dict[str, Any] = self.account.call("glue", "get_trigger", Name=name)["Trigger"]
        except StepError as error:
            if error.type == _NOT_THERE:
                return None
            raise
        return None if found.get("State") == "DELETING" else found

    def _remove(self, name: str) -> None:
        try:
            self.account.call("glue", "delete_trigger", Name=name)
        except StepError as error:
            if error.type != _NOT_THERE:
                raise

    def _is_ours(self, current: Mapping[str, Any]) -> bool:
        return str(current.get("Description")) == _DESCRIPTION.format(self.job)

    def _starts_job_alone(self, current: Mapping[str, Any]) -> bool:
        """Returns False for a trigger that starts other jobs as well, or instead."""
        names = {action.get("JobName") for action in current.get("Actions", ())}
        return names == {self.job}

    def _reject_other_type(self, current: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        if current["Type"] != wanted["Type"]:
            raise UsageError(
                f"the Glue trigger '{wanted['Name']}' has the type {current['Type']} and cannot "
                f"get {_TYPE_NAMES[wanted['Type']]}: delete it first: "
                f"aws glue delete-trigger --name '{wanted['Name']}'"
            )


def _view(trigger: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a trigger does, as it is compared and shown."""
    predicate = trigger.get("Predicate") or {}
    conditions = predicate.get("Conditions", ())
    logical = f" {predicate.get('Logical') or 'AND'} "
    after = logical.join(
        f"{each.get('JobName') or each.get('CrawlerName')} "
        f"{each.get('State') or each.get('CrawlState')}"
        for each in sorted(conditions, key=str)
    )
    actions = [
        each if set(each) > {"JobName"} else each.get("JobName") or each
        for each in trigger.get("Actions", ())
    ]
    view = {
        "Schedule": trigger.get("Schedule"),
        "After": after,
        "Starts": ", ".join(map(str, actions)),
        "Description": trigger.get("Description"),
    }
    return {key: value for key, value in view.items() if value}
