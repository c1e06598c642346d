"""What every action is made of: its fields with templates filled in, its work, its permissions, its docs."""

import random
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Optional, Union

from pydantic import Field

from rolerunner.common.cancellation import Cancel
from rolerunner.common.files import TargetFolder
from rolerunner.errors import EmptySource
from rolerunner.events import StepProgress
from rolerunner.model import Failure, Permission, Role
from rolerunner.selection.manifest import ManifestWriter
from rolerunner.spec.action_schema import ActionSchema
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Access, Storage

if TYPE_CHECKING:
    from rolerunner.run.workspace import Workspace
    from rolerunner.selection.collisions import ClaimedNames
    from rolerunner.sessions.registry import (
        Sessions,  # imports boto3, which checking a spec does not need
    )
    from rolerunner.storage.workers.distributed import Distribution

__all__ = [
    "Action",
    "Field",
    "InputPath",
    "MirroredFolder",
    "OpenStorage",
    "OutputsWithWarning",
    "StepContext",
    "handle_empty_source",
    "iter_polls",
]


OpenStorage = Callable[[Role, Optional[Access], Optional[Pacer]], Storage]
"""Role, what each request says of itself, how fast they go -> S3 under the role."""


@dataclass(frozen=True)
class MirroredFolder:
    """A folder that a step made the same as its source: files that others add to it count as a change."""

    folder: str


@dataclass(frozen=True)
class InputPath:
    """A path that a step was given: it must still be there, whatever it holds."""

    path: str


@dataclass(frozen=True)
class StepContext:
    """What an action is given besides its fields."""

    step_id: str
    run_id: str
    roles: Mapping[str, Role]
    sessions: "Sessions"
    open_storage: OpenStorage
    workdir: Path
    """A folder of this run for manifests; it outlives the step."""
    project: Path
    """The folder of the spec."""
    params: Mapping[str, Any]
    cancel: Cancel
    progress: Callable[[StepProgress], None]
    note: Callable[[str, str, Mapping[str, Any]], None]
    """level, message, values."""
    is_resumed: bool = False
    """May an earlier try or run have done a part of this step? Then what is already right is not done again."""
    outputs_changed: bool = False
    """Whether an earlier run did this step and what it left was found changed: files are then the same by their content alone."""
    is_retry: bool = False
    """Whether an earlier try of this run may have done a part of this step: a conditional write may then meet what it stored itself."""
    open_spread: Optional[Callable[[], "Distribution"]] = None
    """Other machines, for a step that says ``distribute``; None where they could not be who this job is."""
    target_claims: Optional["ClaimedNames"] = None
    """Targets that the items of a for_each claim before they use them; None for a step that is done once."""
    workspace: Optional["Workspace"] = None

    def storage(
        self,
        role_field: str = "role",
        access: Optional[Access] = None,
        flow: Optional[Pacer] = None,
        *,
        distribute: Optional[str] = None,
    ) -> Storage:
        """S3 under one of the step's roles; with ``distribute`` its calls over many objects go over many machines. Raises StepError."""
        role = self.roles[role_field]
        here = self.open_storage(role, access, flow)
        spread = self.spread(distribute)
        return (
            here
            if spread is None
            else spread.storage(role, access or Access(), flow or Pacer(), here, self.cancel)
        )

    def spread(self, distribute: Optional[str]) -> Optional["Distribution"]:
        """The machines that ``distribute`` names; None for this one alone. Raises StepError where they are not there."""
        return None if distribute is None or self.open_spread is None else self.open_spread()

    def target_folder(self, path: Path) -> AbstractContextManager[TargetFolder]:
        """The folder that a download writes below, while it does; its temporary files do not outlive the run."""
        return (
            nullcontext(TargetFolder.at(path))
            if self.workspace is None
            else self.workspace.target_folder(path)
        )

    def manifest(self, part: str = "") -> ManifestWriter:
        """The step's list of objects, to write; ``part`` names one besides it."""
        return ManifestWriter(self.manifest_path(part))

    def manifest_path(self, part: str = "") -> Path:
        """Where that list is."""
        return self.workdir / f"{self.step_id}{part}.jsonl"


class OutputsWithWarning(dict[str, Any]):
    """Outputs of a step that is done but for what ``warning`` says: the step ends as ``warning``."""

    def __init__(self, outputs: Mapping[str, Any], warning: Failure) -> None:
        super().__init__(outputs)
        self.warning = warning


class Action(ActionSchema):
    """An action with its fields filled in: ``run`` does the work, ``permissions`` tells what it needs."""

    moves_objects: ClassVar[bool] = False
    """Transfers or copies the bytes of many objects, and so benefits from worker processes."""
    stores_objects: ClassVar[bool] = False
    """Stores objects under its field ``target``."""
    deletes_objects: ClassVar[bool] = False
    """Deletes the objects that it works on."""
    calls_user_code: ClassVar[bool] = False
    """Calls the function that its field ``function`` names."""
    calls_any_service: ClassVar[bool] = False
    """Calls the operation that its field ``operation`` names, whatever that does."""
    counts_transfers: ClassVar[bool] = True
    """Its outputs ``count`` and ``bytes`` are of transferred objects, not of listed or deleted ones."""
    writes_local_files: ClassVar[bool] = False
    """Always leaves files on this machine. A step of an earlier release, which did not record its
    files, is therefore run again on resume."""

    @abstractmethod
    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Do the work and give the outputs. Raises StepError."""

    @abstractmethod
    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Role field -> what the role must be allowed."""

    def predict_outputs(self) -> Mapping[str, Any]:
        """Outputs as far as they are known before the run: what later steps need permissions on."""
        return {}

    def tracked_paths(
        self, context: StepContext, outputs: Mapping[str, Any]
    ) -> Iterable[Union[str, MirroredFolder, InputPath]]:
        """Files and folders of this machine that the step wrote or named: a resumed run compares them before it believes the step."""
        del context, outputs
        return ()

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """What it would work on, found by reading alone: for ``plan --live``. Raises StepError."""
        del context
        return {}


_JITTER = 0.2
"""Polls are up to so much of the interval early or late, so that many jobs do not ask at once."""


def iter_polls(context: StepContext, interval: float, max_wait: float) -> Iterator[int]:
    """The number of each look, from 1, with ``interval`` seconds between two; ends after ``max_wait``. Raises StepError when stopped."""
    deadline = time.monotonic() + max_wait
    for number in count(1):
        yield number
        left = deadline - time.monotonic()
        if left <= 0:
            return
        context.cancel.wait(min(left, interval * random.uniform(1 - _JITTER, 1 + _JITTER)))
        context.cancel.stop_if_set()


def handle_empty_source(on_empty: str, what: str, context: StepContext) -> None:
    """There is nothing to work on: an error, a warning, or fine. Raises EmptySource."""
    if on_empty == "error":
        raise EmptySource(
            f"there is nothing in {what}",
            hint="say 'on_empty: ok' or 'on_empty: warn' where that is fine",
        )
    if on_empty == "warn":
        context.note("warning", f"there is nothing in {what}", {})
