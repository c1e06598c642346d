"""Calls of a user's function for batches of objects, on another machine."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Optional, Union

from rolerunner.actions.base import StepContext
from rolerunner.actions.functions import call_function, load_function
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import FunctionFailed
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Role
from rolerunner.redaction.redact import redact, redact_text
from rolerunner.selection.manifest import ObjectList
from rolerunner.storage.object_lines import parse_object_lines, split_lines
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Access
from rolerunner.storage.workers.timed_tasks import TASK_SECONDS, TimedItems
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
    """The results of some batches, added up, and their log messages.

    ``rest`` are the objects, or the lines of the list, for which the function was not called.
    """

    objects: int
    returned: Mapping[str, Any]
    notes: list[tuple[str, str, Mapping[str, Any]]]
    seconds: float
    rest: Sequence[Any] = ()

    def list_entries(self) -> Iterator[tuple[Any, int]]:
        """Yields the rest as it was before the task: lines as bytes. Their sizes are left out."""
        for entry in self.rest:
            yield f"{entry}\n".encode("ascii") if isinstance(entry, str) else entry, 0


@dataclass(frozen=True)
class ListedLines:
    """Objects as lines of a list, which a worker reads."""

    lines: bytes
    listed: ObjectList

    def split(self) -> list[str]:
        """Returns the lines."""
        return split_lines(self.lines.decode("ascii"))

    def read(self, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Yields the objects of some of the lines."""
        return map(self.listed.describe, parse_object_lines(lines))


@dataclass(frozen=True)
class FunctionBatches:
    """Calls of the function on another machine, for one batch of objects after the other.

    When the time of a task is over, the rest is returned.
    """

    function: str
    arguments: Mapping[str, Any]
    objects: Union[ListedLines, Sequence[dict[str, Any]]]
    batch: int
    about: StepDescription
    place: WorkerSetup

    def __call__(self, again: bool) -> BatchResult:
        """Calls the function. Raises StepError."""
        del again  # the function is told nothing of it: it must bear being called twice
        timed, items = self._begin()
        notes: list[tuple[str, str, Mapping[str, Any]]] = []
        with tempfile.TemporaryDirectory(prefix="rolerunner-") as folder:
            context = self._build_context(Path(folder), notes)
            function = load_function(self.function, context)
            count = 0
            returned: Mapping[str, Any] = {}
            for objects in divide_batches(items, self.batch):
                arguments = {**self.arguments, "objects": objects}
                numbers = call_function(self.function, function, arguments, context)
                returned = add_outputs(self.function, returned, numbers)
                count += len(objects)
        redacted = [
            (level, redact_text(message), redact(dict(values))) for level, message, values in notes
        ]
        return BatchResult(count, returned, redacted, timed.elapsed(), timed.list_rest())

    def _begin(self) -> tuple[TimedItems[Any], Iterable[dict[str, Any]]]:
        """Returns the entries of the task, and the objects of them for which there is time."""
        timed: TimedItems[Any]
        if isinstance(self.objects, ListedLines):
            timed = TimedItems(self.objects.split(), TASK_SECONDS, self.batch)
            return timed, self.objects.read(timed)
        timed = TimedItems(self.objects, TASK_SECONDS, self.batch)
        return timed, timed

    def _build_context(
        self, folder: Path, notes: list[tuple[str, str, Mapping[str, Any]]]
    ) -> StepContext:
        about, sessions = self.about, self.place.sessions()
        return StepContext(
            step_id=about.step_id,
            run_id=about.run_id,
            roles={"role": about.role} if about.role else {},
            sessions=sessions,
            open_storage=lambda role, access, pacer: self.place.opener(
                sessions, role, access or Access(), pacer or Pacer()
            ),
            workdir=folder,
            project=about.project,
            params=about.params,
            cancel=Cancel(),
            progress=lambda _: None,
            note=lambda level, message, values: notes.append((level, message, values)),
        )


def divide_batches(objects: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """Yields batches of at most ``size`` objects."""
    items = iter(objects)
    return iter(lambda: list(islice(items, size)), [])


def add_outputs(
    name: str, outputs: Mapping[str, Any], returned: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the outputs of several calls as one, with numbers added up. Raises FunctionFailed."""
    wrong = next(
        (
            key
            for key, value in returned.items()
            if isinstance(value, bool) or not isinstance(value, (int, float))
        ),
        None,
    )
    if wrong is not None:
        raise FunctionFailed(
            f"'{name}' returned a '{wrong}' that is not a number",
            hint="a function called for batches must return numbers, which are added up",
        )
    return {**outputs, **{key: outputs.get(key, 0) + value for key, value in returned.items()}}
