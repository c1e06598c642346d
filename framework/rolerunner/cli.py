"""Arguments -> api -> exit status. The only importer of click."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import click

from rolerunner import api
from rolerunner.errors import RolerunnerError, SpecError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rolerunner.credentials import JobIdentity
    from rolerunner.errors import Problem
    from rolerunner.events import Observer
    from rolerunner.model import Plan, PlannedStep

FAILED_STEP = 4
_BESIDE = "beside"
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


@click.group(context_settings=_SETTINGS)
@click.version_option(package_name="rolerunner", prog_name="rolerunner")
def main() -> None:
    r"""Run the steps of a YAML job spec, each under its own IAM role.

    \b
    rolerunner validate nightly.yaml
    rolerunner plan nightly.yaml -p run_date=2026-01-31
    rolerunner run nightly.yaml --sandbox
    rolerunner run nightly.yaml -p run_date=2026-01-31 --result result.json

    Exit status: 0 done, 2 the spec or the command line is wrong, 3 a role was refused, 4 a step failed.
    """


_SPEC = click.argument("spec", metavar="SPEC")
_PARAM = click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A param of the spec; once for each.")


@main.command(context_settings=_SETTINGS)
@_SPEC
@_PARAM
@click.option(
    "--sandbox", is_flag=False, flag_value=_BESIDE, default=None, metavar="[FILE]",
    help="Run on an AWS on this machine that enforces IAM; FILE says what is in it, SPEC's name with .sandbox.yaml by default.",
)  # fmt: skip
@click.option("--result", metavar="FILE", help="Write how it ended as JSON, also after a failure.")
@click.option(
    "--log-format", type=click.Choice(["auto", "console", "json"]), default="auto", show_default=True,
    help="auto: progress and a table at a terminal, else a JSON line an event.",
)  # fmt: skip
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True, help="The least level of log lines."
)
def run(spec: str, params: Sequence[str], sandbox: Optional[str], result: Optional[str], log_format: str, log_level: str) -> None:
    r"""Run a spec.

    \b
    rolerunner run nightly.yaml -p run_date=2026-01-31
    rolerunner run nightly.yaml --sandbox                  with nightly.sandbox.yaml beside it
    rolerunner run s3://jobs/nightly.yaml --result out.json --log-format json
    """
    with ExitStack() as stack:
        job = api.load(spec, read_params(params))
        identity = _sandbox_identity(stack, spec, sandbox) if sandbox else None
        ended = api.run(job, identity=identity, observers=_observers(result, log_format, log_level))
    if ended.status not in ("succeeded", "warning"):
        raise SystemExit(FAILED_STEP)


@main.command(context_settings=_SETTINGS)
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@_PARAM
def validate(specs: Sequence[str], params: Sequence[str]) -> None:
    r"""Check specs without touching AWS, and say every mistake.

    \b
    rolerunner validate nightly.yaml
    rolerunner validate configs/*.yaml
    """
    problems = [problem for spec in specs for problem in _problems(spec, read_params(params))]
    for problem in problems:
        click.echo(_with_line(problem), err=True)
    if problems:
        raise SystemExit(SpecError.exit_status)
    click.echo(f"{len(specs)} spec{'s' if len(specs) > 1 else ''} checked, no mistakes")


@main.command(context_settings=_SETTINGS)
@_SPEC
@_PARAM
@click.option("--json", "as_json", is_flag=True, help="As JSON, for machines.")
def plan(spec: str, params: Sequence[str], as_json: bool) -> None:
    r"""Show what a run would do: order, roles, fields, permissions. Nothing is touched.

    \b
    rolerunner plan nightly.yaml -p run_date=2026-01-31
    rolerunner plan nightly.yaml --json
    """
    made = api.plan(api.load(spec, read_params(params)))
    click.echo(json.dumps(api.plan_as_json(made), indent=2, ensure_ascii=False) if as_json else plan_text(made))


def read_params(params: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` as a mapping. Raises UsageError."""
    read: dict[str, str] = {}
    for each in params:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise UsageError(f"-p takes NAME=VALUE, not '{each}'")
        if name in read:
            raise UsageError(f"the param '{name}' is given twice")
        read[name] = value
    return read


def _problems(spec: str, params: dict[str, str]) -> Sequence[Problem]:
    try:
        api.load(spec, params, complete=False)
    except SpecError as error:
        return error.problems
    return ()


def _with_line(problem: Problem) -> str:
    """A mistake with its line of text and a caret below the place."""
    if not problem.line.strip():
        return str(problem)
    indent = "".join("\t" if character == "\t" else " " for character in problem.line[: problem.mark.column - 1])
    return f"{problem}\n    {problem.line}\n    {indent}^"


def _sandbox_identity(stack: ExitStack, spec: str, file: str) -> JobIdentity:
    from rolerunner import sandbox  # noqa: PLC0415 - starts nothing unless asked for
    from rolerunner.credentials import JobIdentity, Keys  # noqa: PLC0415

    path = _sandbox_file(spec) if file == _BESIDE else Path(file)
    running = stack.enter_context(sandbox.running(sandbox.load(path)))
    keys = running.job_credentials
    return JobIdentity(running.region, keys=Keys(keys.access_key, keys.secret_key, keys.token), endpoints={"": running.endpoint})


def _sandbox_file(spec: str) -> Path:
    path = Path(spec)
    beside = path.with_name(f"{path.stem}.sandbox.yaml")
    if not beside.exists():
        raise UsageError(f"there is no {beside}: name the sandbox file, as in --sandbox FILE")
    return beside


def _observers(result: Optional[str], log_format: str, log_level: str) -> list[Observer]:
    observers: list[Observer] = []
    if log_format == "console" or (log_format == "auto" and sys.stdout.isatty()):
        from rolerunner.observers.terminal import Terminal  # noqa: PLC0415 - rich takes 60 ms

        observers.append(Terminal())
    else:
        from rolerunner.observers.log import Log, standard_stream  # noqa: PLC0415 - structlog takes 100 ms

        observers.append(Log(standard_stream(), level=log_level))
    if result:
        from rolerunner.observers.result import ResultFile  # noqa: PLC0415

        observers.append(ResultFile.at(Path(result).absolute()))
    return observers


def plan_text(plan: Plan) -> str:
    """The plan for a person."""
    lines = [f"{plan.job.name}: {len(plan.steps)} steps, {len(plan.roles)} roles to assume", ""]
    for role in plan.roles:
        lines.append(f"role {role}  {role.arn}")
        lines.append(
            f"     assumed from {role.via or 'the job'}, {role.duration // 60} minutes" + (", with an external id" if role.external_id else "")
        )
    for number, planned in enumerate(plan.steps, 1):
        lines += ["", *_step_text(number, planned)]
    return "\n".join(lines)


def _step_text(number: int, planned: PlannedStep) -> list[str]:
    step = planned.step
    roles = ", ".join(f"{field}: {role}" for field, role in step.roles.items())
    head = f"{number}. {step.id}  {step.action}" + (f"  ({roles})" if roles else "")
    after = [f"     after {', '.join(step.needs)}"] if step.needs else []
    fields = [f"     {name}: {api.plain(value)}" for name, value in planned.fields.items()]
    needed = [f"     needs {each.action} on {each.resource}" for permissions in planned.permissions.values() for each in permissions]
    return [head, *after, *fields, *needed]


def command() -> None:
    """The console command: every error of ours is a clear line and its exit status."""
    guarded(lambda: main.main(standalone_mode=False))


def guarded(work: Callable[[], Any]) -> None:
    """Run ``work`` and end the process with the right exit status."""
    try:
        work()
    except SpecError as error:
        for problem in error.problems:
            click.echo(_with_line(problem), err=True)
        sys.exit(error.exit_status)
    except RolerunnerError as error:
        click.echo(f"rolerunner: {error}", err=True)
        sys.exit(error.exit_status)
    except click.ClickException as error:
        error.show()
        sys.exit(UsageError.exit_status)
    except click.Abort:
        sys.exit(130)
