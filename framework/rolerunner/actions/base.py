"""The base class of actions, and the context in which they run."""

import random
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Optional, Union

from pydantic import Field

from rolerunner.common.cancellation import Cancel
from rolerunner.common.new_files import TargetFolder
from rolerunner.errors import EmptySource
from rolerunner.events import StepProgress
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Permission, Role, StepDatasets
from rolerunner.selection.manifest import ManifestWriter
from rolerunner.spec.action_schema import ActionSchema
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Access, Storage

if TYPE_CHECKING:
    from rolerunner.model import Failure
    from rolerunner.run.work_notes import StartedWork
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
"""Role, options of each request, pacer -> S3 under the role."""


@dataclass(frozen=True)
class MirroredFolder:
    """A folder that mirrors its source: a file that is added to it counts as a change."""

    folder: str


@dataclass(frozen=True)
class InputPath:
    """A path among the arguments of a step: it must still exist, whatever its content."""

    path: str


@dataclass(frozen=True)
class StepContext:
    """Everything an action uses besides its fields."""

    step_id: str
    run_id: str
    roles: Mapping[str, Role]
    sessions: "Sessions"
    open_storage: OpenStorage
    workdir: Path
    """The run's folder for manifests, which outlives the step."""
    project: Path
    """The folder of the spec."""
    params: Mapping[str, Any]
    cancel: Cancel
    progress: Callable[[StepProgress], None]
    note: Callable[[str, str, Mapping[str, Any]], None]
    """level, message, values."""
    is_resumed: bool = False
    """True if part of the step may have been done before; correct objects are skipped."""
    outputs_changed: bool = False
    """True if the files of an earlier run have changed; files are then compared by content."""
    is_retry: bool = False
    """True if an earlier attempt may have stored what a conditional write now finds."""
    open_cluster: Optional[Callable[[], "Distribution"]] = None
    """Opens other machines for ``distribute``; None if they cannot have this job's identity."""
    in_sandbox: bool = False
    """True if the requests of this process go to the sandbox."""
    target_claims: Optional["ClaimedNames"] = None
    """Targets that the items of a for_each claim before use; None for a step without items."""
    workspace: Optional["Workspace"] = None
    started_work: Optional["StartedWork"] = None
    """The note about work that the step starts elsewhere; None where notes are not kept."""

    def storage(
        self,
        role_field: str = "role",
        access: Optional[Access] = None,
        flow: Optional[Pacer] = None,
        *,
        distribute: Optional[str] = None,
    ) -> Storage:
        """Returns S3 under one of the step's roles. Raises StepError.

        With ``distribute`` its operations on many objects run on many machines.
        """
        role = self.roles[role_field]
        here = self.open_storage(role, access, flow)
        cluster = self.open_distribution(distribute)
        return (
            here
            if cluster is None
            else cluster.storage(role, access or Access(), flow or Pacer(), here, self.cancel)
        )

    def open_distribution(self, distribute: Optional[str]) -> Optional["Distribution"]:
        """Returns the machines of ``distribute``; None for this one alone. Raises StepError.

        A step with ``auto`` works on this one until it has chosen.
        """
        if distribute in (None, "auto") or self.open_cluster is None:
            return None
        return self.open_cluster()

    def target_folder(self, path: Path) -> AbstractContextManager[TargetFolder]:
        """Opens the folder of a download; its temporary files do not outlive the run."""
        return (
            nullcontext(TargetFolder.at(path))
            if self.workspace is None
            else self.workspace.target_folder(path)
        )

    def manifest(self, part: str = "") -> ManifestWriter:
        """Returns a writer of the step's list of objects; ``part`` names an additional list."""
        return ManifestWriter(self.manifest_path(part))

    def manifest_path(self, part: str = "") -> Path:
        """Returns the path of that list."""
        return self.workdir / f"{self.step_id}{part}.jsonl"


class OutputsWithWarning(dict[str, Any]):
    """Outputs of a step that ends as ``warning``, for the reason that ``warning`` gives."""

    def __init__(self, outputs: Mapping[str, Any], warning: "Failure") -> None:
        super().__init__(outputs)
        self.warning = warning


class Action(ActionSchema):
    """An action with the values of its fields."""

    moves_objects: ClassVar[bool] = False
    """Transfers or copies the bytes of many objects, and so benefits from worker processes."""
    stores_objects: ClassVar[bool] = False
    """Stores objects under its field ``target``."""
    resumes_uploads: ClassVar[bool] = False
    """Continues multipart uploads of an earlier run; if the run keeps state, it lists their parts
    wherever it may abort them."""
    deletes_objects: ClassVar[bool] = False
    """Deletes the objects that it works on."""
    object_verb: ClassVar[str] = ""
    """The verb for each object of its source in a dry run; empty if it has none, or if it
    has a method ``plan_objects``."""
    looks_up_objects: ClassVar[bool] = True
    """Sends HEAD for objects of which a file lists the keys alone."""
    calls_user_code: ClassVar[bool] = False
    """Calls the function that its field ``function`` names."""
    calls_any_service: ClassVar[bool] = False
    """Calls the operation that its field ``operation`` names, whatever that does."""
    sends_data_out: ClassVar[bool] = False
    """Sends what it reads to its field ``host``, out of AWS."""
    counts_transfers: ClassVar[bool] = True
    """Its ``count`` and ``bytes`` are of transferred objects, not of listed or deleted ones."""
    writes_local_files: ClassVar[bool] = False
    """Always leaves files on this machine. A step of an earlier release, which did not record its
    files, is therefore run again on resume."""

    @classmethod
    def list_extras(cls, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns the extras of rolerunner that a step with these fields needs to run.

        The fields are those of the spec, so each may be an expression. Bundles contain the
        packages of these extras.
        """
        del fields
        return ()

    def list_datasets(self) -> StepDatasets:
        """Returns the data that no permission of the step names, such as files of a server."""
        return StepDatasets()

    @classmethod
    def list_certain_extras(cls, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns those extras that the step needs whatever its expressions give.

        A run refuses to start without them.
        """
        del fields
        return ()

    @abstractmethod
    def run(self, context: StepContext) -> Mapping[str, Any]:
        """Does the work and returns the outputs. Raises StepError."""

    @abstractmethod
    def permissions(self) -> Mapping[str, Sequence[Permission]]:
        """Returns the permissions that the step needs, by role field."""

    def predict_outputs(self) -> Mapping[str, Any]:
        """Returns the outputs known before the run, on which later steps need permissions."""
        return {}

    def tracked_paths(
        self, context: StepContext, outputs: Mapping[str, Any]
    ) -> Iterable[Union[str, MirroredFolder, InputPath]]:
        """Returns files and folders that a resumed run compares before it skips the step."""
        del context, outputs
        return ()

    def list_read_fields(self) -> tuple[str, ...]:
        """Returns the fields that name objects which must exist; the sandbox makes them up."""
        return ("source", "objects")

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        """Returns what the step would work on, by reading alone. Raises StepError."""
        del context
        return {}


_JITTER = 0.2
"""Polls vary by this share of the interval, so that many jobs do not poll at once."""
_REMOVAL = "removal"
"""The name of the note about what a step removes."""


def iter_polls(context: StepContext, interval: float, max_wait: float) -> Iterator[int]:
    """Yields the number of each poll, from 1, every ``interval`` seconds, for ``max_wait`` seconds.

    Raises StepError when the run is stopped.
    """
    deadline = time.monotonic() + max_wait
    for number in count(1):
        yield number
        left = deadline - time.monotonic()
        if left <= 0:
            return
        context.cancel.wait(min(left, interval * random.uniform(1 - _JITTER, 1 + _JITTER)))
        context.cancel.stop_if_set()


def note_removal(source: str, context: StepContext) -> None:
    """Notes that the step begins to remove what it finds in its source. Raises StepError."""
    if context.started_work is not None:
        context.started_work.aside(_REMOVAL).write(source, same_inputs=False)


def handle_empty_source(on_empty: str, what: str, context: StepContext) -> None:
    """Raises EmptySource, notes a warning, or does nothing, as ``on_empty`` says.

    A source that an attempt of this step, or of an earlier run, has removed is no error.
    """
    work = context.started_work
    if work is not None and work.aside(_REMOVAL).read(same_inputs=False) == what:
        context.note("info", f"nothing is left in {what}: an earlier attempt removed it", {})
        return
    if on_empty == "error":
        raise EmptySource(
            f"there is nothing in {what}",
            hint="set 'on_empty: ok' or 'on_empty: warn' if an empty source is expected",
        )
    if on_empty == "warn":
        context.note("warning", f"there is nothing in {what}", {})
