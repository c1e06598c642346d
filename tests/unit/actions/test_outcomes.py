"""The record of an operation on many objects: counts, limits of failures, messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rolerunner.actions.outcomes import TransferSummary, record_outcomes
from rolerunner.actions.shared_fields import TransferFields
from rolerunner.errors import AccessDenied, StepError
from rolerunner.model import S3Uri
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


def test_the_message_is_in_the_order_of_keys_whatever_failed_first(tmp_path: Path) -> None:
    with pytest.raises(StepError) as caught:
        record(tmp_path, [failed("b", "ask b"), failed("a", "ask a")])
    assert caught.value.message.endswith("s3://box/a: no a; s3://box/b: no b")
    assert str(caught.value.hint).startswith("ask a\n")
