"""A run's own view of its state: what is done, what must be done again, and why."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar, Optional

import pytest

from rolerunner.actions.base import Action, StepContext
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import FieldError, StepError, UsageError
from rolerunner.events import Note
from rolerunner.model import Job, Permission, StateLocation, Step, StepResult
from rolerunner.redaction.secrets import register_secret
from rolerunner.run.environment import RunContext, RunEnvironment
from rolerunner.run.results import unstarted_result
from rolerunner.run.resume import NoState, ResumeState, RunOptions
from rolerunner.run.state import kept_state, restorer, state_work
from rolerunner.run.state.kept_state import open_kept_state
from rolerunner.run.state.leftovers import write_left
from rolerunner.run.state.lists import ListDamaged
from rolerunner.run.state.stores import LockLost
from rolerunner.run.work_notes import StartedWork

if TYPE_CHECKING:
    from pathlib import Path

SCOPE: Mapping[str, Any] = {"params": {}, "steps": {}, "run": {"id": "r", "error": ""}}
STEP = Step("a", "probe", {"n": 1})
ONCE = Step("a", "probe", {"idempotent": False})


class Probe(Action):
    """Does nothing."""

    n: int = 0

    def run(self, context: StepContext) -> Mapping[str, Any]:
        raise NotImplementedError

    def permissions(self) -> Mapping[str, list[Permission]]:
        return {}


class Writer(Probe):
    """Always leaves files on this machine."""

    writes_local_files: ClassVar[bool] = True


class Bench:
    """Runs of one key, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[Note] = []
        self.opened: list[ResumeState] = []
        self.cancel = Cancel()
        self.context = self.create_context()

    def create_context(self, run_id: str = "r") -> RunContext:
        unused: Any = None
        self.cancel = Cancel()
        environment = RunEnvironment(
            {"probe": Probe, "writer": Writer},
            unused,
            unused,
            self.folder / "work",
            self.folder,
            cancel=self.cancel,
        )
        return RunContext(run_id, {}, environment, 1, self.notes.append, True)  # type: ignore[arg-type]

    def open(self, run_id: str = "r", **options: Any) -> Any:
        for state in self.opened:
            state.release()
        self.context = self.create_context(run_id)
        place = StateLocation(str(self.folder / "state"))
        kept = open_kept_state(
            Job("j", ()), place, RunOptions(**{"run_key": "k", **options}), self.context
        )
        self.opened = [kept]
        self.notes.clear()
        return kept

    @property
    def reasons(self) -> list[tuple[str, str]]:
        return [(note.message, str(note.values.get("reason"))) for note in self.notes]


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    made = Bench(tmp_path)
    yield made
    for state in made.opened:
        state.release()


def done(step: Step = STEP, outputs: Any = None, **more: Any) -> StepResult:
    result = unstarted_result(step, "succeeded")
    return replace(result, outputs={"m": 2} if outputs is None else outputs, **more)


def restore(kept: Any, step: Step = STEP, **more: Any) -> Optional[StepResult]:
    found: Optional[StepResult] = kept.restore_result(
        step, lambda: more.get("scope", SCOPE), more.get("repeated", set())
    )
    return found


def test_a_step_that_is_done_is_skipped_with_its_outputs(bench: Bench) -> None:
    kept = bench.open("first")
    assert (kept.is_resumed, kept.has_step("a"), restore(kept), kept.lost) == (
        False,
        False,
        None,
        None,
    )
    assert kept.record_result(STEP, done(seconds=1.5), SCOPE, []).status == "succeeded"
    kept = bench.open("second")
    assert (kept.is_resumed, kept.has_step("a")) == (True, True)
    found = restore(kept)
    assert found is not None
    assert (found.status, found.was, found.outputs) == ("skipped", "succeeded", {"m": 2})
    assert found.reason == "completed by run first"
    assert isinstance(kept.started, datetime)
    assert abs((datetime.now(timezone.utc) - kept.started).total_seconds()) < 600
    assert bench.notes == []


def test_the_key_of_a_run_is_its_id_unless_it_has_one(bench: Bench) -> None:
    bench.open("r1", run_key="")
    assert (bench.folder / "state" / "j" / "r1.json").is_file()


def test_observers_are_told_of_the_state(bench: Bench) -> None:
    kept = bench.open()
    kept.start()
    (note,) = bench.notes
    assert (note.level, note.message) == ("info", "state_held")
    assert note.values == {"key": "k", "resumes": False}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fields": {"n": 2}}, "its 'n' changed"),
        ({"fields": {}}, "its 'n' changed"),
        ({"fields": {"n": 1, "more": 1}}, "its 'more' changed"),
        ({"action": "writer"}, "its 'action' changed"),
        ({"needs": ("before",)}, "it depends on 'before', which runs again"),
        ({"secret_outputs": ("m",)}, "its outputs are secret, and an earlier run kept them"),
    ],
)
def test_a_step_whose_inputs_changed_is_done_again(
    change: dict[str, Any], reason: str, bench: Bench
) -> None:
    bench.open().record_result(STEP, done(), SCOPE, [])
    kept = bench.open()
    assert restore(kept, replace(STEP, **change), repeated={"before"}) is None
    assert bench.reasons == [("done_again", reason)]
    assert restore(kept, replace(STEP, needs=("before",))) is not None


def test_a_step_whose_inputs_cannot_be_resolved_is_done_again(bench: Bench) -> None:
    bench.open().record_result(STEP, done(), SCOPE, [])

    def broken() -> Mapping[str, Any]:
        raise FieldError("no such output")

    assert bench.open().restore_result(STEP, broken, set()) is None
    assert bench.reasons == [("done_again", "no such output")]


def left_of(bench: Bench, step: Step = STEP) -> Path:
    left = bench.folder / "left.txt"
    left.write_text("x")
    listed = bench.folder / "a.left.jsonl"
    write_left([str(left)], listed, Cancel())
    bench.open().record_result(step, done(step), SCOPE, [listed])
    return left


def test_a_step_whose_files_changed_is_done_again(bench: Bench) -> None:
    left = left_of(bench)
    kept = bench.open()
    assert restore(kept) is not None
    assert bench.context.distrusted == set()
    left.write_text("changed")
    assert restore(kept) is None
    assert bench.reasons == [("done_again", f"{left} changed")]
    assert bench.context.distrusted == {"a"}


def test_a_record_of_an_earlier_release_is_trusted_where_no_files_are_written(
    bench: Bench,
) -> None:
    writer = replace(STEP, action="writer")
    for step, reason in ((STEP, ""), (writer, "an earlier release completed it without recording")):
        bench.open().record_result(step, done(step), SCOPE, [])
        kept = bench.open()
        del kept._state.steps["a"]["left"]
        bench.notes.clear()
        assert (restore(kept, step) is None) is bool(reason)
        assert [reason in told for _, told in bench.reasons] == ([True] if reason else [])


def test_a_list_that_is_damaged_is_made_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.open().record_result(STEP, done(), SCOPE, [])
    kept = bench.open()

    def damaged(*_: Any) -> Any:
        raise ListDamaged("its list is gone", type="StateDamaged")

    monkeypatch.setattr(restorer, "restore_outputs", damaged)
    assert restore(kept) is None
    assert bench.reasons == [("done_again", "its list is gone")]
    unselected = kept.restore_unselected(STEP)
    assert unselected.status == "failed"
    assert unselected.error is not None
    assert (unselected.error.type, unselected.error.message) == ("StateDamaged", "its list is gone")
    assert unselected.error.hint == "name the step with --only, too: --only a"

    def unreachable(*_: Any) -> Any:
        raise StepError("no route", hint="wait", type="SlowDown")

    monkeypatch.setattr(restorer, "restore_outputs", unreachable)
    failed = restore(kept)
    assert failed is not None
    assert failed.error is not None
    assert failed.error.message == "its outputs cannot be restored: no route"
    assert (failed.error.type, failed.error.hint) == ("SlowDown", "wait")


def test_a_step_whose_files_cannot_be_compared_is_done_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_of(bench)
    kept = bench.open()

    def unreachable(*_: Any) -> Any:
        raise StepError("no route", type="SlowDown")

    monkeypatch.setattr(restorer, "find_left_change", unreachable)
    assert restore(kept) is None
    reason = "the files that it left cannot be read: no route"
    assert bench.reasons == [("done_again", reason)]
    assert bench.context.distrusted == {"a"}


def test_files_of_another_machine_cannot_be_compared(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_of(bench)
    kept = bench.open()
    monkeypatch.setattr("socket.gethostname", lambda: "other")
    assert restore(kept) is None
    ((message, reason),) = bench.reasons
    assert message == "done_again"
    assert reason.startswith("its files are on ")
    assert reason.endswith(", and this is other")


def test_a_step_that_was_not_selected_is_skipped_and_a_change_noted(bench: Bench) -> None:
    left = left_of(bench)
    kept = bench.open()
    assert kept.restore_unselected(STEP).outputs == {"m": 2}
    assert bench.notes == []
    left.write_text("changed")
    found = kept.restore_unselected(STEP)
    assert (found.status, found.reason) == ("skipped", "it was not selected")
    assert bench.reasons == [
        ("it is not repeated, although the files that it left changed", f"{left} changed")
    ]
    unknown = kept.restore_unselected(replace(STEP, id="b"))
    assert (unknown.status, unknown.reason, unknown.outputs) == (
        "skipped",
        "it was not selected",
        {},
    )


def test_a_call_whose_outcome_is_unknown_is_not_made_again(bench: Bench) -> None:
    kept = bench.open("first")
    kept.mark_begun(ONCE)
    kept = bench.open("second")
    found = restore(kept, ONCE)
    assert found is not None
    assert found.error is not None
    assert (found.status, found.error.type) == ("failed", "OutcomeUnknown")
    assert "run first began this step" in found.error.message
    assert "--only a" in found.error.hint
    assert restore(kept, STEP) is None, "a step that may be repeated is"


@pytest.mark.parametrize(
    ("error", "is_cleared"),
    [(StepError("no", type="AccessDenied"), True), (StepError("lost", type="Stopped"), False)],
)
def test_a_call_that_is_known_to_have_failed_may_be_made_again(
    error: StepError, is_cleared: bool, bench: Bench
) -> None:
    kept = bench.open()
    kept.mark_begun(STEP)
    assert kept._state.begun == {}, "a call that may be repeated is not marked"
    kept.mark_begun(ONCE)
    kept.clear_begun(ONCE, error)
    assert (kept._state.begun == {}) is is_cleared


def test_only_completed_steps_are_recorded(bench: Bench) -> None:
    kept = bench.open()
    for status in ("failed", "skipped", "not_run"):
        result = replace(done(), status=status)
        assert kept.record_result(STEP, result, SCOPE, []) is result
    assert not kept.has_step("a")
    warned = replace(done(), status="warning")
    assert kept.record_result(STEP, warned, SCOPE, []) is warned
    found = restore(bench.open())
    assert (found and found.was) == "warning"


def test_secret_outputs_are_not_kept(bench: Bench) -> None:
    kept = bench.open()
    kept.record_result(STEP, done(), SCOPE, [])
    secret = done(outputs={"x": register_secret("secret-of-kept-state")})
    assert kept.record_result(STEP, secret, SCOPE, []) is secret
    assert not kept.has_step("a")
    told = "not kept in the state, so a resumed run repeats it"
    assert bench.reasons == [(told, "its outputs hold secrets")]


def test_outputs_without_a_json_form_are_not_kept(bench: Bench) -> None:
    kept = bench.open()
    result = done(outputs={"x": object()})
    assert kept.record_result(STEP, result, SCOPE, []) is result
    assert not kept.has_step("a")
    assert [note.level for note in bench.notes] == ["warning"]


def test_a_step_that_cannot_be_recorded_has_failed(bench: Bench) -> None:
    kept = bench.open()
    kept._state.lost = LockLost("taken", hint="look", type="LockLost")
    result = kept.record_result(STEP, done(), SCOPE, [])
    assert result.error is not None
    assert (result.status, result.outputs) == ("failed", {"m": 2})
    assert result.error.message == "done, but the state could not be written: taken"
    assert (result.error.type, result.error.hint) == ("LockLost", "look")


def test_a_step_that_a_lost_lock_stopped_is_told_so(bench: Bench) -> None:
    kept = bench.open()
    stopped, other = StepError("stopped", type="Stopped"), StepError("no", type="AccessDenied")
    assert kept.explain_stop(stopped) is stopped
    lost = kept._state.lost = LockLost("taken", type="LockLost")
    assert kept.lost is lost
    assert kept.explain_stop(stopped) is lost
    assert kept.explain_stop(other) is other


def test_a_lost_lock_stops_the_run(bench: Bench) -> None:
    kept = bench.open()
    kept._state.stop_writing(LockLost("taken", type="LockLost"))
    assert bench.cancel.is_set()
    assert [(note.level, note.message) for note in bench.notes] == [("error", "taken")]


def test_a_key_that_another_run_takes_over_is_lost(bench: Bench) -> None:
    first = bench.open("first")
    bench.opened = []
    bench.open("second", take_over=True)
    assert first.record_result(STEP, done(), SCOPE, []).status == "failed"
    assert first.lost is not None
    first.release()


def test_a_lock_that_cannot_be_released_is_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = bench.open()

    def broken() -> None:
        raise StepError("no route")

    monkeypatch.setattr(kept._state, "release", broken)
    with caplog.at_level(logging.WARNING, "rolerunner"):
        kept.release()
    assert "the lock of run key k could not be released: no route" in caplog.text


@pytest.mark.parametrize(("is_stopping", "seconds"), [(False, 60.0), (True, 1.0)])
def test_the_release_of_a_lock_has_a_time(
    is_stopping: bool, seconds: float, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, limits = bench.open(), []
    if is_stopping:
        bench.cancel.set()

    def run(work: Any, cancel: Cancel, *times: float) -> None:
        assert not cancel.is_set()
        limits.append(times)
        work()

    monkeypatch.setattr(kept_state, "run_with_timeout", run)
    kept.release()
    assert limits == [(seconds, 0)]


@pytest.mark.parametrize(
    ("step", "is_soon"),
    [(STEP, False), (ONCE, False), (replace(STEP, id="g[x].a"), True),
     (replace(ONCE, id="g[x].a"), False)],
)  # fmt: skip
def test_only_steps_of_groups_that_may_be_repeated_wait_to_be_written(
    step: Step, is_soon: bool, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, soon = bench.open(), []
    monkeypatch.setattr(kept._state, "record_step", lambda *_, **more: soon.append(more))
    kept.record_result(step, done(step), SCOPE, [])
    assert soon == [{"soon": is_soon}]


def test_a_mark_of_an_earlier_run_outlives_a_step_that_may_now_be_repeated(bench: Bench) -> None:
    bench.open("first").mark_begun(ONCE)
    kept = bench.open("second")
    kept.clear_begun(STEP, StepError("no", type="AccessDenied"))
    assert kept._state.begun == {"a": "first"}


def test_a_state_that_hangs_holds_neither_step_nor_end(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_state, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(state_work, "GRACE_SECONDS", 0.0)
    kept, release = bench.open(), threading.Event()

    def hang(*_: Any, **__: Any) -> None:
        release.wait(60)

    monkeypatch.setattr(kept._state, "record_step", hang)
    bench.cancel.set()
    result = kept.record_result(STEP, done(), SCOPE, [])
    assert result.error is not None
    assert result.error.type == "Stopped"
    with caplog.at_level(logging.WARNING, "rolerunner"):
        kept.release()
    release.set()
    assert "is not released: its state does not answer" in caplog.text


def test_a_state_that_cannot_be_used_is_a_usage_error(bench: Bench) -> None:
    (bench.folder / "state").write_text("a file")
    with pytest.raises(UsageError, match=r"the state at .*/state cannot be used: "):
        bench.open()


@pytest.mark.parametrize(("hint", "rest"), [("", ""), ("look there", "\nlook there")])
def test_a_state_that_cannot_be_used_says_what_to_do(
    hint: str, rest: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise StepError("no route", hint=hint)

    monkeypatch.setattr(kept_state, "acquire_state", fail)
    with pytest.raises(UsageError) as refused:
        bench.open()
    assert str(refused.value).endswith(f"cannot be used: no route{rest}")


def test_a_run_that_was_stopped_while_it_waited_starts_nothing(bench: Bench) -> None:
    place = StateLocation(str(bench.folder / "state"))
    (bench.folder / "state").write_text("a file")
    bench.cancel.set()
    kept = open_kept_state(Job("j", ()), place, RunOptions(run_key="k"), bench.context)
    assert isinstance(kept, NoState)


def note_work(bench: Bench, step: str = "b", *needs: str, text: str = "q1") -> StartedWork:
    noting = Step(step, "probe", {}, needs=needs)
    context = bench.context
    work = StartedWork(f"./{step}", noting, context.run_id, lambda: {"n": "1"}, context.work_notes)
    if text:
        work.write(text)
    return work


def test_started_work_outlives_a_run_that_dies(bench: Bench) -> None:
    bench.open("first").start()
    note_work(bench, "b", "a")
    bench.open("second").start()
    assert note_work(bench, text="").read() == "q1"
    note_work(bench, text="").clear()
    bench.open("third").start()
    assert note_work(bench, text="").read() == ""
    document = (bench.folder / "state" / "j" / "k.json").read_text()
    assert "started_work" not in document  # which earlier releases would refuse


def test_the_record_of_a_step_replaces_its_note(bench: Bench) -> None:
    kept = bench.open("first")
    kept.start()
    note_work(bench, "a")
    assert kept.record_result(STEP, done(), SCOPE, []).status == "succeeded"
    assert bench.context.work_notes.notes == {}
    bench.open("second").start()
    assert bench.context.work_notes.notes == {}


def test_outputs_that_are_not_stored_leave_no_note_either(bench: Bench) -> None:
    kept = bench.open("first")
    kept.start()
    note_work(bench, "a")
    secret = register_secret("s3cret-value")
    kept.record_result(STEP, done(outputs={"token": secret}), SCOPE, [])
    bench.open("second").start()
    assert bench.context.work_notes.notes == {}


def test_work_is_outdated_once_a_step_before_it_runs_again(bench: Bench) -> None:
    bench.open("first").start()
    note_work(bench, "b", "a")
    note_work(bench, "c")
    kept = bench.open("second")
    kept.start()
    bench.notes.clear()
    assert restore(kept) is None  # the step a runs
    assert [(note.step_id, note.level) for note in bench.notes] == [("b", "warning")]
    assert bench.notes[0].values == {"work": "q1", "run": "first", "reason": "'a' runs again"}
    bench.open("third").start()
    assert [note.step for note in bench.context.work_notes.notes.values()] == ["c"]


@pytest.mark.parametrize(
    "change",
    [
        {"text": 1}, {"needs": "a"}, {"needs": [1]}, {"fingerprint": []}, {"step": None},
        {"fingerprint": {"n": 1}},
    ],
)  # fmt: skip
def test_a_damaged_note_is_refused(change: dict[str, Any], bench: Bench) -> None:
    bench.open("first").start()
    note_work(bench)
    path = bench.folder / "state" / "j" / "k.json"
    bench.opened.pop().release()
    document = json.loads(path.read_text())
    document["started_work"]["./b"].update(change)
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match="is damaged: 'started_work"):
        bench.open("second")
