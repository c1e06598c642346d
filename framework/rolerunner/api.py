"""The public API: load, plan and run a job."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner import model, wiring
from rolerunner.actions import registry
from rolerunner.common.gc_tuning import collect_garbage
from rolerunner.errors import (
    Mark,
    Problem,
    RolerunnerError,
    RolesRefused,
    SandboxError,
    SecretsFailed,
    SpecError,
    StateHeld,
    StepError,
    UsageError,
)
from rolerunner.run.run_id import create_run_id
from rolerunner.spec import source
from rolerunner.spec.loader import load_spec
from rolerunner.spec.yaml_parser import parse_document

__all__ = [
    "Failure",
    "ItemResult",
    "Job",
    "Mark",
    "Permission",
    "Plan",
    "PlannedStep",
    "Problem",
    "Role",
    "RoleUse",
    "RolerunnerError",
    "RolesRefused",
    "RunLocation",
    "RunResult",
    "SandboxError",
    "SecretsFailed",
    "SpecError",
    "StateHeld",
    "Step",
    "StepError",
    "StepResult",
    "UsageError",
    "load",
    "load_documents",
    "plan",
    "preview_objects",
    "run",
    "survey",
]

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from rolerunner.common.cancellation import Cancel
    from rolerunner.events import Observer
    from rolerunner.model import (
        Failure,
        ItemResult,
        Job,
        Permission,
        Plan,
        PlannedStep,
        Role,
        RoleUse,
        RunLocation,
        RunResult,
        Step,
        StepResult,
    )
    from rolerunner.sessions.identity import JobIdentity
    from rolerunner.spec.document import Document


if not TYPE_CHECKING:  # for a type checker any name would exist

    def __getattr__(name: str) -> Any:
        """Returns a value of the model, which may import it."""
        if name in __all__:
            return getattr(model, name)
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def load(
    spec: str | Path,
    params: Optional[Mapping[str, Any]] = None,
    *,
    complete: bool = True,
    identity: Optional[JobIdentity] = None,
    more_names: Iterable[str] = (),
    ignored_names: Collection[str] = (),
    code_is_here: bool = False,
    env: str = "",
) -> Job:
    """Reads and checks a spec: a path, or ``s3://bucket/key`` read under the job's own role.

    ``complete=False`` checks the spec without the params of a run. ``more_names`` are valid names
    besides the params, for hints on misspelt ones; ``ignored_names`` are names in ``params`` that
    the spec need not declare. With ``code_is_here``, the functions that steps call must be on this
    machine. ``env`` names an environment of the spec. Raises SpecError, UsageError.
    """
    read_object = partial(wiring.read_object, identity)
    text, name = source.read_text(str(spec), read_object)

    def read_include(include: str) -> tuple[str, str]:
        return source.read_text(source.resolve_include(name, include), read_object)

    return load_spec(
        text,
        name,
        registry(),
        params or {},
        complete=complete,
        more_names=more_names,
        ignored_names=ignored_names,
        code_is_here=code_is_here,
        read_include=read_include,
        env=env,
    )


def find_problems(
    spec: str | Path,
    params: Optional[Mapping[str, Any]] = None,
    *,
    env: str = "",
    code_is_here: bool = False,
    on_job: Optional[Callable[[Job], object]] = None,
) -> tuple[Problem, ...]:
    """Returns every mistake of a spec, without the params of a run.

    ``on_job`` takes the job as it stands, and that of each environment, if it has no mistake.

    Without ``env``, the spec is checked as it stands and under each of its environments; a mistake
    that it has only there names them. Raises UsageError.
    """
    jobs: dict[str, Job] = {}

    def check(name: str) -> tuple[Problem, ...]:
        try:
            jobs[name] = load(spec, params, complete=False, env=name, code_is_here=code_is_here)
        except SpecError as error:
            return error.problems
        if on_job is not None:
            on_job(jobs[name])
        return ()

    found = check(env)
    document = None if env else _parse_with_environments(spec)
    if document is None:
        return found
    from rolerunner.spec.environment_problems import (  # noqa: PLC0415 - few specs have environments
        find_shared_jobs,
        join_problems,
    )
    from rolerunner.spec.environments import list_environments  # noqa: PLC0415

    by_environment = {name: check(name) for name in list_environments(document)}
    return join_problems((*found, *find_shared_jobs(jobs, document)), by_environment)


def _parse_with_environments(spec: str | Path) -> Optional[Document]:
    """Returns a spec with environments; None for another file, or one that cannot be parsed."""
    try:
        text, name = source.read_text(str(spec), partial(wiring.read_object, None))
        return parse_document(text, name) if "environments" in text else None
    except SpecError:
        return None


def load_documents(
    spec: str | Path, identity: Optional[JobIdentity] = None, *, env: str = ""
) -> list[Document]:
    """Parses a spec and the files that it includes, with the values of an environment.

    Raises SpecError, UsageError.
    """
    return source.read_documents(str(spec), partial(wiring.read_object, identity), env)


def load_notify_section(
    spec: str,
    params: Mapping[str, Any],
    identity: Optional[JobIdentity] = None,
    env: str = "",
) -> Optional[Job]:
    """Returns a job without steps, with the targets that a spec with mistakes notifies.

    None if the spec cannot be read at all. ``env`` names an environment of the spec.
    """
    from rolerunner.spec.loader import load_notify_section  # noqa: PLC0415 - few specs are wrong

    read_object = partial(wiring.read_object, identity)
    try:
        text, name = source.read_text(spec, read_object)
    except (UsageError, SpecError):
        return None

    def read_include(include: str) -> tuple[str, str]:
        return source.read_text(source.resolve_include(name, include), read_object)

    return load_notify_section(text, name, params, read_include, env)


def plan(job: Job) -> Plan:
    """Returns what a run of the job does. Printing the plan is the dry run."""
    from rolerunner.plan.planning import make_plan  # noqa: PLC0415 - validation does not need it

    return make_plan(job, registry())


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
    location: Optional[RunLocation] = None,
    traceparent: str = "",
) -> RunResult:
    """Runs the job. A failed step is part of the result.

    ``run_key`` names the state that the run keeps, if the spec has ``state``; with ``resume`` that
    state must exist. ``take_over`` takes the key from a run that is dead. ``only`` holds the ids of
    the steps to run. ``location`` is where notifications say that the result lies. ``traceparent``
    is the W3C trace context of the caller, instead of that of the environment. Raises
    RolesRefused if roles are refused before the first step, SecretsFailed if secret params cannot
    be fetched, StateHeld, and UsageError.
    """
    from rolerunner.run import runner  # noqa: PLC0415 - imports boto3
    from rolerunner.run.workspace import Workspace  # noqa: PLC0415

    run_id = run_id or create_run_id()
    observers = [*observers, *wiring.create_telemetry(job, traceparent)]
    options = runner.RunOptions(run_key, resume, take_over, frozenset(only))
    try:
        with ExitStack() as stack:
            workspace = Workspace(run_id)
            stack.callback(workspace.close)
            environment = replace(
                wiring.build_environment(job, identity, run_id, workspace.path, observers, cancel),
                workspace=workspace,
                location=location or model.RunLocation(),
            )
            stack.callback(environment.sessions.close)
            workspace.result = runner.run(plan(job), run_id, environment, options)
            return workspace.result
    finally:
        collect_garbage()


def survey(plan: Plan, identity: Optional[JobIdentity] = None) -> dict[str, Mapping[str, Any]]:
    """Returns the objects and bytes that each step would work on, found by reading alone.

    A step whose work is not known yet has the reason under ``unknown``.
    """
    from rolerunner.run.preview import preview_steps  # noqa: PLC0415 - imports boto3

    run_id = create_run_id()
    with tempfile.TemporaryDirectory(prefix="rolerunner-survey-") as folder:
        environment = wiring.build_environment(plan.job, identity, run_id, Path(folder))
        return preview_steps(plan, environment)


def preview_objects(
    plan: Plan, write: Callable[[str], object], identity: Optional[JobIdentity] = None
) -> dict[str, Mapping[str, Any]]:
    """Passes a line of JSON for each object that a run would work on now to ``write``.

    Returns how many objects each step would send, skip, delete and so on. Nothing is changed.
    """
    from rolerunner.redaction.redact import redact_text  # noqa: PLC0415 - as below
    from rolerunner.run import preview  # noqa: PLC0415 - imports boto3

    run_id = create_run_id()
    with tempfile.TemporaryDirectory(prefix="rolerunner-survey-") as folder:
        environment = wiring.build_environment(plan.job, identity, run_id, Path(folder))
        return preview.preview_objects(
            plan,
            environment,
            lambda line: write(redact_text(json.dumps(line))),
        )
