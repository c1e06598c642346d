"""Applies the initial state of a case to its world and working folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolerunner.sandbox.world import SandboxBucket, SandboxObject, SandboxRole, World

if TYPE_CHECKING:
    from rolerunner.model import S3Uri
    from rolerunner.sandbox.world import ObjectContent
    from rolerunner.sandbox.world_catalog import SandboxJob
    from rolerunner.spec_testing.case import Case


def build_world(case: Case) -> World:
    """Returns the sandbox's world with the case's changes."""
    return case.world.model_copy(
        update={
            "roles": [_build_role(role, case) for role in case.world.roles],
            "buckets": [_build_bucket(bucket, case) for bucket in case.world.buckets],
            "query_results": [*case.fields.given.query_results, *case.world.query_results],
            "jobs": _list_jobs(case),
        }
    )


def _list_jobs(case: Case) -> list[SandboxJob]:
    """Returns the jobs of the case, and those of the sandbox with other names."""
    given = {job.place for job in case.fields.given.jobs}
    return [*case.fields.given.jobs, *(job for job in case.world.jobs if job.place not in given)]


def write_files(case: Case) -> None:
    """Creates the working folder of a case. Raises OSError."""
    case.folder.mkdir(parents=True)
    for name, content in case.fields.given.files.items():
        path = case.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.body(case.resolve_path("")))


def _build_role(role: SandboxRole, case: Case) -> SandboxRole:
    denied: list[dict[str, Any]] = [
        {"Effect": "Deny", "Action": denial.actions, "Resource": denial.resources}
        for denial in case.fields.given.deny
        if case.arn(denial.role) == role.arn
    ]
    return role.model_copy(update={"permissions": [*role.permissions, *denied]})


def _build_bucket(bucket: SandboxBucket, case: Case) -> SandboxBucket:
    given = {
        uri.key: content
        for uri, content in case.fields.given.objects.items()
        if uri.bucket == bucket.name
    }
    removed_uris = [uri for uri in case.fields.given.without if uri.bucket == bucket.name]
    kept = [
        each
        for each in bucket.objects
        if each.key not in given and not any(_is_covered(uri, each.key) for uri in removed_uris)
    ]
    return bucket.model_copy(
        update={
            "objects": [
                *kept,
                *(_build_object(key, content, case) for key, content in given.items()),
            ]
        }
    )


def _is_covered(uri: S3Uri, key: str) -> bool:
    return key.startswith(uri.key) if uri.is_prefix else key == uri.key


def _build_object(key: str, content: ObjectContent, case: Case) -> SandboxObject:
    """Creates an object; its file is relative to the test file."""
    file = {} if content.file is None else {"file": str(case.resolve_path(content.file).absolute())}
    return SandboxObject.model_validate(
        {**content.model_dump(exclude_unset=True), **file, "key": key}
    )
