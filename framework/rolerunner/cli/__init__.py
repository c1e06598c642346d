"""The command line: one module per command. No other package imports click."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import click

from rolerunner._version import __version__
from rolerunner.cli.common import COMPLETE_VARIABLE, SETTINGS, echo, format_problem
from rolerunner.common.gc_tuning import tune_for_one_run
from rolerunner.errors import (
    RolerunnerError,
    RolesRefused,
    SecretsFailed,
    SpecError,
    StepError,
    UsageError,
)
from rolerunner.observers.streams import protect_standard_streams
from rolerunner.redaction.tracebacks import redact_tracebacks

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

COMMANDS = {
    "run": "Run a spec.",
    "validate": "Check specs without contacting AWS, and report every mistake.",
    "check": "Assume every role and probe the permissions of each step. Changes nothing.",
    "plan": "Show what a run would do: order, roles, fields and permissions.",
    "iam": "Print the least-privilege policy and the trust policy of each role.",
    "test": "Run test files: specs in the sandbox, compared with the expected outcome.",
    "sandbox": "Serve the local AWS of a spec to other programs until Ctrl-C.",
    "audit": "Find security problems in specs: roles, sessions, deletions, secrets.",
    "graph": "Draw the steps, their dependencies and their roles.",
    "report": "Render a result file as an HTML page: timeline, bytes, errors.",
    "init": "Create a new project that runs as it is.",
    "bundle": "Build everything that a Glue job needs to start offline.",
    "rehearse": "Start the job on this machine as Glue would start it.",
    "deploy": "Create or update the Glue job that runs a spec.",
    "start": "Start the Glue job of a spec and wait until it ends.",
    "logs": "Print or follow the logs of a Glue job run.",
    "actions": "Print the reference of actions: fields, outputs, permissions, examples.",
    "schema": "Print the JSON Schema of specs, for editors.",
    "completion": "Print the code by which bash, zsh or fish completes commands and specs.",
}
"""Maps each command to its help line; the module of the same name implements it."""


class _Commands(click.Group):
    """Imports the module of a command only when it is called, to start quickly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(
            importlib.import_module(f"rolerunner.cli.{cmd_name}"), cmd_name
        )
        if ctx.resilient_parsing:  # a shell asks for completions
            from rolerunner.cli.completion_values import add_value_completions  # noqa: PLC0415

            add_value_completions(found)
        tune_for_one_run()
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[Optional[str], Optional[click.Command], list[str]]:
        is_unknown = args and args[0] not in COMMANDS and not args[0].startswith("-")
        if is_unknown and not ctx.resilient_parsing:
            from rolerunner.cli.misuse import describe_unknown_command  # noqa: PLC0415 - needed only for an unknown command

            ctx.fail(describe_unknown_command(args[0], COMMANDS))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - needed only by a shell

        commands = [
            CompletionItem(name, help=text)
            for name, text in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        # click's own would import every command for its help
        return commands or click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Commands, context_settings=SETTINGS)
@click.version_option(__version__, prog_name="rolerunner")
def main() -> None:
    """Run the steps of a YAML job spec, each under its own IAM role.

    \b
    rolerunner validate nightly.yaml
    rolerunner plan nightly.yaml -p run_date=2026-01-31
    rolerunner run nightly.yaml --sandbox
    rolerunner run nightly.yaml -p run_date=2026-01-31 --result result.json

    Exit status: 0 success, 2 invalid spec or command line, 3 a role was refused, 4 a step failed, a
    secret could not be fetched, or the result could not be written.
    """


def run_command_line() -> bool:
    """Runs the console command; prints each known error as one line and exits with its status.

    Returns True if the command does: nothing is open that the end of the interpreter would close.
    """
    protect_standard_streams()
    redact_tracebacks()
    returned = run_or_exit(lambda: main.main(standalone_mode=False, complete_var=COMPLETE_VARIABLE))
    return returned is True


def run_or_exit(work: Callable[[], Any]) -> Any:
    """Returns what ``work`` returns, and turns errors into messages and exit statuses."""
    try:
        return work()
    except SpecError as error:
        for problem in error.problems:
            echo(format_problem(problem, colour=sys.stderr.isatty()), err=True)
        sys.exit(error.exit_status)
    except RolesRefused as error:
        from rolerunner.cli.refusals import format_refusals  # noqa: PLC0415 - needed only for refusals

        echo(f"rolerunner: {error.summary}\n\n{format_refusals(error)}", err=True)
        sys.exit(error.exit_status)
    except SecretsFailed as error:
        from rolerunner.cli.refusals import format_failures  # noqa: PLC0415 - as above

        echo(f"rolerunner: {error.summary}\n\n{format_failures(error.failures)}", err=True)
        sys.exit(error.exit_status)
    except StepError as error:  # a file that could not be written: nothing ran
        echo(f"rolerunner: {error}" + (f" ({error.hint})" if error.hint else ""), err=True)
        sys.exit(UsageError.exit_status)
    except RolerunnerError as error:
        echo(f"rolerunner: {error}", err=True)
        sys.exit(error.exit_status)
    except click.ClickException as error:
        from rolerunner.cli.misuse import explain_misuse  # noqa: PLC0415 - needed only for a wrong command line

        error.show()
        hint = explain_misuse(error)
        if hint:
            echo(f"  {hint}", err=True)
        sys.exit(UsageError.exit_status)
    except click.Abort:
        sys.exit(130)
    except FileNotFoundError:
        if _has_current_folder():
            raise
        echo("rolerunner: the current folder is gone: change to one that exists", err=True)
        sys.exit(UsageError.exit_status)


def _has_current_folder() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True
