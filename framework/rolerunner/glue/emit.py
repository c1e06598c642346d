"""The Glue job as code, for teams that own their jobs there: CloudFormation in JSON, Terraform in HCL."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.glue.settings import Wanted

FORMS = ("cloudformation", "terraform")
_TERRAFORM_NAMES = {
    "Description": "description", "GlueVersion": "glue_version", "WorkerType": "worker_type", "NumberOfWorkers": "number_of_workers",
    "MaxCapacity": "max_capacity", "Timeout": "timeout", "MaxRetries": "max_retries", "SecurityConfiguration": "security_configuration",
    "DefaultArguments": "default_arguments", "NonOverridableArguments": "non_overridable_arguments",
}  # fmt: skip


def emitted(wanted: Wanted, form: str) -> str:
    """The job in one of ``FORMS``."""
    return cloudformation(wanted) if form == "cloudformation" else terraform(wanted)


def cloudformation(wanted: Wanted) -> str:
    """A template with the one job."""
    properties: dict[str, Any] = {"Name": wanted.name, **wanted.job}
    if wanted.tags:
        properties["Tags"] = dict(wanted.tags)
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"The Glue job {wanted.name}, written by rolerunner deploy --emit cloudformation",
        "Resources": {_logical_name(wanted.name): {"Type": "AWS::Glue::Job", "Properties": properties}},
    }
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"


def terraform(wanted: Wanted) -> str:
    """A configuration with the one job, which takes the role's ARN as a variable where only its name is known."""
    job = wanted.job
    values = {ours: job[glues] for glues, ours in _TERRAFORM_NAMES.items() if glues in job}
    role_is_arn = str(job["Role"]).startswith("arn:")
    lines = [
        f'resource "aws_glue_job" {json.dumps(re.sub(r"[^A-Za-z0-9_-]", "_", wanted.name).lower())} {{',
        f"  name     = {_hcl(wanted.name)}",
        f"  role_arn = {_hcl(job['Role']) if role_is_arn else 'data.aws_iam_role.job.arn'}",
        *(f"  {name} = {_hcl(value, '  ')}" for name, value in values.items()),
        *([f"  connections = {_hcl(job['Connections']['Connections'])}"] if "Connections" in job else []),
        *([f"  tags = {_hcl(dict(wanted.tags), '  ')}"] if wanted.tags else []),
        "",
        "  command {",
        f"    name            = {_hcl(job['Command']['Name'])}",
        f"    python_version  = {_hcl(job['Command']['PythonVersion'])}",
        f"    script_location = {_hcl(job['Command']['ScriptLocation'])}",
        "  }",
        "",
        "  execution_property {",
        f"    max_concurrent_runs = {_hcl(job['ExecutionProperty']['MaxConcurrentRuns'])}",
        "  }",
        "}",
    ]
    role = [] if role_is_arn else ['data "aws_iam_role" "job" {', f"  name = {_hcl(job['Role'])}", "}", ""]
    return "\n".join(["# written by rolerunner deploy --emit terraform", *role, *lines]) + "\n"


def _hcl(value: Any, indent: str = "") -> str:
    """A value as HCL writes it: strings as JSON has them, with the signs of templates doubled."""
    if isinstance(value, dict):
        return _hcl_map(value, indent)
    return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def _hcl_map(values: Mapping[str, Any], indent: str) -> str:
    return "\n".join(["{", *(f"{indent}  {_hcl(name)} = {_hcl(value)}" for name, value in values.items()), f"{indent}}}"])


def _logical_name(name: str) -> str:
    return "".join(part.capitalize() for part in re.findall(r"[A-Za-z0-9]+", name)) or "Job"
