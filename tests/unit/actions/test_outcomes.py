"""The record of an operation on many objects: counts, limits of failures, messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rolerunner.actions.base import OutputsWithWarning
from rolerunner.actions.outcomes import TransferSummary, deletion_limit_error, record_outcomes
from rolerunner.actions.shared_fields import TransferFields
from rolerunner.errors import AccessDenied, StepError
from rolerunner.model import Failure, S3Uri
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Outcome
from tests.unit.actions.context import Recorded, make_context


def copied(key: str, size: int = 3) -> Outcome:
    return Outcome(S3Uri("box", key), size)


def skipped(key: str) -> Outcome:
    return Outcome(S3Uri("box", key), 3, status="skipped")


def failed(key: str, hint: str = "ask") -> Outcome:
    return Outcome(S3Uri("box", key), status="failed", error=AccessDenied(f"no {key}", hint=hint))


def record(
    folder: Path, outcomes: Any, max_failures: Any = 0, recorded: Recorded | None = None
) -> TransferSummary:
    context = make_context(folder, recorded)
    step = TransferFields(max_failures=max_failures)
    return record_outcomes(outcomes, context, S3Uri("box"), step, Pacer(), None)


def test_outcomes_are_counted_and_each_has_its_line(tmp_path: Path) -> None:
    summary = record(tmp_path, [copied("a", 5), skipped("b"), copied("c", 7)])
    assert (summary.count, summary.bytes, summary.skipped, summary.failed) == (2, 12, 1, 0)
    assert summary.warning is None
    assert [info.key for info in summary.objects] == ["a", "b", "c"]
    assert summary.outputs(objects="x", skipped=1) == {
        "objects": "x",
        "count": 2,
        "bytes": 12,
        "skipped": 1,
    }
    lines = (tmp_path / "work.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["a", "b", "c"]


def test_nothing_is_a_success(tmp_path: Path) -> None:
    summary = record(tmp_path, [])
    assert (summary.count, summary.failed, summary.warning) == (0, 0, None)


def test_the_failure_of_the_only_object_is_the_steps(tmp_path: Path) -> None:
    outcome = failed("a")
    with pytest.raises(AccessDenied) as caught:
        record(tmp_path, [outcome])
    assert caught.value is outcome.error


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (1, "1 of 5 objects failed: s3://box/0: no 0"),
        (3, "3 of 5 objects failed: s3://box/0: no 0; s3://box/1: no 1; s3://box/2: no 2"),
        (
            4,
            (
                "4 of 5 objects failed: s3://box/0: no 0; s3://box/1: no 1; s3://box/2: no 2;"
                " and 1 more"
            ),
        ),
    ],
)
def test_the_first_three_failures_are_named(tmp_path: Path, count: int, message: str) -> None:
    outcomes = [
        *(failed(str(n)) for n in range(count)),
        *(copied(f"c{n}") for n in range(5 - count)),
    ]
    with pytest.raises(StepError) as caught:
        record(tmp_path, outcomes)
    assert str(caught.value) == message
    assert caught.value.type == "AccessDenied"
    assert caught.value.hint == f"ask\n{tmp_path / 'work.jsonl'} has a line for each object"


@pytest.mark.parametrize(
    ("most", "ends"), [(0, False), (1, False), (2, True), ("39%", False), ("40%", True)]
)
def test_as_many_may_fail_as_the_step_allows(tmp_path: Path, most: Any, ends: bool) -> None:
    outcomes = [failed("a", ""), failed("b"), copied("c"), copied("d"), copied("e")]
    if not ends:
        with pytest.raises(StepError, match="2 of 5 objects failed"):
            record(tmp_path, outcomes, most)
        return
    summary = record(tmp_path, outcomes, most)
    assert (summary.count, summary.failed) == (3, 2)
    assert isinstance(summary.warning, Failure)
    outputs = summary.outputs(objects=1)
    assert isinstance(outputs, OutputsWithWarning)
    assert outputs.warning == summary.warning
    assert summary.warning.hint.endswith(" has a line for each object")


class Endless:
    """Outcomes that fail, and remember that they were closed."""

    def __init__(self, first_success: int) -> None:
        self.first_success = first_success
        self.given = 0
        self.closed = False

    def __iter__(self) -> Iterator[Outcome]:
        for number in range(300):
            self.given = number + 1
            yield copied("x") if number == self.first_success else failed(str(number))

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("first_success", "given"), [(99, 300), (100, 100), (999, 100)])
def test_a_hundred_failures_before_any_success_stop_the_step(
    tmp_path: Path, first_success: int, given: int
) -> None:
    outcomes = Endless(first_success)
    with pytest.raises(StepError) as caught:
        record(tmp_path, outcomes)
    assert outcomes.given == given
    assert outcomes.closed
    assert ("and none succeeded, so no more were tried" in str(caught.value)) is (given == 100)


def test_progress_is_reported_at_once_and_then_seldom(tmp_path: Path) -> None:
    recorded = Recorded()
    record(tmp_path, [copied(str(n)) for n in range(1000)], recorded=recorded)
    assert recorded.progress[0].objects == 1
    assert len(recorded.progress) < 50


def test_a_stop_ends_the_step_after_the_outcomes(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    context.cancel.set()
    with pytest.raises(StepError, match="stopped"):
        record_outcomes([copied("a")], context, S3Uri("box"), TransferFields(), Pacer(), None)
    assert (tmp_path / "work.jsonl").read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (1, "1 object in x would be deleted, but 'max_delete' is 1,000; nothing was deleted"),
        (
            2500,
            "2,500 objects in x would be deleted, but 'max_delete' is 1,000; nothing was deleted",
        ),
    ],
)
def test_the_limit_of_deletions_names_both_numbers(count: int, message: str) -> None:
    error = deletion_limit_error(count, 1000, "object", " in x")
    assert (str(error), error.type) == (message, "MaxDelete")
