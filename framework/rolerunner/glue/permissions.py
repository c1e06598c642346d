"""What whoever deploys needs, and what the Glue job's own role needs (Service Authorization Reference; AWS Glue developer guide)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.calls import bucket_arn, object_arn
from rolerunner.diagnosis import caller_statement
from rolerunner.glue.settings import home, job_name
from rolerunner.model import RoleArn, S3Uri

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.model import GlueSettings, Permission, Plan

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
    return {
        "deployer": _policy(list(_of_deployer(plan, settings))),
        "job": _policy(list(_of_job(plan, settings))),
        "job_trust": _policy([{"Effect": "Allow", "Principal": {"Service": _GLUE}, "Action": "sts:AssumeRole"}]),
    }


def _of_deployer(plan: Plan, settings: GlueSettings) -> Iterator[dict[str, Any]]:
    partition, account, role = _role(settings)
    place = home(plan.job, settings)
    yield _allow(["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"], object_arn(place, partition))
    yield {**_allow(["s3:ListBucket"], bucket_arn(place, partition)), "Condition": {"StringLike": {"s3:prefix": f"{place.key}*"}}}
    name = job_name(plan.job, settings)
    yield _allow(list(_JOB_ACTIONS), f"arn:{partition}:glue:{settings.region or '*'}:{account}:job/{name}")
    yield _allow(["glue:CreateJob"], "*")  # there is no job yet that a policy could name
    yield {**_allow(["iam:PassRole"], role), "Condition": {"StringEquals": {"iam:PassedToService": _GLUE}}}
    yield _allow(["logs:FilterLogEvents"], f"arn:{partition}:logs:*:{account}:log-group:/aws-glue/*")


def _of_job(plan: Plan, settings: GlueSettings) -> Iterator[dict[str, Any]]:
    partition, account, _ = _role(settings)
    place = home(plan.job, settings)
    yield _allow(["s3:GetObject"], object_arn(place, partition))
    if settings.result:
        yield _allow(["s3:PutObject"], object_arn(S3Uri.parse(settings.result), partition))
    for role in plan.roles:
        if role.via is None:
            yield caller_statement(role)
    for permission in dict.fromkeys(_under_the_jobs_role(plan)):
        condition = {operator: {key: list(values)} for operator, key, values in permission.condition}
        yield {**_allow([permission.action], permission.resource), **({"Condition": condition} if condition else {})}
    logs = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
    secure = ["logs:AssociateKmsKey", "glue:GetSecurityConfiguration"] if settings.security_configuration else []
    yield _allow(logs, f"arn:{partition}:logs:*:{account}:log-group:/aws-glue/*")
    if secure:
        yield _allow(secure, "*")
    if settings.connections:
        yield _allow(list(_NETWORK), "*")
    if "--enable-metrics" in settings.arguments:
        yield {**_allow(["cloudwatch:PutMetricData"], "*"), "Condition": {"StringEquals": {"cloudwatch:namespace": "Glue"}}}


def _under_the_jobs_role(plan: Plan) -> Iterator[Permission]:
    for planned in plan.steps:
        for field, permissions in planned.permissions.items():
            role = planned.step.roles.get(field)
            if role is not None and role.is_job:
                yield from permissions
    if plan.job.state is not None and plan.job.state.role is not None and plan.job.state.role.is_job:
        yield from plan.state


def _role(settings: GlueSettings) -> tuple[str, str, str]:
    """Partition, account and ARN of the job's role, as far as they are known."""
    if settings.role.startswith("arn:"):
        arn = RoleArn.parse(settings.role)
        return arn.partition, arn.account, settings.role
    return "aws", "*", f"arn:aws:iam::*:role/{settings.role or '*'}"


def _allow(actions: list[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions if len(actions) > 1 else actions[0], "Resource": resource}


def _policy(statements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements}
