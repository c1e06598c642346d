"""Adds to a sandbox what a deployment or a rehearsal needs: a deployer, artifacts, permissions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rolerunner.errors import UsageError
from rolerunner.glue.deploy.permissions import build_policies, build_surroundings
from rolerunner.iam.actions_table import build_object_arn, build_statement
from rolerunner.model import GlueSettings, RoleArn, S3Uri
from rolerunner.policies.least_privilege import JobRoleUses, derive_policies
from rolerunner.sandbox.world import SandboxBucket, SandboxObject, SandboxRole, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rolerunner.model import Job, Plan

_DEPLOYER = "rolerunner-deployer"


@dataclass(frozen=True)
class DeployableWorld:
    """A world in which the job can be deployed, with notes about what was added to it."""

    world: World
    notes: tuple[str, ...]


def complete_settings(settings: GlueSettings, job_role: str, region: str = "") -> GlueSettings:
    """Returns the settings with a role, as an ARN, a prefix for artifacts, and a region."""
    arn = RoleArn.parse(job_role)
    role = settings.role or job_role
    if not role.startswith("arn:"):
        role = f"arn:{arn.partition}:iam::{arn.account}:role/{role}"
    account = RoleArn.parse(role).account
    artifacts = settings.artifacts or S3Uri(f"rolerunner-artifacts-{account}", "")
    region = settings.region or region
    return replace(settings, role=role, artifacts=artifacts, region=region)


def name_deployer(settings: GlueSettings) -> str:
    """Returns the ARN of the role that deploys in a sandbox, of completed settings."""
    return f"arn:aws:iam::{RoleArn.parse(settings.role).account}:role/{_DEPLOYER}"


def describe_job_role(job: Job, settings: GlueSettings) -> JobRoleUses:
    """Returns the job's role and what it does outside of its steps, of completed settings."""
    return build_surroundings(job, settings)


def add_deployment(world: World, plan: Plan, settings: GlueSettings, file: str) -> DeployableWorld:
    """Adds the deployer and what is missing for a deployment; ``plan`` is the one for policies.

    A world that has the artifacts' bucket is taken to have the permissions for it as well.
    ``file`` is the sandbox file. Raises UsageError for a role that is not in it.
    """
    if settings.role not in [role.arn for role in world.roles]:
        raise UsageError(
            f"{file}: there is no role {settings.role}, which 'role' under 'glue' in the spec names"
            " and under which the deployed job runs: add it to 'roles' in this file, with a trust "
            "policy that allows glue.amazonaws.com, or name the job_role of this file in the spec, "
            f"{world.job_role}"
        )
    account = RoleArn.parse(settings.role).account
    around = build_surroundings(plan.job, settings)
    there = {bucket.name for bucket in world.buckets}
    named = dict.fromkeys(uri.bucket for uri in (*around.reads, *around.writes))
    missing = [name for name in named if name not in there]
    deployer = name_deployer(settings)
    roles = [
        _grant_surroundings(role, plan, around) if missing and role.arn == settings.role else role
        for role in world.roles
    ]
    added = world.model_copy(
        update={
            "roles": [*roles, _build_deployer(deployer, plan, settings)],
            "buckets": [
                *world.buckets,
                *(SandboxBucket(name=name, account=account) for name in missing),
            ],
        }
    )
    return DeployableWorld(added, tuple(_list_notes(deployer, settings, missing, account)))


def add_bundle(
    world: World, files: Mapping[str, Path], settings: GlueSettings, place: str
) -> World:
    """Returns the world with the files of a bundle, by URI below ``place``.

    The world's job role may read them and write the result.
    """
    objects = [
        SandboxObject(key=S3Uri.parse(uri).key, file=str(path)) for uri, path in files.items()
    ]
    wanted: dict[str, list[SandboxObject]] = {S3Uri.parse(place).bucket: objects}
    written = [S3Uri.parse(settings.result)] if settings.result else []
    statements = [
        build_statement(["s3:GetObject"], [build_object_arn(S3Uri.parse(place))]),
        *(build_statement(["s3:PutObject"], [build_object_arn(uri)]) for uri in written),
    ]
    for uri in written:
        wanted.setdefault(uri.bucket, [])
    buckets = [
        bucket.model_copy(update={"objects": [*bucket.objects, *wanted.pop(bucket.name, [])]})
        for bucket in world.buckets
    ]
    account = RoleArn.parse(world.job_role).account
    buckets += [
        SandboxBucket(name=name, account=account, objects=given) for name, given in wanted.items()
    ]
    roles = [
        role.model_copy(update={"permissions": [*role.permissions, *statements]})
        if role.arn == world.job_role
        else role
        for role in world.roles
    ]
    return world.model_copy(update={"buckets": buckets, "roles": roles})


def _grant_surroundings(role: SandboxRole, plan: Plan, around: JobRoleUses) -> SandboxRole:
    """Returns the job's role with access to its artifacts, its log and its result file."""
    surroundings = derive_policies(replace(plan, steps=(), roles=(), uses={}), around)[0]
    return role.model_copy(
        update={
            "permissions": [
                *role.permissions,
                *(each.as_json() for each in surroundings.permissions),
            ]
        }
    )


def _build_deployer(arn: str, plan: Plan, settings: GlueSettings) -> SandboxRole:
    statements = build_policies(plan, settings)["deployer"]["Statement"]
    account = RoleArn.parse(arn).account
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "sts:AssumeRole",
    }
    permissions = [_widen_for_emulator(each) for each in statements]
    return SandboxRole(arn=arn, trust=[trust], permissions=permissions)


def _widen_for_emulator(statement: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a statement about Glue or rules for all resources.

    The emulator knows no ARNs of jobs, and other ARNs of rules than AWS.
    """
    actions = statement["Action"]
    names = [actions] if isinstance(actions, str) else actions
    is_widened = any(each.startswith(("glue:", "events:")) for each in names)
    return {**statement, **({"Resource": "*"} if is_widened else {})}


def _list_notes(
    deployer: str, settings: GlueSettings, missing: list[str], account: str
) -> Iterator[str]:
    yield f"you deploy as {deployer}, with what 'rolerunner deploy --permissions' prints"
    yield f"the job runs as {settings.role}; its artifacts go to {settings.artifacts}"
    for name in missing:
        yield f"bucket {name} is added in account {account}, and the job's role can use it"
