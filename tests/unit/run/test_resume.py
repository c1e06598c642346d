"""A run without state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from rolerunner.errors import StepError, UsageError
from rolerunner.model import Failure, Job, Step, StepResult
from rolerunner.run.results import RunRecord, unstarted_result
from rolerunner.run.resume import (
    NOT_SELECTED,
    NoState,
    RunOptions,
    check_selection,
    find_unknown_input,
    open_state,
)
from rolerunner.run.selection import Selection

READER = Step("reader", "s3.list", {}, references=frozenset({"maker"}))
MAKER = Step("maker", "s3.list", {})
JOB = Job("j", (MAKER, READER))


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


def test_nothing_is_checked_where_all_steps_run() -> None:
    check_selection(JOB, Selection(), NoState())
    unknown = Job("j", (READER,))
    check_selection(unknown, Selection(), NoState())
    assert not NoState().has_step("maker")


@pytest.mark.parametrize(
    ("result", "is_known"),
    [
        (None, True),
        (unstarted_result(MAKER, "skipped"), True),
        (unstarted_result(MAKER, "skipped", reason=NOT_SELECTED), False),
        (replace(unstarted_result(MAKER, "skipped", reason=NOT_SELECTED), was="warning"), True),
    ],
)
def test_a_step_runs_unless_its_input_is_neither_selected_nor_known(
    result: Optional[StepResult], is_known: bool
) -> None:
    record = RunRecord({} if result is None else {"maker": result})
    found = find_unknown_input(READER, record)
    if is_known:
        assert found is None
    else:
        assert found == Failure(
            "NotSelected",
            "it reads from 'maker', which is not selected and has no state",
            "select it with --only, too, or name a run with --resume KEY",
        )


def test_a_key_needs_a_state() -> None:
    unused: Any = None
    assert isinstance(open_state(JOB, RunOptions(), unused), NoState)
    with pytest.raises(UsageError, match="the spec keeps no state, so there is nothing to resume"):
        open_state(JOB, RunOptions("key"), unused)


def test_a_run_takes_over_or_requires_nothing_unless_it_is_told() -> None:
    options = RunOptions()
    assert (options.must_exist, options.take_over, options.selection) == (False, False, Selection())
