"""Suggests what to write for commands, options and arguments that other tools have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Collection

_COMMANDS = {
    "help": "write 'rolerunner --help'",
    "version": "write 'rolerunner --version'",
    **dict.fromkeys(("lint", "verify", "parse", "compile"), "write 'rolerunner validate SPEC'"),
    **dict.fromkeys(
        ("dry-run", "dryrun", "diff", "preview", "show", "explain"), "write 'rolerunner plan SPEC'"
    ),
    **dict.fromkeys(("execute", "exec", "apply", "up"), "write 'rolerunner run SPEC'"),
    **dict.fromkeys(("policy", "policies", "permissions"), "write 'rolerunner iam SPEC'"),
    **dict.fromkeys(("new", "create", "scaffold"), "write 'rolerunner init DIR'"),
    **dict.fromkeys(("doctor", "debug", "whoami"), "write 'rolerunner check SPEC'"),
    **dict.fromkeys(("resume", "retry"), "write 'rolerunner run SPEC --resume RUN_ID'"),
    **dict.fromkeys(("status", "history"), "write 'rolerunner logs SPEC'"),
}
_DRY_RUN = "'rolerunner plan SPEC' is the dry run"
_OPTIONS = {
    **dict.fromkeys(("--dry-run", "--dryrun", "--check", "--diff", "--noop"), _DRY_RUN),
    "--profile": "set AWS_PROFILE",
    "--region": "set AWS_REGION, or 'region' of a role",
    "--endpoint-url": "set AWS_ENDPOINT_URL",
    "--role-arn": "write the role in the spec",
    **dict.fromkeys(
        ("--var", "--vars", "--set", "--var-file", "--extra-vars", "-e", "--input"),
        "write -p NAME=VALUE, or --params FILE",
    ),
    **dict.fromkeys(("--quiet", "--verbose", "-v", "-q", "--debug"), "see --log-format"),
    "--environment": "write --env NAME",
    "--recursive": "a source that ends with '/' includes all below it",
}


def describe_unknown_command(name: str, commands: Collection[str]) -> str:
    """Returns the message for a command that does not exist, with what to write."""
    if name.startswith("s3://") or name.endswith((".yaml", ".yml")):
        return f"'{name}' is not a command (write 'rolerunner run {name}')"
    hint = suggest_name(name, commands) or f"known: {', '.join(commands)}"
    return f"there is no command '{name}' ({_COMMANDS.get(name) or hint})"


def explain_misuse(error: click.ClickException) -> str:
    """Returns what to write for a wrong option or argument; empty if it is not known."""
    if isinstance(error, click.NoSuchOption):
        is_before_command = error.ctx is not None and error.ctx.parent is None
        behind = f"options follow the command, as in 'rolerunner run SPEC {error.option_name}'"
        return _OPTIONS.get(error.option_name) or (behind if is_before_command else "")
    extra = re.search(r"unexpected extra arguments? \((\S+)", str(error.message))
    if extra is None:
        return ""
    argument = extra[1].rstrip(")")
    if re.match(r"[A-Za-z]\w*=", argument):
        return f"write -p {argument}"
    context = getattr(error, "ctx", None)
    takes_one = context is not None and "SPEC" in context.command.collect_usage_pieces(context)
    return f"this command takes one spec; '{argument}' is a second one" if takes_one else ""
