"""Builds the dependencies of a run: sessions, storage, worker processes and Spark."""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from rolerunner.actions import registry
from rolerunner.common.gc_tuning import tune_for_one_run
from rolerunner.errors import RolerunnerError, StepError, UsageError
from rolerunner.model import JOB, Job, Role, S3Uri, Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rolerunner.actions.base import OpenStorage
    from rolerunner.common.cancellation import Cancel
    from rolerunner.events import Observer
    from rolerunner.run.environment import RunEnvironment
    from rolerunner.sessions.identity import JobIdentity
    from rolerunner.sessions.keys import Keys
    from rolerunner.sessions.registry import Sessions
    from rolerunner.storage.pacing import Pacer
    from rolerunner.storage.protocol import Access, Storage
    from rolerunner.storage.tuning import Limits
    from rolerunner.storage.workers.channel import Channel
    from rolerunner.storage.workers.distributed import Distribution
    from rolerunner.storage.workers.forked import ForkedProcesses
    from rolerunner.storage.workers.worker_setup import StorageOpener


def build_environment(
    job: Job,
    identity: Optional[JobIdentity],
    run_id: str,
    folder: Path,
    observers: Sequence[Observer] = (),
    cancel: Optional[Cancel] = None,
) -> RunEnvironment:
    """Returns the dependencies of a run of the job. ``folder`` holds its temporary files."""
    from rolerunner.common.cancellation import Cancel  # noqa: PLC0415
    from rolerunner.run.environment import RunEnvironment  # noqa: PLC0415

    session_name = f"{job.name}-{run_id}"
    sessions = build_sessions(identity, session_name)
    opener = partial(open_storage, engine=job.engine, memory=job.memory)
    processes = _create_processes(job, sessions)
    concurrency = count_concurrent_transfers(job)
    limits = _find_limits(job, concurrency)
    opened = partial(opener, sessions, at_once=concurrency, processes=processes, limits=limits)
    return RunEnvironment(
        actions=registry(),
        sessions=sessions,
        open_storage=opened,
        workdir=folder,
        project=_find_project(job),
        observers=tuple(observers),
        cancel=cancel or Cancel(),
        open_cluster=_build_cluster_opener(identity, sessions, session_name, opener, folder),
        find_cluster_obstacle=partial(_find_cluster_obstacle, identity),
        in_sandbox=identity is not None and identity.keys is not None,
        start_workers=partial(_start_workers, job, sessions, opened, processes),
    )


def build_sessions(identity: Optional[JobIdentity], session_name: str) -> Sessions:
    """Returns the role sessions of a run. ``session_name`` is what CloudTrail shows."""
    from rolerunner.sessions.identity import JobIdentity  # noqa: PLC0415
    from rolerunner.sessions.registry import Sessions  # noqa: PLC0415

    return Sessions(identity or JobIdentity(), session_name=session_name)


def open_storage(
    sessions: Sessions,
    role: Role,
    access: Optional[Access] = None,
    pacer: Optional[Pacer] = None,
    *,
    engine: str = "fast",
    memory: Optional[int] = None,
    at_once: int = 1,
    processes: Optional[ForkedProcesses] = None,
    limits: Optional[Limits] = None,
) -> Storage:
    """Returns S3 under a role.

    ``access`` is sent with each request; ``pacer`` limits the rate. ``engine`` is ``fast`` or
    ``boto3``. ``memory`` is the limit of the whole process in bytes, shared by ``at_once`` steps.
    ``processes`` are workers that take a share of the transfers.
    """
    from rolerunner.storage.boto.engine import BotoEngine  # noqa: PLC0415
    from rolerunner.storage.tuning import DEFAULT_MEMORY, Tuning  # noqa: PLC0415

    process_count = processes.count if processes is not None else 1
    tuning = Tuning.for_memory(memory or DEFAULT_MEMORY, at_once, process_count)
    tuning = tuning if limits is None else tuning.apply_limits(limits)
    caller = partial(sessions.session_arn, role)
    if engine == "boto3":
        return BotoEngine(sessions.client(role, "s3"), role, caller, access, pacer, tuning)
    from rolerunner.storage.http.sockets import SocketFactory  # noqa: PLC0415
    from rolerunner.storage.native.engine import open_native_engine  # noqa: PLC0415

    client = sessions.deferred_client(role, "s3")  # the engine sends most requests by itself
    boto_engine = BotoEngine(client, role, caller, access, pacer, tuning)
    config = client.template.meta.config
    net = SocketFactory(
        sessions.find_ca_bundle(), float(config.connect_timeout), float(config.read_timeout)
    )
    return open_native_engine(boto_engine, sessions.get_credentials(role), net, processes)


def create_telemetry(job: Job, traceparent: str) -> list[Observer]:
    """Returns the observers of the spec's telemetry. Raises UsageError if a package is missing."""
    if job.telemetry == Telemetry():
        return []
    from rolerunner.observers.telemetry import create_observers  # noqa: PLC0415 - many specs have none

    return create_observers(job.telemetry, traceparent)


def read_object(identity: Optional[JobIdentity], uri: str, max_bytes: int) -> bytes:
    """Returns a small object, read under the job's own role. Raises UsageError."""
    try:
        source = S3Uri.parse(uri)
        storage = open_storage(build_sessions(identity, "rolerunner"), JOB)
        return storage.read(source, max_bytes)
    except ValueError as error:
        raise UsageError(str(error)) from None
    except StepError as error:
        hint = f"\n{error.hint}" if error.hint else ""
        raise UsageError(f"{uri}: {error.message}{hint}") from None


def write_object(uri: str, data: bytes, identity: Optional[JobIdentity] = None) -> None:
    """Stores a small object under the job's own role. Raises StepError, UsageError."""
    try:
        target = S3Uri.parse(uri)
    except ValueError as error:
        raise UsageError(str(error)) from None
    open_storage(build_sessions(identity, "rolerunner"), JOB).write(target, data, {})


def count_concurrent_transfers(job: Job) -> int:
    """Returns how many steps or items may move objects at the same time and share the memory."""
    from rolerunner.run.scheduler import count_parallel_steps  # noqa: PLC0415

    looping = [step for step in job.steps if step.for_each is not None]
    at_once = [
        (step.max_parallel or job.max_parallel) * count_parallel_steps(step.steps, job.max_parallel)
        for step in looping
    ]
    return max(count_parallel_steps(job.steps, job.max_parallel), *at_once, 1)


def _find_project(job: Job) -> Path:
    return Path.cwd() if job.file.startswith("s3://") else Path(job.file).resolve().parent


def _find_limits(job: Job, concurrency: int) -> Optional[Limits]:
    """Returns the descriptors and threads that each step may use; None if no step moves objects.

    Raises UsageError.
    """
    if not _list_transfer_roles(job):
        return None
    from rolerunner.storage.process_limits import limits_per_step  # noqa: PLC0415

    return limits_per_step(concurrency)


def _list_transfer_roles(job: Job) -> list[Role]:
    """Returns the roles under which objects are moved."""
    actions = registry()
    moving = [step for step in job.action_steps if actions[step.action].moves_objects]
    return [role for step in moving for role in step.all_roles]


def _create_processes(job: Job, sessions: Sessions) -> Optional[ForkedProcesses]:
    """Returns the worker processes, not yet forked; None if no step can use them."""
    if job.engine != "fast" or not _list_transfer_roles(job):
        return None
    from rolerunner.storage.tuning import DEFAULT_MEMORY  # noqa: PLC0415
    from rolerunner.storage.workers import forked  # noqa: PLC0415

    count = forked.choose_process_count(job.memory or DEFAULT_MEMORY) - 1
    return forked.ForkedProcesses(count, sessions.export_lease) if count else None


@contextmanager
def _start_workers(
    job: Job, sessions: Sessions, opened: OpenStorage, processes: Optional[ForkedProcesses]
) -> Iterator[None]:
    """Runs the block with forked workers.

    Workers inherit an S3 client: creating one takes longer than the rest of their start.
    """
    if processes is None:
        yield
        return
    from rolerunner.storage.workers.forked_worker import ForkedWorker  # noqa: PLC0415

    def serve(channel: Channel) -> None:
        tune_for_one_run()  # the parent may not collect garbage yet
        logging.disable(logging.CRITICAL)  # the parent logs, and knows which secrets to mask
        server = ForkedWorker(channel, opened)
        sessions.borrow_from(server.lease)
        server.serve()

    # all roles of a region share the client. With a role of the spec, this thread, which handles
    # signals, would load the job's credentials and ask STS who the job is
    like_job = replace(JOB, region=_list_transfer_roles(job)[0].region)
    with suppress(RolerunnerError):  # the step reports the failure
        opened(like_job, None, None)
    processes.fork(serve)
    try:
        yield
    finally:
        processes.close()


def _build_cluster_opener(
    identity: Optional[JobIdentity],
    sessions: Sessions,
    session_name: str,
    opener: StorageOpener,
    folder: Path,
) -> Optional[Callable[[], Distribution]]:
    """Returns a function that opens Spark's executors, which find the job's credentials themselves.

    Keys that were passed to this process reach executors by a file in ``folder``, if they are
    shared; otherwise None is returned.
    """
    from rolerunner.sessions.identity import JobIdentity  # noqa: PLC0415

    known = identity or JobIdentity()
    if known.keys is not None and not known.is_shared:
        return None

    def open_cluster() -> Distribution:
        from rolerunner.spark.pool import SparkTaskRunner  # noqa: PLC0415
        from rolerunner.spark.session import get_session  # noqa: PLC0415
        from rolerunner.storage.workers.distributed import Distribution  # noqa: PLC0415
        from rolerunner.storage.workers.worker_setup import WorkerSetup  # noqa: PLC0415

        without_keys = replace(known, region=sessions.require_region(), keys=None)
        keys_file = _share_keys(known.keys, folder) if known.keys is not None else ""
        place = WorkerSetup(opener, without_keys, session_name, keys_file=keys_file)
        return Distribution(SparkTaskRunner(get_session().sparkContext), place)

    return open_cluster


def _share_keys(keys: Keys, folder: Path) -> str:
    """Returns the file with the job's keys, which is removed with the folder of the run."""
    from rolerunner.sessions.keys_file import write_keys  # noqa: PLC0415

    path = folder / ".job-keys.json"
    write_keys(path, keys)
    return str(path)


def _find_cluster_obstacle(identity: Optional[JobIdentity]) -> str:
    """Returns why a step with ``distribute`` runs in this process; "" if it does not.

    Outside of the sandbox, where the work may be too much for one process, such a step fails.
    """
    if identity is None or identity.keys is None:
        return ""
    if not identity.is_shared:
        return "the job's keys stay in this process"
    from rolerunner.spark.requirements import find_obstacle  # noqa: PLC0415

    return find_obstacle()
