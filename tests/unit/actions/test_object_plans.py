"""Lines of a dry run, which say what a run would do with each object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union, cast

from rolerunner.actions.object_plans import ObjectPlan, plan_transfers, report_left_out
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import ServiceFailed
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import Copy, Get, ObjectInfo, Outcome, Put

if TYPE_CHECKING:
    from rolerunner.actions.base import StepContext

SOURCE, TARGET = S3Uri("box", "in/a"), S3Uri("cup", "out/a")
INFO = ObjectInfo("in/a", 3, "e")


class Context:
    cancel = Cancel()


def fail() -> bool:
    raise ServiceFailed("503")


def plan(item: Union[Copy, Get, Put, Outcome], if_exists: str = "skip_same") -> ObjectPlan:
    found: list[ObjectPlan] = []
    plan_transfers([item], if_exists, found.append, cast("StepContext", Context()))
    [only] = found
    return only


def test_each_kind_of_transfer() -> None:
    assert plan(Copy(SOURCE, TARGET, INFO)) == ObjectPlan(
        "send", "s3://cup/out/a", "it does not exist", "s3://box/in/a", 3
    )
    assert plan(Copy(SOURCE, TARGET, INFO), "overwrite").reason == "'if_exists' is overwrite"
    assert plan(Copy(SOURCE, TARGET, INFO), "fail").reason == "it fails if it exists"
    differs = plan(Put("/x/a", TARGET, skip=lambda: False))
    assert (differs.does, differs.reason) == ("send", "it exists and differs")
    same = plan(Get(SOURCE, "/x/a", INFO, skip=lambda: True))
    assert (same.does, same.object, same.reason) == ("skip", "/x/a", "it is the same")


def test_failures_have_their_reason() -> None:
    assert plan(Copy(SOURCE, TARGET, INFO, skip=fail)) == ObjectPlan(
        "fail", "s3://cup/out/a", "503"
    )
    refused = Outcome(SOURCE, status="failed", error=ServiceFailed("no such key"))
    assert plan(refused) == ObjectPlan("fail", "s3://box/in/a", "no such key")


def test_what_is_skipped_without_a_request_was_compared_or_only_exists() -> None:
    skipped = Outcome(SOURCE, 3, status="skipped")
    assert plan(skipped, "skip").reason == "it exists"
    assert [plan(skipped, each).reason for each in ("skip_same", "fail_different")] == [
        "it is the same"
    ] * 2


def test_lines_have_only_values_that_are_set() -> None:
    assert ObjectPlan("skip", "s3://box/a", "why", size=0).as_json() == {
        "does": "skip",
        "object": "s3://box/a",
        "reason": "why",
        "size": 0,
    }


def test_objects_that_filters_leave_out_are_passed_on() -> None:
    found: list[ObjectPlan] = []
    kept: list[str] = []
    on_left_out = report_left_out(
        S3Uri("box", "in/"), None, found.append, lambda _, relative: kept.append(relative)
    )
    on_left_out(INFO, "a")
    assert (found[0].object, kept) == ("s3://box/in/a", ["a"])
