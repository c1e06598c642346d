"""What whoever deploys needs, and what the Glue job's own role needs (Service Authorization Reference; AWS Glue developer guide)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.calls import bucket_arn, condition_json, object_arn, prefix_condition, statement
from rolerunner.glue.settings import home, job_name
from rolerunner.iam import Surroundings, policies
from rolerunner.model import Permission, RoleArn, S3Uri, Use
from rolerunner.policy import document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.model import GlueSettings, Plan

_GLUE = "glue.amazonaws.com"
_JOB_ACTIONS = (
    "glue:GetJob", "glue:UpdateJob", "glue:GetTags", "glue:TagResource", "glue:UntagResource", "glue:StartJobRun",
    "glue:GetJobRun", "glue:GetJobRuns",
)  # fmt: skip
_NETWORK = (
    "glue:GetConnection", "ec2:DescribeVpcEndpoints", "ec2:DescribeRouteTables", "ec2:DescribeSubnets", "ec2:DescribeSecurityGroups",
    "ec2:DescribeVpcAttribute", "ec2:DescribeNetworkInterfaces", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
    "ec2:CreateTags", "ec2:DeleteTags",
)  # fmt: skip


def needed(plan: Plan, settings: GlueSettings) -> dict[str, Any]:
    """Policies as JSON has them: the deployer's, the job's own, and whom the job's role must trust. Raises UsageError."""
    writes = (S3Uri.parse(settings.result),) if settings.result else ()
    role = settings.role if settings.role.startswith("arn:") else ""
    job = policies(plan, Surroundings(role, (home(plan.job, settings),), writes, tuple(_of_glue(settings))))[0]
    return {"deployer": document(_of_deployer(plan, settings)), "job": job.policy(), "job_trust": job.trust_policy()}


def _of_deployer(plan: Plan, settings: GlueSettings) -> Iterator[dict[str, Any]]:
    partition, account, role = _role(settings)
    place = home(plan.job, settings)
    yield statement(["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"], [object_arn(place, partition)])
    yield statement(["s3:ListBucket"], [bucket_arn(place, partition)], condition_json(prefix_condition(place.key)))
    name = job_name(plan.job, settings)
    yield statement(list(_JOB_ACTIONS), [f"arn:{partition}:glue:{settings.region or '*'}:{account}:job/{name}"])
    yield statement(["glue:CreateJob"], ["*"])  # there is no job yet that a policy could name
    yield statement(["iam:PassRole"], [role], {"StringEquals": {"iam:PassedToService": _GLUE}})
    yield statement(["logs:FilterLogEvents"], [f"arn:{partition}:logs:*:{account}:log-group:/aws-glue/*"])


def _of_glue(settings: GlueSettings) -> Iterator[Use]:
    """What Glue itself does under the job's role, for what the job is set to."""
    if settings.security_configuration:
        yield from (Use(Permission(action, "*"), "security_configuration") for action in ("logs:AssociateKmsKey", "glue:GetSecurityConfiguration"))
    if settings.connections:
        yield from (Use(Permission(action, "*"), "connections") for action in _NETWORK)
    if "--enable-metrics" in settings.arguments:
        yield Use(Permission("cloudwatch:PutMetricData", "*", (("StringEquals", "cloudwatch:namespace", ("Glue",)),)), "metrics")


def _role(settings: GlueSettings) -> tuple[str, str, str]:
    """Partition, account and ARN of the job's role, as far as they are known."""
    if settings.role.startswith("arn:"):
        arn = RoleArn.parse(settings.role)
        return arn.partition, arn.account, settings.role
    return "aws", "*", f"arn:aws:iam::*:role/{settings.role or '*'}"
