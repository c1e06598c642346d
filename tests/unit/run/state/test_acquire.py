"""Taking the lock of a run key: free, held, stale, taken over, refused."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Optional

import pytest

from rolerunner.errors import StateHeld, StepError, UsageError
from rolerunner.run.state.acquire import acquire_state, check_key
from rolerunner.run.state.lock_holder import LockHolder
from rolerunner.run.state.run_state import RunState
from rolerunner.run.state.stores import FolderStore, LockLost

ME, OTHER = LockHolder.now("me", 120), replace(LockHolder.now("other", 120), host="elsewhere")


@dataclass
class MemoryStore:
    """One document in memory, with the age and the failures that a test gives."""

    document: Optional[bytes] = None
    etag: str = ""
    seconds: Optional[float] = 0.0
    faster: int = 0
    """Writes that another run is faster than."""
    ignores_conditions: bool = False
    names: set[str] = field(default_factory=set)

    def read(self, name: str) -> Optional[tuple[bytes, str]]:
        self.names.add(name)
        return None if self.document is None else (self.document, self.etag)

    def age(self, name: str) -> Optional[float]:
        self.names.add(name)
        return self.seconds

    def write(self, name: str, data: bytes, etag: str) -> str:
        self.names.add(name)
        if self.faster:
            self.faster -= 1
            self.etag += "-theirs"
            raise LockLost("another run was faster", type="LockLost")
        if etag != self.etag:
            raise LockLost("it is not that document", type="LockLost")
        self.document, self.etag = data, f"{len(self.etag) + 1}"
        return self.etag

    def check_conditions(self, name: str, data: bytes) -> None:
        assert data == self.document
        self.names.add(name)
        if self.ignores_conditions:
            raise StepError("the server ignores conditions", type="NoConditionalWrites")

    def keep(self, name: str, path: Path) -> None:
        raise NotImplementedError

    def fetch(self, name: str, path: Path) -> None:
        raise NotImplementedError


def acquire(store: MemoryStore, holder: LockHolder = ME, **more: bool) -> RunState:
    return acquire_state(store, "job", "k", holder, **more)


def held(by: LockHolder = OTHER) -> MemoryStore:
    store = MemoryStore()
    acquire(store, by)
    return store


def test_a_new_key_is_taken_and_its_document_written() -> None:
    store = MemoryStore()
    state = acquire(store)
    assert (state.is_new, state.holder, store.names) == (True, ME, {"job/k.json"})
    assert b'"run_id": "me"' in (store.document or b"")


def test_a_key_that_was_released_is_taken_with_what_it_holds() -> None:
    store = MemoryStore()
    first = acquire(store)
    first.release()
    again = acquire(store, replace(ME, run_id="again"))
    assert (again.is_new, again.started, again.holder.run_id) == (False, first.started, "again")


def test_a_key_that_another_run_holds_is_refused_with_its_name() -> None:
    store = held()
    before = store.document
    with pytest.raises(StateHeld) as refused:
        acquire(store)
    told = str(refused.value)
    for part in ("run key 'k' of job 'job'", "run other on elsewhere", f"process {OTHER.pid}"):
        assert part in told
    assert f"since {OTHER.since}, last renewed {OTHER.renewed}; it can be taken 120 s" in told
    assert store.document == before


@pytest.mark.parametrize(("seconds", "is_free"), [(120.0, False), (120.5, True)])
def test_a_lock_is_stale_after_its_time_by_the_clock_of_the_store(
    seconds: float, is_free: bool
) -> None:
    store = held()
    store.seconds = seconds
    if is_free:
        assert acquire(store).holder == ME
    else:
        with pytest.raises(StateHeld):
            acquire(store)


@pytest.mark.parametrize(("seconds", "is_free"), [(60, False), (180, True)])
def test_without_a_clock_of_the_store_this_machines_decides(seconds: int, is_free: bool) -> None:
    renewed = datetime.now(timezone.utc) - timedelta(seconds=seconds)
    store = held(replace(OTHER, renewed=renewed.isoformat()))
    store.seconds = None
    if is_free:
        assert acquire(store).holder == ME
    else:
        with pytest.raises(StateHeld):
            acquire(store)


def test_a_lock_can_be_taken_over_from_a_run_that_lives() -> None:
    store = held()
    assert acquire(store, take_over=True).holder == ME


@pytest.mark.parametrize(
    ("faster", "take_over", "is_taken"),
    [(0, False, True), (1, False, False), (4, True, True), (5, True, False)],
)
def test_a_run_that_is_faster_wins_unless_its_lock_is_taken_over(
    faster: int, take_over: bool, is_taken: bool
) -> None:
    """A run that lives renews its lock, so taking it over is tried five times."""
    store = held()
    store.faster, store.seconds = faster, 1000.0
    if is_taken:
        assert acquire(store, take_over=take_over).holder == ME
    else:
        with pytest.raises(StateHeld, match="another run has just taken the run key 'k'"):
            acquire(store, take_over=take_over)
    assert store.faster == 0


def test_a_store_without_conditions_is_refused_and_the_lock_released() -> None:
    store = MemoryStore(ignores_conditions=True)
    with pytest.raises(StepError, match="ignores conditions"):
        acquire(store)
    store.ignores_conditions = False
    assert acquire(store, OTHER).holder == OTHER


def test_a_key_to_resume_must_exist() -> None:
    store = MemoryStore()
    with pytest.raises(UsageError, match="there is no state for the run key 'k' of job 'job'"):
        acquire(store, must_exist=True)
    assert store.document is None
    acquire(store).release()
    assert not acquire(store, must_exist=True).is_new


@pytest.mark.parametrize("key", ["a", "2026-01-01T00:00+01=x@y_z", "9" * 200])
def test_a_key_is_part_of_a_file_name(key: str, tmp_path: Path) -> None:
    assert check_key(key) == key
    acquire_state(FolderStore(tmp_path), "job", key, ME)
    assert (tmp_path / "job" / f"{key}.json").is_file()


@pytest.mark.parametrize("key", ["", "-a", ".a", "a/b", "a b", "a\n", "ä", "9" * 201])
def test_other_keys_are_refused(key: str) -> None:
    with pytest.raises(UsageError, match="is not a valid run key"):
        acquire_state(MemoryStore(), "job", key, ME)
