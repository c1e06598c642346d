"""Implements ``rolerunner iam``."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

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
    write_file,
)
from rolerunner.cli.sandboxed import DEFAULT_FILE, enter_sandbox
from rolerunner.iam.policy import MAX_INLINE, MAX_TRUST
from rolerunner.iam.policy_text import compact_json, format_json
from rolerunner.model import RoleArn, S3Uri
from rolerunner.policies import cloudformation, terraform
from rolerunner.policies.compare import (
    EXTRA,
    LACKS,
    UNKNOWN,
    UNSURE,
    WIDE,
    compare_policies,
    read_granted_policies,
)
from rolerunner.policies.least_privilege import (
    JobRoleUses,
    derive_policies,
    drop_run_params,
    list_notes,
    name_roles,
    policies_to_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rolerunner.model import Job, Plan
    from rolerunner.policies.compare import PolicyDifference
    from rolerunner.policies.least_privilege import RolePolicies

EXIT_LACKING = 4


def _validate_with(
    read_granted_policies: Callable[[str], Any],
) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Returns an option callback that rejects values which cannot be parsed."""

    def check(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        del context
        try:
            return (
                tuple(map(read_granted_policies, value))
                if isinstance(value, tuple)
                else value and str(read_granted_policies(value) and value)
            )
        except ValueError as error:
            raise click.BadParameter(str(error), param=parameter) from None

    return check


@click.command(context_settings=SETTINGS)
@SPEC
@PARAM
@PARAMS_FILE
@ENV
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["json", "cloudformation", "terraform"]),
    help="Output format; defaults to json.",
)
@click.option(
    "--job-role",
    metavar="ARN",
    callback=_validate_with(RoleArn.parse),
    help="The job's own role, with its path; it may assume the other roles.",
)
@click.option(
    "--reads",
    multiple=True,
    metavar="URI",
    callback=_validate_with(S3Uri.parse),
    help="URI that the job's role reads at its start: script, spec, wheels.",
)
@click.option(
    "--writes",
    multiple=True,
    metavar="URI",
    callback=_validate_with(S3Uri.parse),
    help="URI that the job's role writes besides its steps: the result file.",
)
@click.option(
    "--widen",
    multiple=True,
    metavar="PARAM",
    help="Allow any value of this param; dates and times without a value already allow any.",
)
@click.option(
    "--account", metavar="ID", help="CloudFormation and Terraform: only the roles of this account."
)
@click.option("--explain", is_flag=True, help="Add the steps that each statement is for.")
@click.option(
    "--compare",
    metavar="FILE",
    help="Compare with the policies in this file: what roles lack and what they do not need.",
)
@click.option(
    "--live",
    is_flag=True,
    help="Compare with the current policies in IAM, for roles of the job's account.",
)
@click.option(
    "--sandbox",
    is_flag=False,
    flag_value=DEFAULT_FILE,
    default=None,
    metavar="[FILE]",
    help="With --live: use the sandbox.",
)
@click.option(
    "-o", "--output", metavar="FILE", help="Write to this file instead of standard output."
)
def iam(
    spec: str,
    params: Sequence[str],
    params_file: Optional[str],
    env: str,
    output_format: Optional[str],
    job_role: Optional[str],
    reads: tuple[S3Uri, ...],
    writes: tuple[S3Uri, ...],
    widen: Sequence[str],
    account: Optional[str],
    explain: bool,
    compare: Optional[str],
    live: bool,
    sandbox: Optional[str],
    output: Optional[str],
) -> None:
    """Print the least-privilege policy of each role and its trust policy.

    \b
    rolerunner iam nightly.yaml --job-role arn:aws:iam::111122223333:role/glue-nightly
    rolerunner iam nightly.yaml --job-role ARN --format cloudformation -o roles.yaml
    rolerunner iam nightly.yaml --job-role ARN --format terraform --explain
    aws iam get-account-authorization-details > have.json
    rolerunner iam nightly.yaml --job-role ARN --compare have.json

    Exit status: 0 success; with --compare or --live, 4 if a role lacks a permission.
    """
    if compare is not None and live:
        raise click.UsageError("--compare and --live exclude each other")
    if sandbox and not live:
        raise click.UsageError("--sandbox requires --live")
    given = read_params(params, params_file)
    plan = api.plan(drop_run_params(api.load(spec, given, complete=False, env=env), given, widen))
    around = _find_surroundings(plan.job, job_role or "", reads, writes)
    found = derive_policies(plan, around)
    if compare is None and not live:
        _write_output(
            _render_policies(plan, found, output_format or "json", account, explain=explain), output
        )
        _print_warnings(plan, found, around.job_role)
        return
    if output_format not in (None, "json"):
        raise click.UsageError(
            "--compare and --live print text or JSON: leave out --format, or set it to json"
        )
    diffs = (
        _compare_with_file(found, Path(compare))
        if compare is not None
        else _compare_with_iam(found, spec, sandbox, env)
    )
    _write_output(_to_json(diffs) if output_format == "json" else format_differences(diffs), output)
    if any(each.kind == LACKS for each in diffs):
        raise SystemExit(EXIT_LACKING)


def _write_output(text: str, output: Optional[str]) -> None:
    if output is None:
        echo(text, nl=False)
    else:
        write_file(Path(output), text)


def _render_policies(
    plan: Plan,
    found: Sequence[RolePolicies],
    output_format: str,
    account: Optional[str],
    *,
    explain: bool,
) -> str:
    if output_format == "cloudformation":
        return cloudformation.render_cloudformation(
            plan.job.name, name_roles(found, account), explain=explain
        )
    if output_format == "terraform":
        return terraform.render_terraform(
            plan.job.name, name_roles(found, account), explain=explain
        )
    return format_json(policies_to_json(plan, found, explain=explain)) + "\n"


def _find_surroundings(
    job: Job, job_role: str, reads: Sequence[S3Uri], writes: Sequence[S3Uri]
) -> JobRoleUses:
    """Returns the job's own access besides its steps: options and the spec's glue section."""
    if job.glue is None:
        return JobRoleUses(job_role, tuple(reads), tuple(writes))
    from rolerunner.glue.deploy.permissions import build_surroundings  # noqa: PLC0415 - many specs have no such section

    return build_surroundings(job, job.glue, job_role, reads, writes)


def _print_warnings(plan: Plan, found: Sequence[RolePolicies], job_role: str) -> None:
    for step, told in list_notes(plan).items():
        for note in told:
            echo(f"rolerunner: {step}: {note}", err=True)
    for role in found:
        for what, policy, most in (
            ("inline policy", role.policy(), MAX_INLINE),
            ("trust policy", role.trust_policy(), MAX_TRUST),
        ):
            size = len(compact_json(policy))
            if size > most:
                echo(
                    f"rolerunner: {', '.join(role.names)}: the {what} has {size:,} characters; "
                    f"IAM allows {most:,}",
                    err=True,
                )
    if not job_role:
        echo(
            "rolerunner: the job's own role is unknown, so trust policies name no principal yet: "
            "set --job-role ARN, or 'role' under 'glue' in the spec",
            err=True,
        )


def _compare_with_file(found: Sequence[RolePolicies], path: Path) -> list[PolicyDifference]:
    return compare_policies(found, read_granted_policies(path))


def _compare_with_iam(
    found: Sequence[RolePolicies], spec: str, sandbox: Optional[str], env: str
) -> list[PolicyDifference]:
    from rolerunner.policies.live import fetch_granted_policies  # noqa: PLC0415
    from rolerunner.sessions.identity import JobIdentity  # noqa: PLC0415 - imports boto3
    from rolerunner.sessions.registry import Sessions  # noqa: PLC0415 - imports boto3

    with ExitStack() as stack:
        identity = enter_sandbox(stack, spec, sandbox, env=env) if sandbox else JobIdentity()
        have, unread = fetch_granted_policies(
            found, Sessions(identity, session_name="rolerunner-iam")
        )
    return [
        replace(each, why=unread.get(each.resource, each.why)) if each.kind == UNKNOWN else each
        for each in compare_policies(found, have)
    ]


def _to_json(diffs: Sequence[PolicyDifference]) -> str:
    return json.dumps([each.as_json() for each in diffs], indent=2, ensure_ascii=False) + "\n"


_WORDS = {
    LACKS: "lacks",
    UNSURE: "may lack",
    UNKNOWN: "unknown",
    EXTRA: "does not need",
    WIDE: "needs less than",
}


def format_differences(diffs: Sequence[PolicyDifference]) -> str:
    """Returns a line for each difference, grouped by role."""
    lines: list[str] = []
    role = None
    for each in diffs:
        if each.role != role:
            role = each.role
            lines += ["", f"role {role}"] if lines else [f"role {role}"]
        what = f"{each.action} on {each.resource}" if each.action else each.resource
        lines.append(f"  {_WORDS[each.kind]}: {what}" + (f"  ({each.why})" if each.why else ""))
    return "\n".join(lines or ["every role has what the spec needs, and no more"]) + "\n"
