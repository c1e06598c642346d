"""Adds to a sandbox what a deployment needs: a deployer, the artifacts' bucket, permissions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rolerunner.errors import UsageError
from rolerunner.glue.deploy.permissions import build_policies, build_surroundings
from rolerunner.model import GlueSettings, RoleArn, S3Uri
from rolerunner.policies.least_privilege import JobRoleUses, derive_policies
from rolerunner.sandbox.world import SandboxBucket, SandboxRole, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.model import Job, Plan

_DEPLOYER = "rolerunner-deployer"


@dataclass(frozen=True)
class DeployableWorld:
    """A world in which the job can be deployed, with notes about what was added to it."""

    world: World
    notes: tuple[str, ...]


def complete_settings(settings: GlueSettings, job_role: str) -> GlueSettings:
    """Returns the settings with a role and a prefix for artifacts, and the role as an ARN."""
    arn = RoleArn.parse(job_role)
    role = settings.role or job_role
    if not role.startswith("arn:"):
        role = f"arn:{arn.partition}:iam::{arn.account}:role/{role}"
    account = RoleArn.parse(role).account
    artifacts = settings.artifacts or S3Uri(f"rolerunner-artifacts-{account}", "")
    return replace(settings, role=role, artifacts=artifacts)


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
