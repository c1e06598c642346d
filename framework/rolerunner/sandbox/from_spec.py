"""Derives a world from a spec: roles with least-privilege policies, buckets, sample objects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.wording import format_count
from rolerunner.errors import SandboxError
from rolerunner.model import RoleArn
from rolerunner.plan.partial_values import PERMISSIONS_NOTE
from rolerunner.policies.least_privilege import JobRoleUses, RolePolicies, derive_policies
from rolerunner.sandbox.made_up_catalog import MadeUpCatalog
from rolerunner.sandbox.made_up_objects import iter_actions, make_up_objects
from rolerunner.sandbox.made_up_secrets import make_up_secrets
from rolerunner.sandbox.made_up_targets import make_up_targets
from rolerunner.sandbox.world import SandboxBucket, SandboxObject, SandboxRole, World

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rolerunner.actions.base import Action
    from rolerunner.iam.policy import Statement
    from rolerunner.model import Job, Plan, S3Uri

_ACCOUNT = "123456789012"
"""The job's account; it differs from its roles', so that both policies are needed."""
_BUCKET = re.compile(r"arn:aws:s3:::([^/*?]+)(?:/.*)?\Z", re.DOTALL)
_LONGEST_NAME = 64
"""Maximum characters of a role's name (IAM user guide)."""
_MOST_NOTES = 3
"""Sample objects of a bucket that are noted one by one."""


@dataclass(frozen=True)
class GeneratedWorld:
    """A derived world, with notes about the decisions made."""

    world: World
    notes: tuple[str, ...]


def generate_world(
    plan: Plan,
    lasting: Plan,
    actions: Mapping[str, type[Action]],
    puts: Mapping[S3Uri, Path],
    around: Optional[JobRoleUses] = None,
) -> GeneratedWorld:
    """Derives the world of a plan.

    ``lasting`` is the plan for policies; ``puts`` are additional objects from files; ``around``
    is what the job does outside of its steps, under ``around.job_role``.

    A bucket belongs to the first role that writes to it, else to the first that reads it, the
    job's own role last. Roles of other accounts are also granted
    what they need by the bucket policy. Raises SandboxError for unsupported features.
    """
    around = around or JobRoleUses(name_job_role(plan.job))
    job_role = around.job_role
    _check_partition(plan)
    found = derive_policies(lasting, around)
    owners = _find_owners(found)
    for uri in puts:
        owners.setdefault(uri.bucket, RoleArn.parse(job_role).account)
    made_up = dict(make_up_objects(plan, actions, puts))
    buckets = _build_buckets(owners, found, puts, made_up)
    roles = [_sandbox_role(role) for role in found]
    secrets = make_up_secrets(lasting, job_role)
    targets = make_up_targets(lasting, job_role, found)
    catalog = _make_up_catalog(plan, actions, job_role)
    world = World(
        version=1,
        job_role=job_role,
        roles=roles,
        buckets=buckets,
        secrets=secrets.secrets,
        parameters=secrets.parameters,
        topics=targets.topics,
        queues=targets.queues,
        event_buses=targets.event_buses,
        databases=catalog.list_databases(),
        workgroups=list(catalog.workgroups.values()),
        query_results=list(catalog.results.values()),
        jobs=list(catalog.jobs.values()),
    )
    own = _list_notes(job_role, owners, made_up, lasting)
    notes = (*own, *secrets.notes, *targets.notes, *catalog.notes)
    return GeneratedWorld(world, notes)


def _build_buckets(
    owners: Mapping[str, str],
    found: Sequence[RolePolicies],
    puts: Mapping[S3Uri, Path],
    made_up: Mapping[S3Uri, SandboxObject],
) -> list[SandboxBucket]:
    """Returns the buckets with their policies, the given objects and the sample objects."""
    objects: dict[str, list[SandboxObject]] = {bucket: [] for bucket in owners}
    for uri, path in puts.items():
        objects[uri.bucket].append(SandboxObject(key=uri.key, file=str(path.absolute())))
    for uri, sample in made_up.items():
        if uri.bucket in owners:
            objects[uri.bucket].append(sample)
    return [
        SandboxBucket(
            name=name,
            account=account,
            policy=_build_bucket_policy(name, account, found),
            objects=objects[name],
        )
        for name, account in owners.items()
    ]


def _sandbox_role(role: RolePolicies) -> SandboxRole:
    return SandboxRole(
        arn=role.arn,
        trust=[dict(each) for each in role.trust],
        permissions=[each.as_json() for each in role.permissions],
    )


def _list_notes(
    job_role: str, owners: Mapping[str, str], made_up: Mapping[S3Uri, SandboxObject], lasting: Plan
) -> Iterator[str]:
    yield f"derived from the spec with 'rolerunner iam'; the job runs as {job_role}"
    yield from (f"bucket {bucket} is in account {account}" for bucket, account in owners.items())
    yield from _list_sample_notes(made_up)
    yield from _list_step_notes(lasting)


def _list_sample_notes(made_up: Iterable[S3Uri]) -> Iterator[str]:
    """Yields a note for each sample object, or for each bucket that has many."""
    by_bucket: dict[str, list[S3Uri]] = {}
    for uri in made_up:
        by_bucket.setdefault(uri.bucket, []).append(uri)
    for bucket, uris in by_bucket.items():
        if len(uris) > _MOST_NOTES:
            count = format_count(len(uris), "sample object")
            example = f"bucket {bucket} has {count}, such as {uris[0]}"
            yield f"{example}; replace them with --put URI=FILE"
        else:
            for uri in uris:
                yield f"{uri} is a sample object; replace it with --put {uri}=FILE"


def _list_step_notes(lasting: Plan) -> Iterator[str]:
    """Yields the notes of the steps; those that differ by the item alone are one."""
    found: dict[str, list[str]] = {}
    for planned in lasting.steps:
        for note in planned.notes:
            text = f"{planned.step.id}: {note}"
            found.setdefault(text.partition(PERMISSIONS_NOTE)[0], []).append(text)
    for notes in found.values():
        different = dict.fromkeys(notes)
        others = f", and for {len(different) - 1} more" if len(different) > 1 else ""
        yield notes[0] + others


def name_job_role(job: Job) -> str:
    """Returns the ARN of the job's role in a derived world: that of the Glue job, if it is known.

    A role that is given by its name, or not at all, is in an account of its own.
    """
    given = job.glue.role if job.glue is not None else ""
    name = given or f"glue-{job.name}"[:_LONGEST_NAME]
    return given if given.startswith("arn:") else f"arn:aws:iam::{_ACCOUNT}:role/{name}"


def _check_partition(plan: Plan) -> None:
    for role in plan.roles:
        if RoleArn.parse(role.arn).partition != "aws":
            raise SandboxError(
                f"the embedded AWS has only the partition aws, and {role.arn} is in another"
            )


def _find_owners(found: Sequence[RolePolicies]) -> dict[str, str]:
    """Returns bucket -> account: of the first role that writes there, else of the first reader."""
    roles = (*found[1:], found[0])
    uses = [(role.account, statement) for role in roles for statement in role.permissions]
    writes = [(account, statement) for account, statement in uses if _is_write(statement)]
    owners: dict[str, str] = {}
    for account, statement in (*writes, *uses):
        for bucket in filter(None, map(_bucket_name, statement.resources)):
            owners.setdefault(bucket, account)
    return owners


def _is_write(statement: Statement) -> bool:
    return any(action.startswith(("s3:Put", "s3:Delete")) for action in statement.actions)


def _bucket_name(resource: str) -> str:
    named = _BUCKET.match(resource)
    return named[1] if named else ""


def _build_bucket_policy(
    bucket: str, account: str, found: Sequence[RolePolicies]
) -> list[dict[str, Any]]:
    """Returns the bucket policy for roles of other accounts."""
    grants = []
    for role in found:
        for statement in role.permissions if role.account != account else ():
            resources = [
                resource for resource in statement.resources if _bucket_name(resource) == bucket
            ]
            if resources:
                # the emulator identifies callers of other accounts only by account
                grants.append(
                    {
                        **statement.as_json(),
                        "Principal": {"AWS": f"arn:aws:iam::{role.account}:root"},
                        "Resource": resources,
                    }
                )
    return grants


def _make_up_catalog(
    plan: Plan, actions: Mapping[str, type[Action]], job_role: str
) -> MadeUpCatalog:
    catalog = MadeUpCatalog()
    for planned, action in iter_actions(plan, actions):
        if action is not None:
            catalog.add(action, planned.step.roles, job_role)
    return catalog
