"""Renders the Glue job as code: CloudFormation in JSON, Terraform in HCL."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from rolerunner.glue.deploy.emit_rules import (
    render_cloudformation_rules,
    render_terraform_rules,
)
from rolerunner.policies.terraform import escape_hcl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.glue.deploy.settings import JobDefinition

FORMS = ("cloudformation", "terraform")
_TERRAFORM_NAMES = {
    "Description": "description",
    "GlueVersion": "glue_version",
    "WorkerType": "worker_type",
    "NumberOfWorkers": "number_of_workers",
    "MaxCapacity": "max_capacity",
    "Timeout": "timeout",
    "MaxRetries": "max_retries",
    "SecurityConfiguration": "security_configuration",
    "ExecutionClass": "execution_class",
    "JobRunQueuingEnabled": "job_run_queuing_enabled",
    "MaintenanceWindow": "maintenance_window",
    "DefaultArguments": "default_arguments",
    "NonOverridableArguments": "non_overridable_arguments",
}


def render_job(wanted: JobDefinition, form: str) -> str:
    """Renders the job in one of ``FORMS``."""
    return render_cloudformation(wanted) if form == "cloudformation" else render_terraform(wanted)


def render_cloudformation(wanted: JobDefinition) -> str:
    """Renders a template with the job."""
    properties: dict[str, Any] = {"Name": wanted.name, **wanted.job}
    if wanted.tags:
        properties["Tags"] = dict(wanted.tags)
    logical = _logical_name(wanted.name)
    resources = {logical: {"Type": "AWS::Glue::Job", "Properties": properties}}
    if wanted.trigger:
        resources[f"{logical}Trigger"] = {
            "Type": "AWS::Glue::Trigger",
            "Properties": {
                **wanted.trigger,
                "Actions": [{"JobName": {"Ref": logical}}],
                "StartOnCreation": True,
            },
        }
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": (
            f"The Glue job {wanted.name}, written by rolerunner deploy --emit cloudformation"
        ),
        "Resources": {**resources, **render_cloudformation_rules(wanted.rules)},
    }
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"


def render_terraform(wanted: JobDefinition) -> str:
    """Renders a configuration with the job, as ``terraform fmt`` formats it.

    A role given by name is looked up by a data source.
    """
    job = wanted.job
    by_arn = str(job["Role"]).startswith("arn:")
    values = {ours: job[glues] for glues, ours in _TERRAFORM_NAMES.items() if glues in job}
    plain = {
        "name": wanted.name,
        **{name: value for name, value in values.items() if not isinstance(value, dict)},
    }
    if "Connections" in job:
        plain["connections"] = job["Connections"]["Connections"]
    maps = {
        name: value
        for name, value in {**values, "tags": dict(wanted.tags)}.items()
        if isinstance(value, dict) and value
    }
    command, runs = job["Command"], job["ExecutionProperty"]
    notify = job.get("NotificationProperty", {}).get("NotifyDelayAfter")
    lines = [
        "# written by rolerunner deploy --emit terraform",
        *(
            []
            if by_arn
            else ['data "aws_iam_role" "job" {', f"  name = {_render_hcl(job['Role'])}", "}", ""]
        ),
        f'resource "aws_glue_job" "{_resource_name(wanted.name)}" {{',
        f"  role_arn = {_render_hcl(job['Role']) if by_arn else 'data.aws_iam_role.job.arn'}",
        "",
        *_align_values(plain, "  "),
        *(
            line
            for name, value in maps.items()
            for line in ("", f"  {name} = {{", *_align_values(value, "    ", quoted=True), "  }")
        ),
        *_render_block(
            "command",
            {
                "name": command["Name"],
                "python_version": command["PythonVersion"],
                "script_location": command["ScriptLocation"],
            },
        ),
        *_render_block("execution_property", {"max_concurrent_runs": runs["MaxConcurrentRuns"]}),
        *(_render_block("notification_property", {"notify_delay_after": notify}) if notify else []),
        "}",
        *render_terraform_rules(wanted.rules),
        *(_render_trigger(wanted) if wanted.trigger else []),
    ]
    return "\n".join(lines) + "\n"


def _render_trigger(wanted: JobDefinition) -> list[str]:
    """Returns the trigger; Terraform starts it when it makes it."""
    trigger, name = wanted.trigger, _resource_name(wanted.name)
    plain = {"name": trigger["Name"], "type": trigger["Type"]}
    if "Schedule" in trigger:
        plain["schedule"] = trigger["Schedule"]
    predicate = trigger.get("Predicate", {})
    conditions = [
        line
        for each in predicate.get("Conditions", ())
        for line in (
            "",
            "    conditions {",
            *_align_values({"job_name": each["JobName"], "state": each["State"]}, "      "),
            "    }",
        )
    ]
    logical = [f"    logical = {_render_hcl(predicate['Logical'])}"] if predicate else []
    return [
        "",
        f'resource "aws_glue_trigger" "{name}" {{',
        *_align_values({**plain, "description": trigger["Description"]}, "  "),
        *(["", "  predicate {", *logical, *conditions, "  }"] if predicate else []),
        "",
        "  actions {",
        f"    job_name = aws_glue_job.{name}.name",
        "  }",
        "}",
    ]


def _resource_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name).lower()


def _render_block(name: str, values: Mapping[str, Any]) -> list[str]:
    return ["", f"  {name} {{", *_align_values(values, "    "), "  }"]


def _align_values(values: Mapping[str, Any], indent: str, *, quoted: bool = False) -> list[str]:
    names = [_render_hcl(name) if quoted else name for name in values]
    width = max(map(len, names))
    return [
        f"{indent}{name.ljust(width)} = {_render_hcl(value)}"
        for name, value in zip(names, values.values())
    ]


def _render_hcl(value: Any) -> str:
    """Returns a value in HCL."""
    return escape_hcl(json.dumps(value, ensure_ascii=False))


def _logical_name(name: str) -> str:
    return "".join(part.capitalize() for part in re.findall(r"[A-Za-z0-9]+", name)) or "Job"
