"""Notes about work that goes on elsewhere: found again with the same inputs only."""

from __future__ import annotations

from rolerunner.model import Step
from rolerunner.run.work_notes import StartedWork, WorkNote, WorkNotes


def start(notes: WorkNotes, *needs: str, key: str = "it", digest: str = "1") -> StartedWork:
    step = Step(key.partition("/")[0], "probe", {}, needs=needs)
    return StartedWork(key, step, "r", lambda: {"query": digest}, notes)


def test_a_note_is_found_again_with_the_same_inputs() -> None:
    notes = WorkNotes()
    assert start(notes).read() == ""
    start(notes, "before").write("q1")
    assert start(notes).read() == "q1"
    assert start(notes, digest="2").read() == ""
    assert notes.notes == {"it": WorkNote("it", "r", {"query": "1"}, ("before",), "q1")}
    start(notes).clear()
    assert notes.notes == {}


def test_every_change_is_written() -> None:
    written: list[list[str]] = []
    notes = WorkNotes(write=lambda found: written.append(sorted(found)))
    start(notes).write("q1")
    start(notes, key="it/1").write("q2")
    start(notes).clear()
    start(notes).clear()
    assert written == [["it"], ["it", "it/1"], ["it/1"]]


def test_notes_of_a_step_and_of_those_that_need_it() -> None:
    notes = WorkNotes()
    for key, needs in (("a/0", ()), ("a/1", ()), ("b", ("a", "x")), ("c", ("group",))):
        start(notes, *needs, key=key).write(key)
    notes.drop_step("a")
    assert sorted(notes.notes) == ["b", "c"]
    assert [note.text for note in notes.drop_dependents("a")] == ["b"]
    assert [note.text for note in notes.drop_dependents("group[1].find")] == ["c"]
    assert notes.drop_dependents("group") == []


def test_a_note_whose_reader_compares_is_kept_whatever_the_inputs() -> None:
    notes = WorkNotes()
    start(notes, "before").write("parts", same_inputs=False)
    assert start(notes, digest="2").read(same_inputs=False) == "parts"
    assert start(notes, digest="2").read() == ""
    assert notes.drop_dependents("before") == []
    assert not start(notes).is_kept
    assert start(WorkNotes(write=lambda _: None)).is_kept
