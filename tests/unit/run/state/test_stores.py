"""Conditional writes of state documents, in a folder and in S3."""

from __future__ import annotations

import fcntl
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

import pytest

from rolerunner.errors import NotFound, StepError
from rolerunner.model import S3Uri
from rolerunner.run.state import stores
from rolerunner.run.state.stores import BucketStore, FolderStore, LockLost

if TYPE_CHECKING:
    from pathlib import Path

NAME = "job/k.json"
PREFIX = S3Uri("b", "state/")


@dataclass
class Stored:
    etag: str


@dataclass
class Outcome:
    error: Optional[StepError] = None


@dataclass
class FakeStorage:
    """One object with conditional writes, and the failures that a test gives."""

    data: Optional[bytes] = None
    etag: str = ""
    failures: list[str] = field(default_factory=list)
    """Types of the failures of the next writes."""
    writes: list[tuple[S3Uri, bytes, dict[str, str]]] = field(default_factory=list)
    age: Optional[float] = 5.0
    missing: str = "NoSuchKey"
    outcome: Outcome = field(default_factory=Outcome)
    moved: list[Any] = field(default_factory=list)

    def head(self, uri: S3Uri) -> Stored:
        del uri
        if self.data is None:
            raise NotFound("not there", type=self.missing)
        return Stored(self.etag)

    def read(self, uri: S3Uri, limit: int) -> bytes:
        del uri
        assert limit == 64 << 20
        assert self.data is not None
        return self.data

    def write(self, uri: S3Uri, data: bytes, options: dict[str, str]) -> Stored:
        self.writes.append((uri, data, options))
        if self.failures:
            raise StepError("refused", type=self.failures.pop(0))
        self.data, self.etag = data, f"etag-{len(self.writes)}"
        return Stored(self.etag)

    def get_age(self, uri: S3Uri) -> Optional[float]:
        del uri
        return self.age

    def put(self, items: list[Any], cancel: object) -> list[Outcome]:
        del cancel
        self.moved += items
        return [Outcome(), self.outcome]

    get = put


def bucket(**more: Any) -> tuple[BucketStore, FakeStorage]:
    storage = FakeStorage(**more)
    return BucketStore(storage, PREFIX), storage  # type: ignore[arg-type]


def test_a_document_is_written_only_over_the_one_before(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "state")
    assert store.read(NAME) is None
    first = store.write(NAME, b"1", "")
    assert store.read(NAME) == (b"1", first)
    second = store.write(NAME, b"2", first)
    for etag in ("", first):
        with pytest.raises(LockLost, match=r"another run has taken over the state job/k\.json"):
            store.write(NAME, b"3", etag)
    assert store.read(NAME) == (b"2", second)
    assert second != first


def test_a_folder_is_its_users_alone(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "deep" / "state")
    store.write(NAME, b"1", "")
    (tmp_path / "list").write_text("x")
    store.keep("job/list", tmp_path / "list")
    for path in (tmp_path / "deep").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700
    store.check_conditions(NAME, b"1")


def test_a_document_in_a_folder_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "MAX_BYTES", 4)
    store = FolderStore(tmp_path)
    (tmp_path / "fits").write_bytes(b"1234")
    (tmp_path / "long").write_bytes(b"12345")
    assert store.read("fits") is not None
    with pytest.raises(StepError, match="has more than 4 bytes") as raised:
        store.read("long")
    assert raised.value.type == "TooLarge"
    (tmp_path / "folder").mkdir()
    with pytest.raises(StepError, match="folder: Is a directory") as unreadable:
        store.read("folder")
    assert unreadable.value.type == "StateUnreadable"


def test_a_document_is_compared_and_written_under_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[bool] = []

    def write(path: Path, data: bytes, **_: bool) -> None:
        path.write_bytes(data)
        held.append(is_locked())

    def is_locked() -> bool:
        with (tmp_path / f"{NAME}.lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    monkeypatch.setattr(stores, "write_file", write)
    FolderStore(tmp_path).write(NAME, b"1", "")
    assert (held, is_locked()) == ([True], False)


def test_a_folder_may_be_created_by_another_run_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(tmp_path), "exists", lambda _: False)
    stores._create_private_folder(tmp_path)


def test_the_age_of_a_document_is_by_the_clock_of_the_file_system(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.write(NAME, b"1", "")
    now = (tmp_path / NAME).stat().st_mtime
    os.utime(tmp_path / NAME, (now, now - 100))
    age = store.age(NAME)
    assert age is not None
    assert 100 <= age < 160
    assert {each.name for each in (tmp_path / "job").iterdir()} == {"k.json", "k.json.lock"}


def test_files_are_kept_and_fetched(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "state")
    (tmp_path / "list").write_text("x")
    store.keep("job/list", tmp_path / "list")
    store.fetch("job/list", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "x"
    with pytest.raises(NotFound, match="there is no file"):
        store.fetch("job/none", tmp_path / "back")


def test_s3_is_asked_for_a_condition_on_the_document_before() -> None:
    store, storage = bucket()
    etag = store.write(NAME, b"1", "")
    store.write(NAME, b"2", etag)
    json_type = {"ContentType": "application/json"}
    assert storage.writes == [
        (S3Uri("b", "state/job/k.json"), b"1", {"IfNoneMatch": "*", **json_type}),
        (S3Uri("b", "state/job/k.json"), b"2", {"IfMatch": '"etag-1"', **json_type}),
    ]
    assert store.read(NAME) == (b"2", "etag-2")


def test_a_write_whose_answer_was_lost_has_succeeded() -> None:
    store, storage = bucket(failures=["AlreadyThere"])
    storage.data, storage.etag = b"1", "etag-0"
    assert store.write(NAME, b"1", "before") == "etag-0"


@pytest.mark.parametrize("there", [None, b"theirs"])
def test_a_write_that_another_run_was_faster_with_loses_the_lock(there: Optional[bytes]) -> None:
    store, storage = bucket(failures=["AlreadyThere"])
    storage.data = there
    with pytest.raises(LockLost, match="has taken over the state") as lost:
        store.write(NAME, b"1", "before")
    assert lost.value.type == "LockLost"
    assert "do not start this run at the same time" in lost.value.hint


def test_another_failure_of_a_write_is_no_loss_of_the_lock() -> None:
    store, storage = bucket(failures=["SlowDown"])
    storage.data, storage.etag = b"1", "etag-0"
    with pytest.raises(StepError, match="refused") as raised:
        store.write(NAME, b"1", "before")
    assert (type(raised.value), raised.value.type) == (StepError, "SlowDown")


def test_a_document_that_is_not_there_is_none_and_a_missing_bucket_an_error() -> None:
    store, storage = bucket()
    assert store.read(NAME) is None
    storage.missing = "NoSuchBucket"
    with pytest.raises(NotFound):
        store.read(NAME)


def test_an_age_in_whole_seconds_may_be_one_too_many() -> None:
    store, storage = bucket(age=5.0)
    assert store.age(NAME) == 4.0
    storage.age = None
    assert store.age(NAME) is None


@pytest.mark.parametrize(
    "refusal",
    ["AlreadyThere", "PreconditionFailed", "ConditionalRequestConflict", "412", "409"],
)
def test_a_server_that_refuses_a_wrong_condition_keeps_conditions(refusal: str) -> None:
    store, storage = bucket(data=b"1", etag="etag-0", failures=[refusal])
    store.check_conditions(NAME, b"1")
    ((_, data, options),) = storage.writes
    assert data == b"1\n"
    assert options["IfMatch"] == f'"{"0" * 32}"'


def test_a_server_that_ignores_conditions_is_refused() -> None:
    store, _ = bucket(data=b"1", etag="etag-0")
    with pytest.raises(StepError, match="the server of s3://b/state/ ignores If-Match") as raised:
        store.check_conditions(NAME, b"1")
    assert raised.value.type == "NoConditionalWrites"


def test_a_check_of_conditions_that_fails_proves_nothing() -> None:
    store, _ = bucket(data=b"1", failures=["AccessDenied"])
    with pytest.raises(StepError, match="refused"):
        store.check_conditions(NAME, b"1")


def test_a_list_that_cannot_be_moved_is_a_failure(tmp_path: Path) -> None:
    store, storage = bucket()
    store.keep("job/list", tmp_path / "list")
    store.fetch("job/list", tmp_path / "back")
    put, get = storage.moved
    assert (put.source, put.target) == (tmp_path / "list", S3Uri("b", "state/job/list"))
    assert (get.source, get.target) == (S3Uri("b", "state/job/list"), tmp_path / "back")
    storage.outcome = Outcome(StepError("lost", type="SlowDown"))
    for move in (store.keep, store.fetch):
        with pytest.raises(StepError, match="lost"):
            move("job/list", tmp_path / "x")
