"""Implements ``rolerunner check``."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Optional

import click

from rolerunner import api
from rolerunner.cli.common import (
    ENV,
    PARAM,
    PARAMS_FILE,
    SETTINGS,
    SPEC,
    echo,
    read_params,
    warn_of_secrets,
)
from rolerunner.cli.sandboxed import DEFAULT_FILE, enter_sandbox, explain_refusals
from rolerunner.common.wording import align_columns
from rolerunner.errors import RolesRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.policies.probe import ProbeResult

EXIT_MISSING = 4


@click.command(context_settings=SETTINGS)
@SPEC
@PARAM
@PARAMS_FILE
@ENV
@click.option(
    "--sandbox",
    is_flag=False,
    flag_value=DEFAULT_FILE,
    default=None,
    metavar="[FILE]",
    help="Use the local AWS sandbox, which enforces IAM.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(
    spec: str,
    params: Sequence[str],
    params_file: Optional[str],
    env: str,
    sandbox: Optional[str],
    as_json: bool,
) -> None:
    """Assume every role and probe the permissions that each step needs. Changes nothing.

    \b
    rolerunner check nightly.yaml -p run_date=2026-01-31
    rolerunner check nightly.yaml --sandbox --json

    Exit status: 0 no permission is known to be missing, 3 a role was refused, 4 one is missing.
    """
    from rolerunner.policies import probe as checking  # noqa: PLC0415 - imports botocore
    from rolerunner.sessions.identity import JobIdentity  # noqa: PLC0415
    from rolerunner.sessions.registry import Sessions  # noqa: PLC0415

    with ExitStack() as stack:
        given = read_params(params, params_file)
        job = api.load(spec, given, env=env)
        warn_of_secrets(job, params)
        plan = api.plan(job)
        identity = (
            enter_sandbox(stack, spec, sandbox, job, given=given, env=env)
            if sandbox
            else JobIdentity()
        )
        sessions = Sessions(identity, session_name=f"{plan.job.name}-check")
        refused = checking.list_refused_roles(plan, sessions)
        if refused:
            if sandbox:
                explain_refusals(spec, sandbox, env)
            raise RolesRefused(refused)
        found = list(checking.probe_permissions(plan, sessions))
    echo(
        json.dumps([each.as_json() for each in found], indent=2)
        if as_json
        else format_findings(found)
    )
    if any(each.answer == checking.NO for each in found):
        if sandbox:
            explain_refusals(spec, sandbox, env)
        raise SystemExit(EXIT_MISSING)


def format_findings(found: Sequence[ProbeResult]) -> str:
    """Returns the findings as a table, followed by the remedies."""
    lines = align_columns(
        [
            ("step", "role", "permission", "allowed"),
            *(
                (each.step, each.role, f"{each.action} on {each.resource}", each.answer)
                for each in found
            ),
        ]
    )
    for each in found:
        if each.remedy:
            lines += [
                "",
                f"{each.step}, {each.action}: {each.answer}",
                *(f"  {line}" for line in each.remedy.splitlines()),
            ]
    return "\n".join(lines)
