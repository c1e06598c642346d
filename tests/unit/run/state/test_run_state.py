"""The document of a run key while a run holds it."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.run.state import run_state
from rolerunner.run.state.acquire import acquire_state
from rolerunner.run.state.leftovers import write_left
from rolerunner.run.state.lists import NotStorable
from rolerunner.run.state.lock_holder import LockHolder
from rolerunner.run.state.run_state import RunState
from rolerunner.run.state.step_record import StepRecord, find_left_change, restore_outputs
from rolerunner.run.state.stores import FolderStore, LockLost

if TYPE_CHECKING:
    from pathlib import Path

RECORD = StepRecord("succeeded", {"n": 1}, {"x": "y"}, "me", 0.5)


class Bench:
    """A state in a folder, and its document as another run would read it."""

    def __init__(self, folder: Path) -> None:
        self.store = FolderStore(folder / "state")
        self.folder = folder
        self.state = acquire_state(self.store, "j", "k", LockHolder.now("me", 120))

    def document(self) -> Any:
        found = self.store.read("j/k.json")
        assert found is not None
        return json.loads(found[0])

    def reopen(self) -> RunState:
        holder = LockHolder.now("next", 120)
        return acquire_state(self.store, "j", "k", holder, take_over=True)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_completed_step_is_found_by_the_next_run(bench: Bench) -> None:
    assert bench.state.find_step("a") is None
    bench.state.record_step("a", RECORD)
    bench.state.record_step("b", replace(RECORD, status="warning", outputs={"m": [2]}))
    found = bench.reopen()
    assert found.find_step("a") == RECORD
    assert found.find_step("b") == replace(RECORD, status="warning", outputs={"m": [2]})
    assert restore_outputs(RECORD, found.store, bench.folder) == {"n": 1}
    assert found.find_step("c") is None


def test_a_step_that_is_done_again_replaces_its_record(bench: Bench) -> None:
    bench.state.record_step("a", RECORD)
    bench.state.record_step("a", replace(RECORD, outputs={"n": 2}))
    assert bench.document()["steps"]["a"]["outputs"] == {"n": 2}
    bench.state.drop_step("a")
    assert bench.document()["steps"] == {}
    before = bench.state.etag
    bench.state.drop_step("a")
    assert bench.state.etag == before, "nothing is written"
    assert bench.reopen().find_step("a") is None


def test_a_record_of_an_earlier_release_has_no_files(bench: Bench) -> None:
    bench.state.record_step("a", RECORD)
    del bench.state.steps["a"]["left"]
    found = bench.state.find_step("a")
    assert found == replace(RECORD, has_left=False)
    del bench.state.steps["a"]["seconds"]
    assert bench.state.find_step("a") == replace(RECORD, has_left=False, seconds=0.0)


def test_a_call_that_began_is_known_until_it_has_ended(bench: Bench) -> None:
    bench.state.mark_begun("a")
    bench.state.mark_begun("b")
    assert bench.document()["begun"] == {"a": "me", "b": "me"}
    bench.state.record_step("a", RECORD)
    assert bench.document()["begun"] == {"b": "me"}
    bench.state.clear_begun("b")
    assert bench.document()["begun"] == {}
    before = bench.state.etag
    bench.state.clear_begun("b")
    assert bench.state.etag == before


def test_outputs_that_have_no_json_form_drop_the_step(bench: Bench) -> None:
    bench.state.record_step("a", RECORD)
    with pytest.raises(NotStorable):
        bench.state.record_step("a", replace(RECORD, outputs={"x": object()}))
    assert bench.document()["steps"] == {}


def test_a_renewal_tells_when_and_keeps_the_holder(bench: Bench) -> None:
    before = bench.document()["holder"]
    bench.state.holder = replace(bench.state.holder, renewed="2000-01-01T00:00:00.000+00:00")
    bench.state.renew()
    after = bench.document()["holder"]
    assert after["renewed"] >= before["renewed"]
    assert {**after, "renewed": ""} == {**before, "renewed": ""}


def test_a_released_key_is_held_by_nobody_and_not_renewed(bench: Bench) -> None:
    bench.state.record_step("a", RECORD)
    bench.state.release()
    released = bench.document()
    assert released["holder"]["run_id"] == ""
    assert list(released["steps"]) == ["a"]
    bench.state.renew()
    assert bench.document() == released


def test_a_released_lock_is_not_watched(bench: Bench) -> None:
    bench.state.keep_lock(lambda: None)
    renewal = bench.state._renewal
    assert renewal is not None
    bench.state.release()
    assert renewal._ended.is_set()


def test_a_run_whose_key_was_taken_writes_nothing_more(bench: Bench) -> None:
    told: list[bool] = []
    bench.state._on_lost = lambda: told.append(True)
    bench.reopen()
    theirs = bench.document()
    for write in (bench.state.renew, lambda: bench.state.record_step("a", RECORD)):
        with pytest.raises(LockLost):
            write()
    bench.state.release()
    assert bench.document() == theirs
    assert (told, isinstance(bench.state.lost, LockLost)) == ([True], True)
    first = bench.state.lost
    bench.state.stop_writing(StepError("again"))
    assert (told, bench.state.lost) == ([True], first)


def test_the_size_of_a_document_is_limited(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(bench.state._render_document())
    monkeypatch.setattr(run_state, "MAX_BYTES", size)
    bench.state.acquire()
    monkeypatch.setattr(run_state, "MAX_BYTES", size - 1)
    with pytest.raises(StepError, match=rf"would have {size} bytes; the limit is {size - 1}") as no:
        bench.state.acquire()
    assert (no.value.type, bench.state.lost) == ("TooLarge", None)


def test_files_that_a_step_left_are_compared(bench: Bench) -> None:
    left = bench.folder / "left.txt"
    left.write_text("x")
    listed = bench.folder / "a.left.jsonl"
    write_left([str(left)], listed, Cancel())
    bench.state.record_step("a", RECORD, [listed])
    found = bench.reopen()
    record = found.find_step("a")
    assert record is not None
    assert record.left is not None
    assert find_left_change(record, found.store, bench.folder, Cancel()) == ""
    left.write_text("changed")
    assert find_left_change(record, found.store, bench.folder, Cancel()) == f"{left} changed"
    elsewhere = replace(record, left={**record.left, "host": "elsewhere"})
    assert find_left_change(elsewhere, found.store, bench.folder, Cancel()) == (
        f"its files are on elsewhere, and this is {socket.gethostname()}"
    )
    missing = replace(record, left={**record.left, "name": "j/k/a-left-none.jsonl"})
    assert "is not in the state any more" in find_left_change(
        missing, found.store, bench.folder, Cancel()
    )
    assert find_left_change(RECORD, found.store, bench.folder, Cancel()) == ""


def test_the_last_write_is_timed_by_its_begin(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write may take long: the lock is stale so long after it began, not after it ended."""
    times = iter([100.0, 200.0])
    monkeypatch.setattr(run_state, "elapsed", lambda: next(times))
    bench.state.renew()
    assert bench.state.renewed == 100.0


def test_steps_inside_groups_are_written_together(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_state, "_SHORTEST_PAUSE", 60.0)
    assert bench.document()["version"] == 1
    bench.state.record_step("g[a].x", RECORD)
    assert bench.document()["version"] == 2, "which earlier releases refuse"
    for step in ("g[b].x", "g[#2].x"):
        bench.state.record_step(step, RECORD, soon=True)
    assert list(bench.document()["steps"]) == ["g[a].x"]
    assert bench.state.find_step("g[b].x") == RECORD
    assert bench.state.has_group("g")
    assert not bench.state.has_group("h")
    bench.state.flush()
    assert list(bench.document()["steps"]) == ["g[a].x", "g[b].x", "g[#2].x"]
    bench.state.flush()
    bench.state.record_step("g[c].x", RECORD, soon=True)
    bench.state.release()
    assert "g[c].x" in bench.document()["steps"]
    assert bench.reopen().find_step("g[#2].x") == RECORD


def test_steps_inside_groups_are_written_without_a_further_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_state, "_SHORTEST_PAUSE", 0.01)
    bench.state.record_step("g[a].x", RECORD)
    bench.state.record_step("g[b].x", RECORD, soon=True)
    deadline = time.monotonic() + 10
    while "g[b].x" not in bench.document()["steps"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "g[b].x" in bench.document()["steps"]


def test_a_lost_lock_keeps_steps_inside_groups_from_being_written(bench: Bench) -> None:
    bench.reopen()
    with pytest.raises(LockLost):
        bench.state.record_step("g[a].x", RECORD)
    with pytest.raises(LockLost):
        bench.state.record_step("g[b].x", RECORD, soon=True)


@pytest.mark.parametrize(
    ("seconds", "pause"), [(0.0, 0.05), (0.0025, 0.05), (0.1, 2.0), (0.25, 5.0), (9.0, 5.0)]
)
def test_writes_of_steps_inside_groups_take_a_twentieth_of_the_time(
    seconds: float, pause: float, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([100.0, 100.0 + seconds])
    monkeypatch.setattr(run_state, "elapsed", lambda: next(times))
    bench.state.renew()
    assert bench.state._next_write == pytest.approx(100.0 + seconds + pause, abs=1e-6)


def test_a_write_that_is_pending_is_made_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.state._next_write = 160.0
    monkeypatch.setattr(run_state, "elapsed", lambda: 100.0)
    bench.state.record_step("g[a].x", RECORD, soon=True)
    timer = bench.state._pending
    assert timer is not None
    assert (timer.daemon, timer.interval, timer.finished.is_set()) == (True, 60.0, False)
    bench.state.flush()
    assert timer.finished.is_set()
    bench.state._next_write = 100.0
    bench.state.record_step("g[b].x", RECORD, soon=True)
    assert bench.state._pending is None, "the time for the next write has come"
