"""The library's face: load, plan and run a job. Here the parts are joined."""

from __future__ import annotations

import logging
import secrets
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.actions import registry
from rolerunner.common.files import write_whole
from rolerunner.common.gc_tuning import collect, settle
from rolerunner.errors import RolerunnerError, StepError, UsageError
from rolerunner.model import JOB, Job, Plan, Role, RunResult, S3Uri
from rolerunner.spec import source
from rolerunner.spec.loader import load_text
from rolerunner.spec.source import resolve_include

__all__ = [
    "action_names",
    "documents",
    "load",
    "new_run_id",
    "open_storage",
    "picture",
    "plain",
    "plan",
    "plan_as_json",
    "reference",
    "run",
    "schema",
    "survey",
    "write_file",
    "write_s3",
]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rolerunner.actions.base import OpenStorage
    from rolerunner.common.cancellation import Cancel
    from rolerunner.events import Observer
    from rolerunner.run.attempts import Means
    from rolerunner.run.runner import Choice
    from rolerunner.sessions.registry import JobIdentity, Sessions
    from rolerunner.spec.document import Document
    from rolerunner.storage.pacing import Pacer
    from rolerunner.storage.protocol import Access, Storage
    from rolerunner.storage.tuning import Limits
    from rolerunner.storage.workers.channel import Channel
    from rolerunner.storage.workers.distributed import Distribution, StorageOpener
    from rolerunner.storage.workers.forked import ForkedProcesses


def load(
    spec: str | Path,
    params: Optional[Mapping[str, Any]] = None,
    *,
    complete: bool = True,
    identity: Optional[JobIdentity] = None,
    more_names: Iterable[str] = (),
    code_is_here: bool = False,
) -> Job:
    """Read and check a spec: a path, or ``s3://bucket/key`` read under the job's own role.

    ``complete=False`` checks the spec alone, without the params of a run. ``more_names`` are right names of arguments
    beside the params', for hints on a misspelt one. With ``code_is_here`` the functions that steps call must be on this
    machine. Raises SpecError, UsageError.
    """
    read_object = partial(_read_object, identity)
    text, name = source.read_text(str(spec), read_object)
    return load_text(
        text,
        name,
        registry(),
        params or {},
        complete=complete,
        more_names=more_names,
        code_is_here=code_is_here,
        read_include=lambda include: source.read_text(resolve_include(name, include), read_object),
    )


def documents(spec: str | Path, identity: Optional[JobIdentity] = None) -> list[Document]:
    """Returns the spec and the files that it includes, with the place of every value.

    Raises SpecError, UsageError.
    """
    return source.read_documents(str(spec), partial(_read_object, identity))


def plan(job: Job) -> Plan:
    """What a run of the job will do. Printing it is the dry run."""
    from rolerunner.plan.planning import make_plan  # noqa: PLC0415 - checking a spec does without it

    return make_plan(job, registry())


def plan_as_json(made: Plan) -> dict[str, Any]:
    """A plan in plain JSON kinds."""
    from rolerunner.plan.planning import as_json  # noqa: PLC0415

    return as_json(made)


def plain(value: Any) -> Any:
    """A field's value in plain JSON kinds, without secrets."""
    from rolerunner.plan import planning  # noqa: PLC0415

    return planning.plain(value)


def run(
    job: Job,
    *,
    identity: Optional[JobIdentity] = None,
    observers: Sequence[Observer] = (),
    run_id: Optional[str] = None,
    cancel: Optional[Cancel] = None,
    run_key: str = "",
    resume: bool = False,
    take_over: bool = False,
    only: Iterable[str] = (),
) -> RunResult:
    """Run the job. A failed step is in the result; RolesRefused is raised when roles are refused before any step.

    ``run_key`` names the state that the run keeps and goes on from, where the spec says ``state``; with ``resume`` it must
    be there. ``take_over`` takes a key from a run that is dead. ``only`` are ids of the steps to run.
    Raises StateHeld, UsageError where that cannot be.
    """
    from rolerunner.run.runner import Choice  # noqa: PLC0415 - boto3 is imported only where something runs

    try:
        return _run(
            job,
            identity,
            observers,
            run_id or new_run_id(),
            cancel,
            Choice(run_key, resume, take_over, frozenset(only)),
        )
    finally:
        collect()


def _run(
    job: Job,
    identity: Optional[JobIdentity],
    observers: Sequence[Observer],
    run_id: str,
    cancel: Optional[Cancel],
    choice: Choice,
) -> RunResult:
    from rolerunner.run import runner  # noqa: PLC0415
    from rolerunner.run.workspace import Workspace  # noqa: PLC0415

    with ExitStack() as stack:
        workspace = Workspace(run_id)
        stack.callback(workspace.close)
        means = replace(
            _means(job, identity, run_id, workspace.path, observers, cancel), workspace=workspace
        )
        stack.callback(means.sessions.close)
        workspace.result = runner.run(plan(job), run_id, means, choice)
        return workspace.result


def _means(
    job: Job,
    identity: Optional[JobIdentity],
    run_id: str,
    folder: Path,
    observers: Sequence[Observer] = (),
    cancel: Optional[Cancel] = None,
) -> Means:
    from rolerunner.common.cancellation import Cancel  # noqa: PLC0415
    from rolerunner.run.attempts import Means  # noqa: PLC0415

    sessions = _sessions(identity, f"{job.name}-{run_id}")
    project = Path.cwd() if job.file.startswith("s3://") else Path(job.file).resolve().parent
    opener = partial(open_storage, engine=job.engine, memory=job.memory)
    processes = _processes(job, sessions)
    at_once = _at_once(job)
    opened = partial(
        opener, sessions, at_once=at_once, processes=processes, limits=_limits(job, at_once)
    )
    return Means(
        registry(), sessions, opened, folder, project, tuple(observers), cancel or Cancel(),
        open_spread=_spread_of(identity, sessions, f"{job.name}-{run_id}", opener), helped=partial(_helped, job, sessions, opened, processes),
    )  # fmt: skip


def _limits(job: Job, at_once: int) -> Optional[Limits]:
    """How many descriptors and threads each step may use; None where no step moves objects. Raises UsageError."""
    if not _moving(job):
        return None
    from rolerunner.storage.process_limits import limits_per_step  # noqa: PLC0415

    return limits_per_step(at_once)


def _processes(job: Job, sessions: Sessions) -> Optional[ForkedProcesses]:
    """Those that may help this one, where any step has use for them; they are there from ``_helped`` on."""
    if job.engine != "fast" or not _moving(job):
        return None
    from rolerunner.storage.tuning import DEFAULT_MEMORY  # noqa: PLC0415
    from rolerunner.storage.workers import forked  # noqa: PLC0415

    more = forked.choose_process_count(job.memory or DEFAULT_MEMORY) - 1
    return forked.ForkedProcesses(more, sessions.lend) if more else None


def _moving(job: Job) -> list[Role]:
    """The roles that objects are moved under."""
    return [
        role
        for step in job.steps
        if registry()[step.action].moves_objects
        for role in step.roles.values()
    ]


@contextmanager
def _helped(
    job: Job, sessions: Sessions, opened: OpenStorage, processes: Optional[ForkedProcesses]
) -> Iterator[None]:
    """With the processes forked. They get a client of S3 along: making one takes longer than all else that they do before they are at work."""
    if processes is None:
        yield
        return
    from rolerunner.storage.workers.forked_worker import ForkedWorker  # noqa: PLC0415

    def serve(channel: Channel) -> None:
        settle()  # the first process may look for no garbage yet
        logging.disable(
            logging.CRITICAL
        )  # the first process logs: it meets the same, and knows what is to be masked
        server = ForkedWorker(channel, opened)
        sessions.borrow(server.lease)
        server.serve()

    with suppress(RolerunnerError):  # the step will say what is wrong
        opened(_moving(job)[0], None, None)
    processes.fork(serve)
    try:
        yield
    finally:
        processes.close()


def _spread_of(
    identity: Optional[JobIdentity], sessions: Sessions, session_name: str, opener: StorageOpener
) -> Optional[Callable[[], Distribution]]:
    """Spark's executors, opened when a step asks for them. They are the job by themselves: keys given to this process are not shipped."""
    from rolerunner.sessions.registry import JobIdentity  # noqa: PLC0415

    known = identity or JobIdentity()
    if known.keys is not None:
        return None

    def opened() -> Distribution:
        from rolerunner.spark.pool import SparkTaskRunner  # noqa: PLC0415
        from rolerunner.spark.session import get_session  # noqa: PLC0415
        from rolerunner.storage.workers.distributed import Distribution, WorkerSetup  # noqa: PLC0415

        return Distribution(
            SparkTaskRunner(get_session().sparkContext),
            WorkerSetup(opener, replace(known, region=sessions.region()), session_name),
        )

    return opened


def _at_once(job: Job) -> int:
    """How many steps or items may move objects at the same time: they share the memory."""
    follows = all(before.id in step.needs for before, step in zip(job.steps, job.steps[1:]))
    items = max(
        (step.max_parallel or job.max_parallel for step in job.steps if step.for_each is not None),
        default=1,
    )
    return max(1 if follows else min(job.max_parallel, len(job.steps)), items)


def survey(made: Plan, identity: Optional[JobIdentity] = None) -> dict[str, Mapping[str, Any]]:
    """What each step would work on, found by reading alone: step id -> count, bytes. Steps that cannot be told yet say why."""
    from rolerunner.run import runner  # noqa: PLC0415 - boto3 is imported only where something runs

    with tempfile.TemporaryDirectory(prefix="rolerunner-survey-") as folder:
        return runner.survey(made, _means(made.job, identity, new_run_id(), Path(folder)))


def schema() -> dict[str, Any]:
    """The JSON Schema of specs with the actions that are there."""
    from rolerunner.spec.json_schema import json_schema  # noqa: PLC0415 - a run has no use for it

    return json_schema(registry())


def reference(name: str = "") -> str:
    """The actions' reference in Markdown: all in a table, or one in full. Raises UsageError."""
    from rolerunner.actions import reference as pages  # noqa: PLC0415 - a run has no use for it

    return pages.page(name, registry()) if name else pages.index(registry())


def action_names() -> tuple[str, ...]:
    """Every action that is there."""
    return tuple(registry())


def picture(made: Plan, form: str) -> str:
    """A plan as ``mermaid`` or ``svg`` text."""
    from rolerunner.plan import graph  # noqa: PLC0415 - a run has no use for it

    return graph.svg(made) if form == "svg" else graph.mermaid(made)


def write_file(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file that is there whole or not at all, ``private`` for its owner alone. Raises LocalFileFailed."""
    write_whole(path.absolute(), data, private=private)


def new_run_id() -> str:
    """A run's id: its start in UTC and six random characters, so that ids sort by time."""
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def open_storage(
    sessions: Sessions, role: Role, access: Optional[Access] = None, flow: Optional[Pacer] = None, *, engine: str = "fast",
    memory: Optional[int] = None, at_once: int = 1, processes: Optional[ForkedProcesses] = None, limits: Optional[Limits] = None,
) -> Storage:  # fmt: skip
    """S3 under a role. ``access`` is what each request says of itself, ``flow`` how fast they go.

    ``engine`` is ``fast`` or ``boto3``; ``memory`` the bytes that the whole process should stay below, some 250 MB without
    it, where so many steps move objects ``at_once``. ``processes`` of this machine take a share of the work. ``limits`` are
    those of the process.
    """
    from rolerunner.storage.pacing import Pacer  # noqa: PLC0415
    from rolerunner.storage.protocol import Access  # noqa: PLC0415
    from rolerunner.storage.tuning import DEFAULT_MEMORY, Tuning  # noqa: PLC0415

    tuning = Tuning.within(
        memory or DEFAULT_MEMORY, at_once, processes.count if processes is not None else 1
    )
    tuning = tuning if limits is None else tuning.within_limits(limits)
    client, caller = sessions.client(role, "s3"), lambda: sessions.session_arn(role)
    if engine == "boto3":
        from rolerunner.storage.boto.engine import BotoEngine  # noqa: PLC0415

        return BotoEngine(client, role, caller, access or Access(), flow or Pacer(), tuning)
    from rolerunner.storage.http.sockets import SocketFactory  # noqa: PLC0415
    from rolerunner.storage.native.engine import NativeEngine  # noqa: PLC0415

    config = client.meta.config
    net = SocketFactory(
        sessions.ca_bundle(), float(config.connect_timeout), float(config.read_timeout)
    )
    return NativeEngine(
        client,
        role,
        caller,
        access or Access(),
        flow or Pacer(),
        tuning,
        sessions.credentials(role),
        net,
        processes,
    )


def _read_object(identity: Optional[JobIdentity], uri: str, limit: int) -> bytes:
    """Reads an object under the job's own role, up to ``limit`` bytes. Raises UsageError."""
    try:
        storage = open_storage(_sessions(identity, "rolerunner"), JOB)
        return storage.read(S3Uri.parse(uri), limit)
    except ValueError as error:
        raise UsageError(str(error)) from None
    except StepError as error:
        hint = f"\n{error.hint}" if error.hint else ""
        raise UsageError(f"{uri}: {error.message}{hint}") from None


def _sessions(identity: Optional[JobIdentity], name: str) -> Sessions:
    from rolerunner.sessions.registry import JobIdentity, Sessions  # noqa: PLC0415

    return Sessions(identity or JobIdentity(), session_name=name)


def write_s3(uri: str, data: bytes, identity: Optional[JobIdentity] = None) -> None:
    """Store a small object under the job's own role. Raises StepError, UsageError."""
    try:
        target = S3Uri.parse(uri)
    except ValueError as error:
        raise UsageError(str(error)) from None
    open_storage(_sessions(identity, "rolerunner"), JOB).write(target, data, {})
