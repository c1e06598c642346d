"""The base of all actions: polls, empty sources, storage, lists."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from rolerunner.actions.base import OutputsWithWarning, handle_empty_source, iter_polls
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import EmptySource, StepError
from rolerunner.model import Failure, Role
from rolerunner.storage.protocol import Access
from tests.unit.actions.context import Recorded, make_context

ROLE = Role("arn:aws:iam::111122223333:role/r", "r")


def test_an_empty_source_is_an_error_a_warning_or_nothing(tmp_path: Path) -> None:
    recorded = Recorded()
    context = make_context(tmp_path, recorded)
    with pytest.raises(EmptySource, match=r"^there is nothing in s3://box/in/$") as caught:
        handle_empty_source("error", "s3://box/in/", context)
    assert "on_empty" in caught.value.hint
    handle_empty_source("ok", "s3://box/in/", context)
    assert recorded.notes == []
    handle_empty_source("warn", "s3://box/in/", context)
    assert recorded.notes == [("warning", "there is nothing in s3://box/in/", {})]


def test_polls_end_after_the_longest_wait(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    assert list(iter_polls(context, 60, 0)) == [1]
    began = time.monotonic()
    assert list(iter_polls(context, 60, 0.05)) == [1, 2], "the last one is at the deadline"
    assert time.monotonic() - began < 5


def test_the_interval_varies_by_a_fifth(tmp_path: Path) -> None:
    waits: list[float] = []

    class Recorder(Cancel):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0)
            return False

    polls = iter_polls(make_context(tmp_path, cancel=Recorder()), 10, 1000)
    for _ in range(200):
        next(polls)
    assert 8 <= min(waits) < 8.5
    assert 11.5 < max(waits) <= 12


def test_a_stop_ends_the_polls(tmp_path: Path) -> None:
    cancel = Cancel()
    polls = iter_polls(make_context(tmp_path, cancel=cancel), 60, 60)
    assert next(polls) == 1
    cancel.set()
    with pytest.raises(StepError, match="stopped"):
        next(polls)


def test_outputs_with_a_warning_are_the_outputs() -> None:
    warning = Failure("NotFound", "one is missing")
    outputs = OutputsWithWarning({"count": 1}, warning)
    assert outputs == {"count": 1}
    assert outputs.warning is warning


def test_lists_are_named_by_the_step_and_the_part(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    assert context.manifest_path() == tmp_path / "work.jsonl"
    assert context.manifest_path(".source") == tmp_path / "work.source.jsonl"
    assert context.manifest(".source").path == tmp_path / "work.source.jsonl"


def test_storage_is_that_of_the_field_and_is_distributed_only_on_request(tmp_path: Path) -> None:
    class Distribution:
        def storage(self, *parts: Any) -> Any:
            return ("distributed", *parts[:2], parts[3])

    def open_storage(role: Role, access: Any, flow: Any) -> Any:
        return (role, access, flow)

    context = make_context(
        tmp_path,
        roles={"role": ROLE},
        open_storage=open_storage,
        open_cluster=Distribution,
    )
    here: Any = (ROLE, None, None)
    assert context.storage() == here
    spread: Any = context.storage(distribute="spark")
    assert spread == ("distributed", ROLE, Access(), here)
    alone = make_context(tmp_path, roles={"role": ROLE}, open_storage=open_storage)
    assert alone.storage(distribute="spark") == here
    with pytest.raises(KeyError):
        context.storage("target_role")


def test_a_download_without_a_workspace_has_its_folder(tmp_path: Path) -> None:
    with make_context(tmp_path).target_folder(tmp_path / "out") as folder:
        assert Path(folder.path) == tmp_path / "out"
