"""Policies of the deploying identity and of the Glue job's own role.

Sources: Service Authorization Reference; AWS Glue developer guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.glue.deploy.rules import list_deployer_statements, plan_rules
from rolerunner.glue.deploy.settings import artifact_prefix, job_name
from rolerunner.glue.deploy.triggers import define_trigger
from rolerunner.iam.actions_table import (
    build_bucket_arn,
    build_object_arn,
    build_prefix_condition,
    build_statement,
    render_condition,
)
from rolerunner.iam.policy import build_policy
from rolerunner.model import Permission, RoleArn, S3Uri, Use
from rolerunner.policies.least_privilege import LOG_ACTIONS, JobRoleUses, derive_policies

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rolerunner.model import GlueSettings, Job, Plan

_GLUE = "glue.amazonaws.com"
_JOB_ACTIONS = (
    "glue:GetJob",
    "glue:UpdateJob",
    "glue:GetTags",
    "glue:TagResource",
    "glue:UntagResource",
    "glue:StartJobRun",
    "glue:GetJobRun",
    "glue:GetJobRuns",
)
_TRIGGER_ACTIONS = (
    "glue:GetTrigger",
    "glue:UpdateTrigger",
    "glue:StartTrigger",
    "glue:DeleteTrigger",
)
_CODE = ("--extra-", "--additional-python-modules", "--python-virtual-env")
"""Prefixes of arguments that locate code."""
_KEPT = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")
_LOG_GROUPS = ("--continuous-log-logGroup", "--custom-logGroup-prefix")
"""Arguments that name custom log groups."""
_FOLDERS = {"--TempDir": _KEPT, "--spark-event-logs-path": ("s3:GetObject", "s3:PutObject")}
_METRICS = ("--enable-metrics", "--enable-observability-metrics")
"""Arguments with which a job writes metrics, whatever their value is."""
_NETWORK = (
    "glue:GetConnection",
    "ec2:DescribeVpcEndpoints",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeVpcAttribute",
    "ec2:DescribeNetworkInterfaces",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:CreateTags",
    "ec2:DeleteTags",
)


def build_policies(plan: Plan, settings: GlueSettings) -> dict[str, Any]:
    """Returns the deployer's policy, the job's policy and its trust policy. Raises UsageError."""
    artifact_prefix(plan.job, settings)  # the deployer's policy names it
    job = derive_policies(plan, build_surroundings(plan.job, settings))[0]
    return {
        "deployer": build_policy(_of_deployer(plan, settings)),
        "job": job.policy(),
        "job_trust": job.trust_policy(),
    }


def build_surroundings(
    job: Job,
    settings: GlueSettings,
    job_role: str = "",
    reads: Iterable[S3Uri] = (),
    writes: Iterable[S3Uri] = (),
) -> JobRoleUses:
    """Returns the job's own access besides its steps; ``job_role`` overrides the section's."""
    role = job_role or (settings.role if settings.role.startswith("arn:") else "")
    bundle = [artifact_prefix(job, settings)] if settings.artifacts is not None else []
    result = [S3Uri.parse(settings.result)] if settings.result else []
    code = [
        uri
        for name, value in settings.arguments.items()
        if name.startswith(_CODE)
        for uri in _find_locations(value)
    ]
    more = (*_of_glue(settings), *_of_folders(settings))
    return JobRoleUses(role, (*reads, *bundle, *code), (*writes, *result), more)


def _find_locations(value: str) -> list[S3Uri]:
    return [
        S3Uri.parse(each.strip()) for each in value.split(",") if each.strip().startswith("s3://")
    ]


def _of_folders(settings: GlueSettings) -> Iterator[Use]:
    """Yields the access to folders of Glue's and Spark's own files."""
    for name, actions in _FOLDERS.items():
        for uri in _find_locations(settings.arguments.get(name, "")):
            folder = uri if uri.is_prefix else uri.join("/")
            yield from (
                Use(Permission(action, build_object_arn(folder)), name) for action in actions
            )
            yield Use(
                Permission(
                    "s3:ListBucket", build_bucket_arn(folder), build_prefix_condition(folder.key)
                ),
                name,
            )


def _of_deployer(plan: Plan, settings: GlueSettings) -> Iterator[dict[str, Any]]:
    partition, account, role = _describe_role(settings)
    place = artifact_prefix(plan.job, settings)
    yield build_statement(
        ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"],
        [build_object_arn(place, partition)],
    )
    yield build_statement(
        ["s3:ListBucket"],
        [build_bucket_arn(place, partition)],
        render_condition(build_prefix_condition(place.key)),
    )
    name = job_name(plan.job, settings)
    glue = f"arn:{partition}:glue:{settings.region or '*'}:{account}"
    yield build_statement(list(_JOB_ACTIONS), [f"{glue}:job/{name}"])
    trigger = define_trigger(name, settings).get("Name")
    if trigger:
        yield build_statement(list(_TRIGGER_ACTIONS), [f"{glue}:trigger/{trigger}"])
    created = ["glue:CreateJob", *(["glue:CreateTrigger"] if trigger else [])]
    yield build_statement(created, ["*"])  # there is nothing yet that a policy could name
    yield build_statement(
        ["iam:PassRole"], [role], {"StringEquals": {"iam:PassedToService": _GLUE}}
    )
    rules = plan_rules(plan.job, settings, name, settings.region or "*").drop_incomplete()
    for actions, resources, condition in list_deployer_statements(
        rules, partition, settings.region, account
    ):
        yield build_statement(actions, resources, condition)
    groups = ["/aws-glue/*", *(f"{each}*" for each in _list_log_groups(settings))]
    yield build_statement(
        ["logs:FilterLogEvents"],
        [f"arn:{partition}:logs:*:{account}:log-group:{each}" for each in groups],
    )


def _of_glue(settings: GlueSettings) -> Iterator[Use]:
    """Yields the access that Glue itself needs for the job's settings."""
    if settings.security_configuration:
        yield from (
            Use(Permission(action, "*"), "security_configuration")
            for action in ("logs:AssociateKmsKey", "glue:GetSecurityConfiguration")
        )
    if settings.connections:
        yield from (Use(Permission(action, "*"), "connections") for action in _NETWORK)
    for name in _list_log_groups(settings):
        partition, account, _ = _describe_role(settings)
        group = f"arn:{partition}:logs:*:{account}:log-group:{name}*"
        yield from (Use(Permission(action, group), "log") for action in LOG_ACTIONS)
    if any(name in settings.arguments for name in _METRICS):
        yield Use(
            Permission(
                "cloudwatch:PutMetricData",
                "*",
                (("StringEquals", "cloudwatch:namespace", ("Glue",)),),
            ),
            "metrics",
        )


def _list_log_groups(settings: GlueSettings) -> list[str]:
    """Returns the names, or prefixes of names, of custom log groups."""
    return [settings.arguments[name] for name in _LOG_GROUPS if settings.arguments.get(name)]


def _describe_role(settings: GlueSettings) -> tuple[str, str, str]:
    """Returns partition, account and ARN of the job's role, with wildcards if unknown."""
    if settings.role.startswith("arn:"):
        arn = RoleArn.parse(settings.role)
        return arn.partition, arn.account, settings.role
    return "aws", "*", f"arn:aws:iam::*:role/{settings.role or '*'}"
