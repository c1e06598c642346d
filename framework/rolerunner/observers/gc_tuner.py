"""Enables the garbage collector at the first step; earlier objects stay in use."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from rolerunner.actions import find_action
from rolerunner.common.gc_tuning import tune_for_one_run
from rolerunner.events import RunFinished, StepStarted

if TYPE_CHECKING:
    from rolerunner.actions.base import Action
    from rolerunner.events import Event


class GcTuner:
    """Enables the collector at the first step, and freezes objects at the end of the run.

    Skips the latter after code of others, whose objects may need collection, such as open files.
    """

    def __init__(self) -> None:
        self._settled = False
        self.is_foreign_code_called = False
        """True after a step that calls a user's function or is an action of another package."""

    def __enter__(self) -> GcTuner:
        gc.disable()
        return self

    def __exit__(self, *_: object) -> None:
        self._freeze_objects()

    def notify(self, event: Event) -> None:
        """Handles an event."""
        if isinstance(event, StepStarted):
            self._freeze_objects()
            action = find_action(event.step.action)
            if action is not None and _is_foreign(action):
                self.is_foreign_code_called = True
        elif isinstance(event, RunFinished) and not self.is_foreign_code_called:
            tune_for_one_run()

    def _freeze_objects(self) -> None:
        if not self._settled:
            self._settled = True
            tune_for_one_run()


def _is_foreign(action: type[Action]) -> bool:
    return action.calls_user_code or not action.__module__.startswith("rolerunner.")
