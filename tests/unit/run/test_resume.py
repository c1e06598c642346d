"""A run without state."""

from __future__ import annotations

import pytest

from rolerunner.errors import StepError, UsageError
from rolerunner.model import Job, Step
from rolerunner.run.results import unstarted_result
from rolerunner.run.resume import NoState, check_selection
from rolerunner.run.selection import Selection

READER = Step("reader", "s3.list", {}, references=frozenset({"maker"}))
JOB = Job("j", (Step("maker", "s3.list", {}), READER))


def test_a_run_without_state_knows_nothing_and_changes_nothing() -> None:
    state, error = NoState(), StepError("x", type="Stopped")
    result = unstarted_result(READER, "succeeded")
    assert state.restore_result(READER, dict, set()) is None
    assert state.record_result(READER, result, {}, ()) is result
    assert state.explain_stop(error) is error
    assert (state.started, state.lost, state.is_resumed) == (None, None, False)
    unselected = state.restore_unselected(READER)
    assert (unselected.status, unselected.reason) == ("skipped", "it was not selected")


def test_a_selected_step_must_not_read_unknown_outputs() -> None:
    with pytest.raises(UsageError, match="'reader' reads from 'maker'"):
        check_selection(JOB, Selection.of(["reader"]), NoState())
    check_selection(JOB, Selection.of(["reader", "maker"]), NoState())
    check_selection(JOB, Selection.of(["maker"]), NoState())
