"""Commands are executed one after the other; an error of one is thrown into the generator."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.errors import StepError
from rolerunner.storage.deletion_commands import Commands, Pause, run_commands


def deletion() -> Commands[list[Any]]:
    results = [(yield Pause(1))]
    try:
        yield Pause(2)
    except StepError as error:
        results.append(error.message)
    results.append((yield Pause(3)))
    return results


def execute(command: Any) -> float:
    if command.seconds == 2:
        raise StepError("refused")
    return float(command.seconds * 10)


def test_results_and_errors_reach_the_generator() -> None:
    assert run_commands(deletion(), execute) == [10, "refused", 30]


def test_an_error_that_is_not_caught_ends_the_deletion() -> None:
    def ends() -> Commands[None]:
        yield Pause(2)

    with pytest.raises(StepError, match="refused"):
        run_commands(ends(), execute)
