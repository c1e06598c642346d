"""Sums of the results of a group's items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Union

import pytest

from rolerunner.actions.base import Action, StepContext
from rolerunner.model import Failure, ItemResult, Permission, Step, StepResult, StepStatus
from rolerunner.run.group_results import (
    count_allowed_failures,
    find_item_status,
    list_unstarted,
    summarize_group,
)

FETCH, CHECK = Step("g.fetch", "probe", {}), Step("g.check", "probe", {}, on_error="continue")
GROUP = Step("g", "group", {}, steps=(FETCH, CHECK))


class Probe(Action):
    """Knows one output."""

    outputs: ClassVar[Mapping[str, str]] = {"n": "a number"}

    def run(self, context: StepContext) -> Mapping[str, Any]:
        raise NotImplementedError

    def permissions(self) -> Mapping[str, list[Permission]]:
        return {}


def result(status: StepStatus = "succeeded", step: str = "fetch", **fields: Any) -> StepResult:
    return StepResult(f"g[x].{step}", "probe", "", status, 1, **fields)


def item(status: StepStatus, *steps: StepResult) -> ItemResult:
    return ItemResult("x", status, steps or (result(status), result(status, "check")))


def broken(status: StepStatus = "failed", message: str = "it broke") -> ItemResult:
    return item(status, result(status, error=Failure("T", message, "mend it")), result("not_run"))


def summarize(*items: ItemResult, limit: Union[int, str] = 0) -> StepResult:
    return summarize_group(replace(GROUP, max_failures=limit), items, {"probe": Probe})


@pytest.mark.parametrize(
    ("limit", "total", "allowed"),
    [(0, 9, 0), (3, 9, 3), ("0%", 9, 0), ("10%", 100, 10), ("10%", 99, 9), ("100%", 101, 101)],
)
def test_the_number_of_failures_that_is_allowed(
    limit: Union[int, str], total: int, allowed: int
) -> None:
    assert count_allowed_failures(replace(GROUP, max_failures=limit), total) == allowed


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("succeeded", "succeeded", "succeeded"),
        ("succeeded", "skipped", "succeeded"),
        ("skipped", "skipped", "skipped"),
        ("failed", "not_run", "failed"),
        ("succeeded", "failed", "warning"),
        ("not_run", "failed", "not_run"),
        ("warning", "succeeded", "warning"),
        ("not_run", "not_run", "not_run"),
    ],
)
def test_the_status_of_an_item(first: StepStatus, second: StepStatus, expected: StepStatus) -> None:
    assert find_item_status([FETCH, CHECK], [result(first), result(second)]) == expected


def test_an_item_that_did_not_start() -> None:
    assert [(each.id, each.status) for each in list_unstarted([FETCH, CHECK])] == [
        ("g.fetch", "not_run"),
        ("g.check", "not_run"),
    ]


@pytest.mark.parametrize(
    ("statuses", "limit", "expected"),
    [
        ((), 0, "succeeded"),
        (("succeeded", "skipped"), 0, "succeeded"),
        (("skipped", "skipped"), 0, "skipped"),
        (("succeeded", "warning"), 0, "warning"),
        (("succeeded", "failed"), 0, "failed"),
        (("succeeded", "failed"), 1, "warning"),
        (("failed", "failed"), 1, "failed"),
        (("succeeded", "failed"), "50%", "warning"),
        (("succeeded", "not_run"), 9, "failed"),
    ],
)
def test_the_status_of_a_group(
    statuses: tuple[StepStatus, ...], limit: Union[int, str], expected: str
) -> None:
    assert summarize(*map(item, statuses), limit=limit).status == expected


def test_outputs_are_lists_in_the_order_of_the_items() -> None:
    first = item("succeeded", result(outputs={"n": 1, "more": "a"}), result(step="check"))
    again = result("skipped", outputs={"n": 2}, was="warning")
    found = summarize(first, item("succeeded", again, result(step="check")))
    assert found.outputs == {
        "fetch": {"n": [1, 2], "more": ["a", None], "status": ["succeeded", "warning"]},
        "check": {"n": [None, None], "status": ["succeeded", "succeeded"]},
    }
    assert summarize().outputs == {
        "fetch": {"n": [], "status": []},
        "check": {"n": [], "status": []},
    }


def test_the_attempts_of_a_group_are_the_most_of_a_step() -> None:
    tried = item("succeeded", replace(result(), attempts=3), result())
    assert (summarize(tried, item("succeeded")).attempts, summarize().attempts) == (3, 1)
    skipped = replace(result("skipped"), attempts=0)
    assert summarize(item("skipped", skipped, skipped)).attempts == 0


def test_a_failure_names_the_first_items_and_counts_the_others() -> None:
    broken_items = [broken(message=f"broken {number}") for number in range(5)]
    error = summarize(*broken_items, item("succeeded")).error
    told = "; ".join(f"g[x].fetch: broken {number}" for number in range(3))
    assert error == Failure("T", f"5 of 6 items failed: {told}; and 2 more", "mend it")
    error = summarize(broken(), item("succeeded")).error
    assert error == Failure("T", "1 of 2 items failed: g[x].fetch: it broke", "mend it")


def test_the_first_failed_item_gives_type_and_hint() -> None:
    items = [
        item(
            "failed",
            result("failed", error=Failure(kind, "it broke", f"mend {kind}")),
            result("not_run", "check"),
        )
        for kind in ("T", "U")
    ]
    error = summarize(*items).error
    assert error is not None
    assert (error.type, error.hint) == ("T", "mend T")


def test_items_that_were_not_done_and_warnings_are_explained() -> None:
    error = summarize(broken("not_run", "the lock is lost"), broken("warning")).error
    message = "not all items were done: g[x].fetch: the lock is lost"
    assert error == Failure("T", message, "mend it")
    error = summarize(item("succeeded"), broken("warning"), broken("warning")).error
    assert error == Failure("T", "2 items with warnings: g[x].fetch: it broke", "mend it")
    assert summarize(item("succeeded")).error is None


def test_the_error_of_an_item_may_be_that_of_an_earlier_step() -> None:
    refused = result("failed", error=Failure("T", "no role"))
    error = summarize(item("not_run", refused, result("not_run", "check"))).error
    assert error == Failure("T", "not all items were done: g[x].fetch: no role")
    warned = result("warning", "check", error=Failure("T", "it warns"))
    error = summarize(item("failed", warned, refused)).error
    assert error == Failure("T", "1 of 1 item failed: g[x].fetch: no role")
    error = summarize(item("not_run", result("succeeded"), result("succeeded", "check"))).error
    assert error is not None
    assert error.message.startswith("not all items were done: g[x].fetch: stopped")
    error = summarize(item("not_run")).error
    message = "not all items were done: g[x].fetch: stopped before it was done"
    assert error == Failure("Stopped", message)


def test_a_group_that_was_done_before_is_skipped_for_the_reason_of_its_steps() -> None:
    before = result("skipped", reason="completed by run r", was="succeeded")
    found = summarize(item("skipped", before, before))
    assert (found.status, found.reason, found.was) == ("skipped", "completed by run r", "succeeded")
    found = summarize(item("skipped", before, replace(before, was="warning", reason="other")))
    assert found.reason == "completed by run r"
    assert found.was == "warning"
    found = summarize(item("skipped", before, replace(before, was="")))
    assert (found.status, found.was) == ("skipped", "")
