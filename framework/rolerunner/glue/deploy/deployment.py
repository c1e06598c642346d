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

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import NotFound, StepError, UsageError
from rolerunner.glue.bundle.builder import MANIFEST
from rolerunner.glue.deploy.account import NOT_THERE
from rolerunner.glue.deploy.existing_job import (
    is_ours,
    reject_command_change,
    reject_other_environment,
)
from rolerunner.glue.deploy.merge import Change, diff_jobs, extract_update, merge_job, merge_tags
from rolerunner.glue.deploy.record import DeploymentRecord
from rolerunner.glue.deploy.rule_changes import (
    RuleChanges,
    delete_rules,
    plan_changes,
    put_rules,
)
from rolerunner.glue.deploy.settings import JobDefinition
from rolerunner.glue.deploy.triggers import TriggerChange, Triggers
from rolerunner.storage.protocol import Put

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rolerunner.glue.bundle.builder import Bundle
    from rolerunner.glue.deploy.account import Account
    from rolerunner.model import S3Uri

_RECORDS = "deployments/"
_MAX_RECORD = 1 << 20
_FIELD_NAMES = {
    "ExecutionClass": "execution_class",
    "JobRunQueuingEnabled": "queue_runs",
    "MaintenanceWindow": "maintenance_window",
}
"""Fields of a job that releases of boto3 for Glue 3.0 do not have -> settings."""


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
    triggers: tuple[TriggerChange, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True if nothing changes."""
        return not self.changes and not any(each.verb for each in self.triggers)

    def text(self) -> str:
        """Returns the changes as text."""
        return "\n".join([self._describe_job(), *(each.text() for each in self.triggers)])

    def _describe_job(self) -> str:
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
        last = self.find_last()
        rules = plan_changes(self.account, wanted.rules, last.rules if last else ())
        self._require_known_fields(wanted)
        triggers = Triggers(self.account, wanted.name).plan_changes(
            wanted.trigger, last.trigger if last else {}, adopt=adopt
        )
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
                triggers,
            )
        if not is_ours(current) and not adopt:
            raise UsageError(
                f"the Glue job '{wanted.name}' exists and was not created by rolerunner: "
                "choose another name, or use --adopt"
            )
        if not adopt:
            reject_other_environment(current, wanted)
        reject_command_change(current, wanted)
        before = extract_update(current, self.account.members("JobUpdate"), wanted.job)
        after = merge_job(before, last.job if last else {}, wanted.job)
        tags = self.account.call(
            "glue", "get_tags", ResourceArn=self.account.job_arn(wanted.name)
        ).get("Tags", {})
        new_tags = merge_tags(tags, last.tags if last else {}, wanted.tags)
        removed_tags = tuple(sorted(set(tags) - set(new_tags)))
        differ = diff_jobs({**before, "Tags": tags}, {**after, "Tags": new_tags})
        changes = (*differ, *rules.changes)
        return Deployment(
            wanted, hash_, False, after, new_tags, removed_tags, changes, rules, triggers
        )

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
        """Creates or updates the job, its tags and its trigger, and stores a record.

        Raises StepError.
        """
        name = deployment.wanted.name
        if deployment.is_empty:
            return
        put_rules(self.account, deployment.rules.put)
        if deployment.is_new:
            tags = {"Tags": dict(deployment.tags)} if deployment.tags else {}
            self.account.call("glue", "create_job", Name=name, **deployment.job, **tags)
        elif deployment.changes:
            self.account.call("glue", "update_job", JobName=name, JobUpdate=dict(deployment.job))
            self._set_tags(name, deployment)
        delete_rules(self.account, deployment.rules.delete)
        Triggers(self.account, name).apply(deployment.triggers)
        now = datetime.now(timezone.utc)
        record = DeploymentRecord(
            deployment.hash,
            f"{now:%Y-%m-%dT%H:%M:%SZ}",
            self.account.caller(),
            deployment.wanted.job,
            deployment.wanted.tags,
            deployment.wanted.rules,
            deployment.wanted.trigger,
        )
        key = f"{_RECORDS}{now:%Y%m%dT%H%M%S.%fZ}-{deployment.hash}.json"
        self.storage.write(
            self.home.join(key), record.as_json(), {"ContentType": "application/json"}
        )

    def find_last(self) -> Optional[DeploymentRecord]:
        """Returns the last deployment, or None. Raises StepError."""
        return next((self._read_record(key) for key in self._list_records()[-1:]), None)

    def find_earlier(self, hash_: str = "") -> DeploymentRecord:
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
            return DeploymentRecord.from_json(record_fields)
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

    def _require_known_fields(self, wanted: JobDefinition) -> None:
        """Raises UsageError for a setting that this version of boto3 cannot send."""
        known = self.account.members("JobUpdate")
        unknown = [_FIELD_NAMES.get(name, name) for name in wanted.job if name not in known]
        if unknown:
            raise UsageError(
                f"the installed boto3 is too old for '{unknown[0]}' under 'glue': "
                "install a newer one: pip install --upgrade boto3"
            )

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
