"""rolerunner plan"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Optional

import click

from rolerunner import api
from rolerunner.cli.common import PARAM, PARAMS_FILE, SETTINGS, SPEC, read_params

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.model import Plan, PlannedStep


@click.command(context_settings=SETTINGS)
@SPEC
@PARAM
@PARAMS_FILE
@click.option("--json", "as_json", is_flag=True, help="As JSON, for machines.")
def plan(spec: str, params: Sequence[str], params_file: Optional[str], as_json: bool) -> None:
    """Show what a run would do: order, roles, fields, permissions. Nothing is touched.

    \b
    rolerunner plan nightly.yaml -p run_date=2026-01-31
    rolerunner plan nightly.yaml --json
    """
    made = api.plan(api.load(spec, read_params(params, params_file)))
    click.echo(json.dumps(api.plan_as_json(made), indent=2, ensure_ascii=False) if as_json else plan_text(made))


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
    fields = [f"     {name}: {value}" for name, value in api.plain(dict(planned.fields)).items()]
    needed = [f"     needs {each.action} on {each.resource}" for permissions in planned.permissions.values() for each in permissions]
    return [head, *after, *fields, *needed]
