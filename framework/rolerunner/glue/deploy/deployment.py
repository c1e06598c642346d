"""Uploads a bundle under its hash and creates or updates its Glue job.

Each deployment leaves a record beside the artifacts: the next one reads which settings it may
remove, and a rollback which to restore. Records are only added, so concurrent deployments lose
none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional

from rolerunner._version import __version__
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import NotFound, StepError, UsageError
from rolerunner.glue.bundle.builder import MANIFEST
from rolerunner.glue.deploy.account import NOT_THERE
from rolerunner.glue.deploy.merge import Change, diff_jobs, extract_update, merge_job, merge_tags
from rolerunner.glue.deploy.rule_changes import (
    RuleChanges,
    delete_rules,
    plan_changes,
    put_rules,
)
from rolerunner.glue.deploy.rules import Rule
from rolerunner.glue.deploy.settings import JobDefinition
from rolerunner.glue.launch.arguments import split_environment
from rolerunner.glue.launch.runtime import COMMANDS
from rolerunner.storage.protocol import Put

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rolerunner.glue.bundle.builder import Bundle
    from rolerunner.glue.deploy.account import Account
    from rolerunner.model import S3Uri

_RECORDS = "deployments/"
_MAX_RECORD = 1 << 20


@dataclass(frozen=True)
class DeploymentRecord:
    """The record of a deployment, stored beside the artifacts."""

    hash: str
    time: str
    by: str
    job: Mapping[str, Any]
    tags: Mapping[str, str]
    rules: tuple[Rule, ...] = ()

    def as_json(self) -> bytes:
        """Returns the record as it is stored."""
        record_fields = {
            "version": 1,
            "hash": self.hash,
            "time": self.time,
            "by": self.by,
            "rolerunner": __version__,
            "job": self.job,
            "tags": self.tags,
            **({"rules": [rule.as_json() for rule in self.rules]} if self.rules else {}),
        }
        return (json.dumps(record_fields, indent=2) + "\n").encode()


@dataclass(frozen=True)
class Deployment:
    """A planned deployment and its changes."""

    wanted: JobDefinition
    hash: str
    is_new: bool
    job: Mapping[str, Any]
    """The fields sent to UpdateJob: ours, and those set elsewhere."""
    tags: Mapping[str, str]
    gone_tags: tuple[str, ...]
    changes: tuple[Change, ...]
    rules: RuleChanges

    def text(self) -> str:
        """Returns the changes as text."""
        if not self.changes:
            return f"Glue job {self.wanted.name}: no change"
        verb = (
            "is made"
            if self.is_new
            else f"changes in {len(self.changes)} {'place' if len(self.changes) == 1 else 'places'}"
        )
        return "\n".join(
            [f"Glue job {self.wanted.name} {verb}:", *(f"  {change}" for change in self.changes)]
        )


class Deployer:
    """Deploys the artifacts and the job of one spec below the prefix ``home``."""

    def __init__(self, account: Account, home: S3Uri) -> None:
        self.account = account
        self.home = home
        self.storage = account.storage()

    def place(self, hash_: str) -> S3Uri:
        """Returns the folder of a bundle."""
        return self.home.join(f"{hash_}/")

    def plan_deployment(
        self, wanted: JobDefinition, hash_: str, *, adopt: bool = False
    ) -> Deployment:
        """Plans a deployment with read requests only.

        Raises StepError, and UsageError for a job that rolerunner did not create or that is of
        another kind.
        """
        current = self._fetch_current_job(wanted.name)
        last = self.last()
        rules = plan_changes(self.account, wanted.rules, last.rules if last else ())
        if current is None:
            return Deployment(
                wanted,
                hash_,
                True,
                wanted.job,
                wanted.tags,
                (),
                (*diff_jobs({}, {**wanted.job, "Tags": wanted.tags}), *rules.changes),
                rules,
            )
        if not _is_ours(current) and not adopt:
            raise UsageError(
                f"the Glue job '{wanted.name}' exists and was not created by rolerunner: "
                "choose another name, or use --adopt"
            )
        if not adopt:
            _reject_other_environment(current, wanted)
        _reject_command_change(current, wanted)
        before = extract_update(current, self.account.members("JobUpdate"), wanted.job)
        after = merge_job(before, last.job if last else {}, wanted.job)
        tags = self.account.call(
            "glue", "get_tags", ResourceArn=self.account.job_arn(wanted.name)
        ).get("Tags", {})
        new_tags = merge_tags(tags, last.tags if last else {}, wanted.tags)
        removed_tags = tuple(sorted(set(tags) - set(new_tags)))
        differ = diff_jobs({**before, "Tags": tags}, {**after, "Tags": new_tags})
        changes = (*differ, *rules.changes)
        return Deployment(wanted, hash_, False, after, new_tags, removed_tags, changes, rules)

    def upload(self, bundle: Bundle, tell: Callable[[str], None]) -> S3Uri:
        """Uploads a bundle, the manifest last; skips a folder that has one. Raises StepError."""
        place = self.place(bundle.hash)
        if self._is_whole(place):
            tell(f"{place} already exists")
            return place
        tell(f"uploading {bundle.describe_size()} to {place}")
        puts = [Put(bundle.folder / name, place.join(name)) for name in bundle.files]
        for outcome in self.storage.put(puts, Cancel()):
            if outcome.error is not None:
                raise outcome.error
        self.storage.write(
            place.join(MANIFEST),
            (bundle.folder / MANIFEST).read_bytes(),
            {"ContentType": "application/json"},
        )
        return place

    def apply(self, deployment: Deployment) -> None:
        """Creates or updates the job, sets its tags and stores a record. Raises StepError."""
        name = deployment.wanted.name
        if not deployment.changes:
            return
        put_rules(self.account, deployment.rules.put)
        if deployment.is_new:
            tags = {"Tags": dict(deployment.tags)} if deployment.tags else {}
            self.account.call("glue", "create_job", Name=name, **deployment.job, **tags)
        else:
            self.account.call("glue", "update_job", JobName=name, JobUpdate=dict(deployment.job))
            self._set_tags(name, deployment)
        delete_rules(self.account, deployment.rules.delete)
        now = datetime.now(timezone.utc)
        record = DeploymentRecord(
            deployment.hash,
            f"{now:%Y-%m-%dT%H:%M:%SZ}",
            self.account.caller(),
            deployment.wanted.job,
            deployment.wanted.tags,
            deployment.wanted.rules,
        )
        key = f"{_RECORDS}{now:%Y%m%dT%H%M%S.%fZ}-{deployment.hash}.json"
        self.storage.write(
            self.home.join(key), record.as_json(), {"ContentType": "application/json"}
        )

    def last(self) -> Optional[DeploymentRecord]:
        """Returns the last deployment, or None. Raises StepError."""
        return next((self._read_record(key) for key in self._list_records()[-1:]), None)

    def before(self, hash_: str = "") -> DeploymentRecord:
        """Returns the last deployment with this hash, or the previous one. Raises UsageError."""
        keys = self._list_records()
        found = [key for key in keys if _hash_in(key).startswith(hash_)] if hash_ else keys[-2:-1]
        if not found:
            known = ", ".join(dict.fromkeys(map(_hash_in, keys))) or "none"
            raise UsageError(
                f"there is no deployment {hash_ or 'before this one'} to roll back to "
                f"under {self.home} (found: {known})"
            )
        record = self._read_record(found[-1])
        if not self._is_whole(self.place(record.hash)):
            raise UsageError(
                f"the artifacts of {record.hash} are gone from {self.place(record.hash)}"
            )
        return record

    def _list_records(self) -> list[str]:
        """Returns the keys of the records, oldest first: each is a time and a hash."""
        return sorted(info.key for info in self.storage.list(self.home.join(_RECORDS)))

    def _read_record(self, key: str) -> DeploymentRecord:
        uri = replace(self.home, key=key)
        try:
            record_fields = json.loads(self.storage.read(uri, _MAX_RECORD))
            return DeploymentRecord(
                record_fields["hash"],
                record_fields["time"],
                record_fields["by"],
                record_fields["job"],
                record_fields["tags"],
                tuple(map(Rule.from_json, record_fields.get("rules", ()))),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f"{uri} is not a deployment record: move it away") from None

    def _is_whole(self, place: S3Uri) -> bool:
        try:
            self.storage.head(place.join(MANIFEST))
        except NotFound:
            return False
        return True

    def _fetch_current_job(self, name: str) -> Optional[dict[str, Any]]:
        try:
            found: dict[str, Any] = self.account.call("glue", "get_job", JobName=name)["Job"]
        except StepError as error:
            if error.type == NOT_THERE:
                return None
            raise
        return found

    def _set_tags(self, name: str, deployment: Deployment) -> None:
        arn = self.account.job_arn(name)
        new = {
            change.field[len("Tags.") :]: change.after
            for change in deployment.changes
            if change.field.startswith("Tags.") and change.after is not None
        }
        if new:  # only changed tags: those of AWS itself are read-only
            self.account.call("glue", "tag_resource", ResourceArn=arn, TagsToAdd=new)
        if deployment.gone_tags:
            self.account.call(
                "glue", "untag_resource", ResourceArn=arn, TagsToRemove=list(deployment.gone_tags)
            )


def _hash_in(key: str) -> str:
    return key.rpartition("-")[2].removesuffix(".json")


def _is_ours(job: Mapping[str, Any]) -> bool:
    """Returns True if the job runs a spec."""
    return any(
        "--job_spec" in job.get(name, {})
        for name in ("DefaultArguments", "NonOverridableArguments")
    )


def _reject_other_environment(current: Mapping[str, Any], wanted: JobDefinition) -> None:
    """Raises UsageError if the job runs another environment of its spec.

    A job without an environment may get one.
    """
    before, after = (_find_environment(job) for job in (current, wanted.job))
    if before in ("", after):
        return
    raise UsageError(
        f"the Glue job '{wanted.name}' runs the environment '{before}': "
        + (
            f"set another 'job_name' under 'glue' in '{after}'"
            if after
            else f"deploy it with --env {before}, or under another name with --job-name"
        )
        + ", or use --adopt to replace it"
    )


def _find_environment(job: Mapping[str, Any]) -> str:
    arguments = {**job.get("DefaultArguments", {}), **job.get("NonOverridableArguments", {})}
    return split_environment(arguments.get("--job_spec", ""))[1]


def _reject_command_change(current: Mapping[str, Any], wanted: JobDefinition) -> None:
    """Raises UsageError if an update would turn Python Shell into Spark, or the reverse.

    Glue fixes the kind of a job when it creates it: capacity, versions and arguments of one kind
    do not apply to the other.
    """
    names = (current["Command"]["Name"], wanted.job["Command"]["Name"])
    if names[0] == names[1]:
        return
    before, after = (COMMANDS.get(name, name) for name in names)
    raise UsageError(
        f"the Glue job '{wanted.name}' is a {before} job and cannot become a {after} job: "
        "deploy under another name with --job-name, or delete it first: "
        f"aws glue delete-job --job-name {wanted.name}"
    )
