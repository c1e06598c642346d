"""Implements ``rolerunner plan``."""

from __future__ import annotations

import json
from contextlib import ExitStack
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
    warn_of_missing_extras,
    warn_of_secrets,
)
from rolerunner.cli.sandboxed import DEFAULT_FILE, enter_sandbox
from rolerunner.common.file_paths import expand_path
from rolerunner.common.new_files import create_atomically
from rolerunner.common.wording import format_count
from rolerunner.iam.policy import MAX_SESSION_POLICY, list_statements
from rolerunner.plan import planning
from rolerunner.plan.live_values import sum_items

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolerunner.model import Plan, PlannedNotification, PlannedStep, Role, Step
    from rolerunner.sessions.identity import JobIdentity


@click.command(context_settings=SETTINGS)
@SPEC
@PARAM
@PARAMS_FILE
@ENV
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--live",
    is_flag=True,
    help="Assume the roles and count what each step would process, with read requests only.",
)
@click.option(
    "--objects",
    metavar="FILE",
    help="With --live: write a line of JSON for each object: what would be done, and why; "
    "'-' for standard output, without the plan.",
)
@click.option(
    "--sandbox",
    is_flag=False,
    flag_value=DEFAULT_FILE,
    default=None,
    metavar="[FILE]",
    help="With --live: use the sandbox.",
)
def plan(
    spec: str,
    params: Sequence[str],
    params_file: Optional[str],
    env: str,
    as_json: bool,
    live: bool,
    objects: Optional[str],
    sandbox: Optional[str],
) -> None:
    """Show what a run would do: order, roles, fields and permissions. Changes nothing.

    \b
    rolerunner plan nightly.yaml -p run_date=2026-01-31
    rolerunner plan nightly.yaml --live                    with object and byte counts
    rolerunner plan nightly.yaml --live --objects objects.jsonl
    rolerunner plan nightly.yaml --env prod
    rolerunner plan nightly.yaml --json
    """
    if sandbox and not live:
        raise click.UsageError("--sandbox requires --live: a plan by itself sends no requests")
    if objects and not live:
        raise click.UsageError("--objects requires --live: a plan by itself sends no requests")
    given = read_params(params, params_file)
    job = api.load(spec, given, env=env)
    warn_of_secrets(job, params)
    warn_of_missing_extras([job])
    job_plan = api.plan(job)
    found: Mapping[str, Mapping[str, Any]] = {}
    if live:
        with ExitStack() as stack:
            identity = (
                enter_sandbox(stack, spec, sandbox, job, given=given, env=env) if sandbox else None
            )
            found = (
                _write_objects(job_plan, objects, identity)
                if objects
                else api.survey(job_plan, identity)
            )
    if objects == "-":
        return
    if as_json:
        echo(
            json.dumps(
                _add_live_values(planning.plan_to_json(job_plan), found),
                indent=2,
                ensure_ascii=False,
            )
        )
    else:
        echo(format_plan(job_plan, found))


def _write_objects(
    job_plan: Plan, path: str, identity: Optional[JobIdentity]
) -> Mapping[str, Mapping[str, Any]]:
    """Writes a line for each object to a file, which appears complete; returns the counts."""
    if path == "-":
        return api.preview_objects(job_plan, echo, identity)
    with (
        create_atomically(expand_path(path)) as new_file,
        open(new_file.descriptor, "w", encoding="utf-8", closefd=False) as lines,
    ):
        return api.preview_objects(job_plan, lambda line: lines.write(f"{line}\n"), identity)


def _add_live_values(
    shown: dict[str, Any], found: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    for step in shown["steps"]:
        if step["id"] in found:
            step["live"] = dict(found[step["id"]])
    return shown


def format_plan(plan: Plan, found: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the plan as text; ``found`` holds the live values of each step."""
    lines = [
        (
            f"{plan.job.title}: {format_count(len(plan.job.action_steps), 'step')}, "
            f"{format_count(len(plan.roles), 'role')} to assume"
        ),
        "",
    ]
    for role in plan.roles:
        lines += _format_role(role, plan)
    for secret in plan.secrets:
        lines.append(f"secret {secret.source.param}  {secret.source}  (role: {secret.source.role})")
        lines += [f"     needs {each.action} on {each.resource}" for each in secret.permissions]
    if plan.job.state is not None:
        lines.append(
            f"state {plan.job.state.location}  (role: {plan.job.state.role or 'this machine'})"
        )
        lines += [f"     needs {each.action} on {each.resource}" for each in plan.state]
    for each in plan.notify:
        lines += _format_notification(each)
    groups = {inner.id: step for step in plan.job.steps for inner in step.steps}
    shown: set[str] = set()
    for number, planned in enumerate(plan.steps, 1):
        group = groups.get(planned.step.id)
        if group is not None and group.id not in shown:
            shown.add(group.id)
            lines += ["", *_format_group(group)]
        lines += [
            "",
            *_format_step(number, planned),
            *_format_live_values(_select_live_values(planned, found.get(planned.step.id, {}))),
        ]
    return "\n".join(lines)


def _format_group(group: Step) -> list[str]:
    items = (
        format_count(len(group.for_each), "item")
        if isinstance(group.for_each, list)
        else f"each item of {group.for_each}"
    )
    settings = [
        *([f"{group.max_parallel} at once"] if group.max_parallel else []),
        *([f"{group.max_failures} may fail"] if group.max_failures else []),
    ]
    more = f" ({', '.join(settings)})" if settings else ""
    after = [f"   after {', '.join(group.needs)}"] if group.needs else []
    return [f"group {group.id}: the following steps for {items}{more}", *after]


def _format_role(role: Role, plan: Plan) -> list[str]:
    lines = [
        f"role {role}  {role.arn}" + (f"  (a session for {role.step})" if role.step else ""),
        f"     assumed from {role.via or 'the job'}, {role.duration // 60} minutes"
        + (", with an external id" if role.external_id else ""),
    ]
    if role.policy:
        lines.append(
            f"     session policy, {len(role.policy):,} of {MAX_SESSION_POLICY:,} characters:"
        )
        lines += [
            f"       {json.dumps(each, ensure_ascii=False)}"
            for each in list_statements(json.loads(role.policy))
        ]
    return [*lines, *(f"     note: {note}" for note in plan.narrowed.get(role, ()))]


def _format_notification(planned: PlannedNotification) -> list[str]:
    told = planned.notification
    role = f"  (role: {told.role})" if told.role is not None else ""
    return [
        f"notify {told.label}  on {', '.join(told.on)}{role}",
        *(f"     needs {each.action} on {each.resource}" for each in planned.permissions),
    ]


def _format_step(number: int, planned: PlannedStep) -> list[str]:
    step = planned.step
    roles = ", ".join(f"{field}: {role}" for field, role in step.roles.items())
    head = f"{number}. {step.id}  {step.action}" + (f"  ({roles})" if roles else "")
    after = [f"     after {', '.join(step.needs)}"] if step.needs else []
    fields = [
        f"     {name}: {value}"
        for name, value in planning.to_plain_json(dict(planned.fields)).items()
    ]
    needed = [
        f"     needs {each.action} on {each.resource}"
        for permissions in planned.permissions.values()
        for each in permissions
    ]
    items = [f"     for {_shorten_list(planned.items)}"] if planned.items else []
    return [
        head,
        *items,
        *after,
        *fields,
        *needed,
        *(f"     note: {note}" for note in planned.notes),
    ]


def _shorten_list(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _MAX_LABELS} more" if len(labels) > _MAX_LABELS else ""
    return f"{', '.join(labels[:_MAX_LABELS])}{more}"


_MAX_LABELS = 10
"""Items of a step that are named."""


def _select_live_values(planned: PlannedStep, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the values of the items that the plan shows here, or those of the whole step."""
    items = found.get("items", {})
    if planned.items and items:
        return sum_items({label: items[label] for label in planned.items if label in items})
    return {name: value for name, value in found.items() if name != "items"}


def _format_live_values(found: Mapping[str, Any]) -> list[str]:
    nouns = {"count": ("object", "objects"), "bytes": ("byte", "bytes")}
    summary = ", ".join(
        format_count(value, *nouns[name]) if name in nouns else f"{name}: {value}"
        for name, value in found.items()
    )
    return [f"     now: {summary}"] if summary else []
