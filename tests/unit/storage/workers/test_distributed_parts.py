"""Parts of a large object as tasks: which objects, and how results and errors come back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.redaction.secrets import register_credential
from rolerunner.storage.parts import PartUpload
from rolerunner.storage.protocol import Copy, ObjectInfo
from rolerunner.storage.upload_journal import RecordedUpload, UploadJournal
from rolerunner.storage.workers import distributed_parts
from rolerunner.storage.workers.distributed_parts import (
    SPREAD_BYTES,
    DistributedParts,
    _make_portable,
    choose_spread_size,
    is_begun,
    is_spread,
)
from tests.workers import InProcess


class Unpicklable(Exception):
    """An error with a lock inside."""

    def __init__(self) -> None:
        super().__init__("broken")
        self.lock = threading.Lock()


class Transport:
    """Sends parts; it pickles as itself."""

    def relay_part(self, source: str, part: PartUpload, cancel: Cancel) -> Any:
        assert not cancel.is_set()
        if part.number == 3:
            raise StepError("refused", type="AccessDenied")
        if part.number == 4:
            raise Unpicklable
        return source, part.number


class Target(Transport):
    """An engine whose transport is itself."""

    def __reduce__(self) -> Any:
        return Target, ()


def make_part(number: int) -> PartUpload:
    return PartUpload(S3Uri("b", "k"), "id", number, 0, 100)


def test_each_caller_gets_the_result_or_the_error_of_its_part() -> None:
    moved: list[int] = []
    pool = InProcess(2)
    target: Any = Target()
    source: Any = "reader"
    with (
        DistributedParts(pool, (target, source), "rolerunner: x", Cancel(), moved.append) as parts,
        ThreadPoolExecutor(8) as threads,
    ):
        futures = [
            threads.submit(parts.call, "relay_part", make_part(number), here=0)
            for number in range(1, 9)
        ]
        errors = [future.exception() for future in futures]
        assert futures[0].result() == ("reader", 1)
        assert [bool(error) for error in errors] == [number in (3, 4) for number in range(1, 9)]
        assert isinstance(errors[2], StepError)
        assert errors[2].type == "AccessDenied"
        assert isinstance(errors[3], StepError)
        assert (errors[3].type, errors[3].message) == ("Unpicklable", "broken")
    assert sum(moved) == 600
    assert pool.parts <= 8


def test_parts_without_a_thread_of_their_own_are_sent_one_task_after_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    target: Any = Target()
    source: Any = "reader"
    with DistributedParts(
        InProcess(2), (target, source), "rolerunner: x", Cancel(), lambda _: None
    ) as parts:
        monkeypatch.setattr(parts._tasks, "submit", refuse)
        assert parts.call("relay_part", make_part(1), here=0) == ("reader", 1)
        assert parts.call("relay_part", make_part(2), here=0) == ("reader", 2)


def test_an_error_of_a_library_shows_no_secret() -> None:
    secret = str(register_credential("a-secret-of-the-part"))
    error = _make_portable(ValueError(f"refused with {secret}"))
    assert isinstance(error, StepError)
    assert error.type == "ValueError"
    assert error.message.startswith("refused with ")
    assert secret not in error.message
    same = KeyError("no secret")
    assert _make_portable(same) is same


def test_a_stop_ends_all_callers() -> None:
    cancel = Cancel()
    cancel.set()
    target: Any = Target()
    with (
        DistributedParts(InProcess(2), (target,), "rolerunner: x", cancel, lambda _: None) as parts,
        pytest.raises(StepError, match="stopped"),
    ):
        parts.call("relay_part", make_part(1), here=0)


def test_progress_is_reported_while_no_part_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed_parts, "_PROGRESS_SECONDS", 0.01)
    moved: list[int] = []
    reported = threading.Event()

    def on_bytes(count: int) -> None:
        moved.append(count)
        reported.set()

    target: Any = Target()
    with DistributedParts(InProcess(2), (target,), "rolerunner: x", Cancel(), on_bytes):
        assert reported.wait(10)
    assert set(moved) == {0}


def test_a_copy_is_begun_whose_upload_is_in_the_journal() -> None:
    journal = UploadJournal("", lambda _: None, lambda *_: None)
    copy = Copy(S3Uri("a", "k"), S3Uri("b", "k"), ObjectInfo("k", 6, "e"), journal=journal)
    assert not is_begun(copy)
    journal.begin(RecordedUpload("s3://b/k", "id", "s3://a/k", "e", "", 6, 4, ""))
    assert is_begun(copy)
    assert not is_begun(replace(copy, journal=None))
    assert not is_begun(ObjectInfo("k", 6))


def test_copies_are_spread_that_are_large_and_go_in_parts() -> None:
    copy = Copy(S3Uri("a", "k"), S3Uri("b", "k"), ObjectInfo("k", 6 << 30, "e"))
    small = replace(copy, info=ObjectInfo("k", 1 << 30, "e"))
    assert is_spread(copy, "copy", SPREAD_BYTES)
    assert not is_spread(small, "copy", SPREAD_BYTES)  # one CopyObject
    assert is_spread(small, "relay", SPREAD_BYTES)
    assert not is_spread(small, "relay", 2 << 30)
    assert not is_spread(replace(copy, info=None), "relay", 0)
    assert not is_spread(ObjectInfo("k", 6 << 30), "delete", 0)
    assert choose_spread_size(0, 4) == SPREAD_BYTES
    assert choose_spread_size(160 << 30, 4) == 10 << 30
