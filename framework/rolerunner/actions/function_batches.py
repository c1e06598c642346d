"""Calls of a user's function for one batch of objects, on another machine."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from rolerunner.actions.base import StepContext
from rolerunner.actions.functions import call_function, load_function
from rolerunner.common.cancellation import Cancel
from rolerunner.model import Role
from rolerunner.redaction.redact import redact, redact_text
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Access
from rolerunner.storage.workers.worker_setup import WorkerSetup


@dataclass(frozen=True)
class StepDescription:
    """The parts of a step that a function on another machine needs."""

    step_id: str
    run_id: str
    role: Optional[Role]
    project: Path
    params: Mapping[str, Any]

    @classmethod
    def of(cls, context: StepContext) -> "StepDescription":
        """Describes the step of a context."""
        return cls(
            context.step_id,
            context.run_id,
            context.roles.get("role"),
            context.project,
            dict(context.params),
        )


@dataclass(frozen=True)
class BatchResult:
    """The values that a function returned for a batch, and its log messages."""

    objects: int
    returned: Mapping[str, Any]
    notes: list[tuple[str, str, Mapping[str, Any]]]


@dataclass(frozen=True)
class FunctionBatch:
    """A call of the function on another machine."""

    function: str
    arguments: Mapping[str, Any]
    objects: list[dict[str, Any]]
    about: StepDescription
    place: WorkerSetup

    def __call__(self, again: bool) -> BatchResult:
        """Calls the function. Raises StepError."""
        del again  # the function is told nothing of it: it must bear being called twice
        notes: list[tuple[str, str, Mapping[str, Any]]] = []
        about, sessions = self.about, self.place.sessions()
        with tempfile.TemporaryDirectory(prefix="rolerunner-") as folder:
            context = StepContext(
                step_id=about.step_id,
                run_id=about.run_id,
                roles={"role": about.role} if about.role else {},
                sessions=sessions,
                open_storage=lambda role, access, pacer: self.place.opener(
                    sessions, role, access or Access(), pacer or Pacer()
                ),
                workdir=Path(folder),
                project=about.project,
                params=about.params,
                cancel=Cancel(),
                progress=lambda _: None,
                note=lambda level, message, values: notes.append((level, message, values)),
            )
            returned = call_function(
                self.function,
                load_function(self.function, context),
                {**self.arguments, "objects": self.objects},
                context,
            )
        return BatchResult(
            len(self.objects),
            returned,
            [
                (level, redact_text(message), redact(dict(values)))
                for level, message, values in notes
            ],
        )
