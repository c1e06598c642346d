"""Triggers that a deployment makes, changes, removes and leaves alone."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from rolerunner.errors import StepError, UsageError
from rolerunner.glue.deploy.triggers import TriggerChange, Triggers, define_trigger
from rolerunner.model import GlueAfter, GlueSettings

CRON = "cron(0 2 * * ? *)"
SCHEDULE = define_trigger("nightly", GlueSettings(role="r", schedule=CRON))
AFTER = define_trigger("nightly", GlueSettings(role="r", after=GlueAfter(("a", "b"), "succeeded")))


class FakeAccount:
    """An account with triggers; raises what the test names."""

    def __init__(self, *triggers: Any, error: Optional[StepError] = None) -> None:
        self.triggers = {each["Name"]: dict(each) for each in triggers}
        self.error = error
        self.calls: list[tuple[str, Any]] = []

    def call(self, service: str, operation: str, **parameters: Any) -> Any:
        assert service == "glue"
        self.calls.append((operation, parameters))
        if self.error is not None:
            raise self.error
        if parameters["Name"] not in self.triggers and operation != "create_trigger":
            raise StepError("there is none", type="EntityNotFoundException")
        return {"Trigger": self.triggers.get(parameters["Name"])}


def plan(
    account: FakeAccount, wanted: Any, last: Any = None, *, adopt: bool = False
) -> tuple[TriggerChange, ...]:
    found: Any = account
    return Triggers(found, "nightly").plan_changes(wanted, last or {}, adopt=adopt)


def test_a_job_without_a_start_has_no_trigger() -> None:
    assert define_trigger("nightly", GlueSettings(role="r")) == {}
    account = FakeAccount()
    assert plan(account, {}) == ()
    assert account.calls == []


def test_a_new_trigger_is_made() -> None:
    account = FakeAccount()
    (change,) = plan(account, SCHEDULE)
    assert (change.name, change.verb, change.is_paused) == ("nightly-schedule", "made", False)
    assert change.text().startswith("Glue trigger nightly-schedule is made:\n  ")
    assert CRON in change.text()
    Triggers(account, "nightly").apply((change,))  # type: ignore[arg-type]
    assert account.calls[-1] == ("create_trigger", {"StartOnCreation": True, **SCHEDULE})


def test_a_trigger_waits_for_all_jobs_before_it() -> None:
    (change,) = plan(FakeAccount(), AFTER)
    assert "a SUCCEEDED AND b SUCCEEDED" in change.text()


def test_the_same_trigger_is_no_change() -> None:
    assert plan(FakeAccount(SCHEDULE), SCHEDULE) == ()


def test_a_changed_schedule_is_updated_and_keeps_arguments_set_elsewhere() -> None:
    actions = [{"JobName": "nightly", "Arguments": {"--x": "y"}}]
    there = {**SCHEDULE, "Schedule": "cron(0 3 * * ? *)", "Actions": actions}
    account = FakeAccount(there)
    (change,) = plan(account, SCHEDULE)
    assert change.verb == "changed"
    assert [each.field for each in change.changes] == ["Schedule"]
    Triggers(account, "nightly").apply((change,))  # type: ignore[arg-type]
    operation, parameters = account.calls[-1]
    assert (operation, parameters["Name"]) == ("update_trigger", "nightly-schedule")
    assert parameters["TriggerUpdate"]["Schedule"] == CRON
    assert parameters["TriggerUpdate"]["Actions"] == actions
    assert "Type" not in parameters["TriggerUpdate"]


@pytest.mark.parametrize("state", ["DEACTIVATED", "DEACTIVATING", "CREATED"])
def test_a_deactivated_trigger_stays_so_and_is_told(state: str) -> None:
    account = FakeAccount({**SCHEDULE, "State": state})
    (change,) = plan(account, SCHEDULE)
    assert (change.verb, change.is_paused) == ("", True)
    text = change.text()
    assert text.startswith("Glue trigger nightly-schedule: no change\n")
    assert "aws glue start-trigger --name 'nightly-schedule'" in text
    before = len(account.calls)
    Triggers(account, "nightly").apply((change,))  # type: ignore[arg-type]
    assert len(account.calls) == before


def test_a_trigger_of_somebody_else_is_left_alone() -> None:
    theirs = {**SCHEDULE, "Description": "mine"}
    with pytest.raises(UsageError, match="was not made by rolerunner"):
        plan(FakeAccount(theirs), SCHEDULE)
    (adopted,) = plan(FakeAccount(theirs), SCHEDULE, adopt=True)
    assert adopted.verb == "changed"
    (recorded,) = plan(FakeAccount(theirs), SCHEDULE, {"Name": "nightly-schedule"})
    assert recorded.verb == "changed"


def test_a_trigger_cannot_get_another_type() -> None:
    with pytest.raises(UsageError, match="has the type CONDITIONAL and cannot get a schedule"):
        plan(FakeAccount({**SCHEDULE, "Type": "CONDITIONAL"}), SCHEDULE)


def test_another_start_removes_the_trigger_of_the_last_deployment() -> None:
    account = FakeAccount(SCHEDULE)
    removed, made = plan(account, AFTER, SCHEDULE)
    assert (removed.name, removed.verb) == ("nightly-schedule", "removed")
    assert (made.name, made.verb) == ("nightly-after", "made")
    Triggers(account, "nightly").apply((removed,))  # type: ignore[arg-type]
    assert account.calls[-1] == ("delete_trigger", {"Name": "nightly-schedule"})
    account.triggers.clear()
    Triggers(account, "nightly").apply((removed,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "there",
    [
        (),
        ({**SCHEDULE, "State": "DELETING"},),
        ({**SCHEDULE, "Actions": [{"JobName": "nightly"}, {"JobName": "other"}]},),
        ({**SCHEDULE, "Actions": [{"JobName": "other"}]},),
    ],
    ids=["gone", "being deleted", "of two jobs", "of another job"],
)
def test_a_trigger_that_is_gone_or_starts_other_jobs_is_not_removed(there: Any) -> None:
    assert plan(FakeAccount(*there), {}, SCHEDULE) == ()


def test_a_refused_request_is_raised() -> None:
    refused = StepError("not allowed", type="AccessDenied")
    with pytest.raises(StepError, match="not allowed"):
        plan(FakeAccount(error=refused), SCHEDULE)
    removed = TriggerChange("nightly-schedule", "removed", {}, ())
    account: Any = FakeAccount(error=refused)
    with pytest.raises(StepError, match="not allowed"):
        Triggers(account, "nightly").apply((removed,))
