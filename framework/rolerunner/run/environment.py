"""Dependencies of a run, and values that its steps share."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.actions.base import OpenStorage
from rolerunner.common.cancellation import Cancel
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import RunLocation
from rolerunner.run.work_notes import WorkNotes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rolerunner.actions.base import Action
    from rolerunner.events import Event, Observer
    from rolerunner.run.workspace import Workspace
    from rolerunner.sessions.registry import Sessions
    from rolerunner.storage.workers.distributed import Distribution


@dataclass(frozen=True)
class RunEnvironment:
    """Dependencies of a run."""

    actions: Mapping[str, type[Action]]
    sessions: Sessions
    open_storage: OpenStorage
    workdir: Path
    project: Path
    observers: Sequence[Observer] = ()
    cancel: Cancel = field(default_factory=Cancel)
    open_cluster: Optional[Callable[[], Distribution]] = None
    """Opens the cluster that a step distributes its work over; None where there is none."""
    find_cluster_obstacle: Callable[[], str] = str
    """Returns why steps distribute nothing and run in this process; "" if nothing prevents it."""
    in_sandbox: bool = False
    start_workers: Callable[[], AbstractContextManager[object]] = nullcontext
    """Runs a block with worker processes. Enter it while the process is single-threaded."""
    workspace: Optional[Workspace] = None
    """The folder of the run; None where nothing is written outside ``workdir``."""
    location: RunLocation = field(default_factory=RunLocation)
    """The places of the run that notifications name."""


@dataclass(frozen=True)
class RunContext:
    """Values that all steps of a run share."""

    run_id: str
    params: Mapping[str, Any]
    environment: RunEnvironment
    max_parallel: int
    notify: Callable[[Event], None]
    keeps_state: bool = False
    """True where the files that a step leaves are recorded for a resumed run to compare."""
    distrusted: set[str] = field(default_factory=set)
    """Ids of steps that an earlier run completed and whose files have changed since."""
    work_notes: WorkNotes = field(default_factory=WorkNotes)
