"""Plans of deployments and what is sent for them, in order, and the records of rollbacks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

import pytest

from rolerunner.errors import LocalFileFailed, NotFound, StepError, UsageError
from rolerunner.glue.bundle.builder import MANIFEST, Bundle
from rolerunner.glue.deploy.account import NOT_THERE
from rolerunner.glue.deploy.deployment import Deployer
from rolerunner.glue.deploy.record import DeploymentRecord
from rolerunner.model import S3Uri
from tests.unit.glue.deploy.samples import SETTINGS, make_definition

HOME = S3Uri("ops", "rolerunner/nightly/")
HASH, OTHER = "0123456789abcdef", "fedcba9876543210"
WANTED = make_definition()


@dataclass
class Info:
    key: str


@dataclass
class Outcome:
    error: Optional[Exception] = None


@dataclass
class MemoryStorage:
    """Objects by key, and the calls in their order."""

    objects: dict[str, bytes] = field(default_factory=dict)
    calls: list[Any] = field(default_factory=list)
    failure: Optional[Exception] = None

    def list(self, prefix: S3Uri) -> list[Info]:
        return [Info(key) for key in reversed(self.objects) if key.startswith(prefix.key)]

    def read(self, uri: S3Uri, limit: int) -> bytes:
        return self.objects[uri.key][:limit]

    def head(self, uri: S3Uri) -> None:
        if uri.key not in self.objects:
            raise NotFound(f"there is no {uri}")

    def put(self, puts: Any, cancel: object) -> tuple[Outcome, ...]:
        del cancel
        self.calls.append(("put", [str(each.target) for each in puts]))
        return (Outcome(self.failure),)

    def write(self, uri: S3Uri, data: bytes, headers: object) -> None:
        del headers
        self.calls.append(("write", uri.key))
        self.objects[uri.key] = data


@dataclass
class MemoryAccount:
    """An account with perhaps a job; ``calls`` are those that change something."""

    job: Optional[dict[str, Any]] = None
    tags: dict[str, str] = field(default_factory=dict)
    store: MemoryStorage = field(default_factory=MemoryStorage)
    known: tuple[str, ...] = tuple(WANTED.job)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def storage(self) -> MemoryStorage:
        return self.store

    def members(self, shape: str) -> tuple[str, ...]:
        assert shape == "JobUpdate"
        return self.known

    def job_arn(self, name: str) -> str:
        return f"arn:aws:glue:eu-west-1:111122223333:job/{name}"

    def caller(self) -> str:
        return "arn:aws:iam::111122223333:user/ada"

    def call(self, service: str, operation: str, **parameters: Any) -> Any:
        if (service, operation) == ("glue", "get_job"):
            if self.job is None:
                raise StepError("no such job", type=NOT_THERE)
            return {"Job": self.job}
        if operation == "get_tags":
            return {"Tags": self.tags}
        if operation == "get_trigger":
            raise StepError("no such trigger", type=NOT_THERE)
        self.calls.append((operation, parameters))
        return {}


def deployed(**changes: Any) -> MemoryAccount:
    """Returns an account with the job as it was deployed, and its record."""
    account = MemoryAccount()
    deployer = Deployer(account, HOME)  # type: ignore[arg-type]
    deployer.apply(deployer.plan_deployment(WANTED, HASH))
    ((operation, created),) = account.calls
    assert operation == "create_job"
    job = {**{key: value for key, value in created.items() if key != "Tags"}, **changes}
    return replace(account, job=job, tags=dict(created["Tags"]), calls=[])


def plan(account: MemoryAccount, wanted: Any = WANTED, **options: Any) -> Any:
    return Deployer(account, HOME).plan_deployment(wanted, OTHER, **options)  # type: ignore[arg-type]


def test_a_new_job_is_made_with_its_tags_and_leaves_a_record() -> None:
    account = deployed()
    (record,) = [key for key in account.store.objects if "deployments/" in key]
    assert record.endswith(f"-{HASH}.json")
    stored = DeploymentRecord.from_json(json.loads(account.store.objects[record]))
    assert (stored.hash, stored.by) == (HASH, "arn:aws:iam::111122223333:user/ada")
    assert stored.tags == WANTED.tags == account.tags
    assert stored.job == WANTED.job


def test_a_job_as_it_should_be_is_not_touched() -> None:
    account = deployed()
    planned = plan(account)
    assert planned.is_empty
    assert planned.text() == f"Glue job {WANTED.name}: no change"
    before = dict(account.store.objects)
    Deployer(account, HOME).apply(planned)  # type: ignore[arg-type]
    assert (account.calls, account.store.objects) == ([], before)


def test_a_change_keeps_what_others_set_and_removes_what_an_earlier_deployment_set() -> None:
    account = deployed(SourceControlDetails={"Branch": "main"})
    account = replace(
        account,
        known=(*account.known, "SourceControlDetails"),
        tags={**account.tags, "cost": "theirs", "aws:x": "1"},
    )
    wanted = make_definition(replace(SETTINGS, capacity=1.0, tags={"stage": "prod"}))
    planned = plan(account, wanted)
    assert planned.text().startswith(f"Glue job {WANTED.name} changes in ")
    Deployer(account, HOME).apply(planned)  # type: ignore[arg-type]
    sent = dict(account.calls)
    assert sent["update_job"]["JobUpdate"]["MaxCapacity"] == 1.0
    assert sent["update_job"]["JobUpdate"]["SourceControlDetails"] == {"Branch": "main"}
    assert sent["tag_resource"]["TagsToAdd"]["stage"] == "prod"
    assert sent["untag_resource"]["TagsToRemove"] == ["team"]
    assert "cost" not in sent["tag_resource"]["TagsToAdd"]


def test_a_job_of_others_is_left_alone_unless_it_is_adopted() -> None:
    made = deployed().job or {}
    none: dict[str, Any] = {"DefaultArguments": {}, "NonOverridableArguments": {}}
    job = {**made, **none, "Description": "made by hand"}
    account = MemoryAccount(job=job)
    with pytest.raises(UsageError, match="was not created by rolerunner"):
        plan(account)
    assert plan(account, adopt=True).is_new is False


def test_another_error_than_a_missing_job_is_not_a_new_job() -> None:
    class Refused(MemoryAccount):
        def call(self, service: str, operation: str, **parameters: Any) -> Any:
            raise StepError("not allowed", type="AccessDeniedException")

    with pytest.raises(StepError, match="not allowed"):
        plan(Refused())


def test_a_setting_that_an_old_boto3_cannot_send_is_refused() -> None:
    wanted = replace(WANTED, job={**WANTED.job, "JobRunQueuingEnabled": True})
    with pytest.raises(UsageError, match="too old for 'queue_runs' under 'glue'"):
        plan(MemoryAccount(), wanted)


def make_bundle(folder: Path) -> Bundle:
    (folder / MANIFEST).write_text("{}")
    (folder / "a.whl").write_text("a")
    return Bundle(folder, "spec/nightly.yaml", ("a.whl",), (), HASH)


def test_a_bundle_is_uploaded_once_with_its_manifest_last(tmp_path: Path) -> None:
    account = MemoryAccount()
    told: list[str] = []
    deployer = Deployer(account, HOME)  # type: ignore[arg-type]
    bundle = make_bundle(tmp_path)
    places = [deployer.upload(bundle, told.append) for _ in range(2)]
    assert places == [S3Uri("ops", f"{HOME.key}{HASH}/")] * 2
    kinds = [call[0] for call in account.store.calls]
    assert (kinds, account.store.calls[-1][1]) == (
        ["put", "write"],
        f"{HOME.key}{HASH}/{MANIFEST}",
    )
    assert told[1] == f"{places[0]} already exists"


def test_a_bundle_that_is_not_whole_has_no_manifest(tmp_path: Path) -> None:
    account = MemoryAccount(store=MemoryStorage(failure=LocalFileFailed("disk full")))
    with pytest.raises(LocalFileFailed):
        Deployer(account, HOME).upload(make_bundle(tmp_path), print)  # type: ignore[arg-type]
    assert account.store.objects == {}


def with_records(*hashes: str, whole: bool = True) -> Deployer:
    account = MemoryAccount()
    for second, each in enumerate(hashes):
        record = DeploymentRecord(each, f"t{second}", "ada", {}, {})
        key = f"{HOME.key}deployments/20260101T00000{second}.000000Z-{each}.json"
        account.store.objects[key] = record.as_json()
        if whole:
            account.store.objects[f"{HOME.key}{each}/{MANIFEST}"] = b"{}"
    return Deployer(account, HOME)  # type: ignore[arg-type]


def test_a_rollback_goes_to_the_previous_deployment_or_to_the_last_with_a_hash() -> None:
    deployer = with_records("aaaa", "bbbb", "aaaa", "cccc")
    last = deployer.find_last()
    assert last is not None
    assert last.time == "t3"
    assert deployer.find_earlier().time == "t2"
    assert deployer.find_earlier("aa").time == "t2"
    assert deployer.find_earlier("bbbb").time == "t1"


@pytest.mark.parametrize(
    ("hashes", "wanted", "message"),
    [
        ((), "", "before this one to roll back to under s3://ops/rolerunner/nightly/ .found: none"),
        (("aaaa",), "", "before this one to roll back to .*found: aaaa"),
        (("aaaa", "bbbb"), "cc", "there is no deployment cc to roll back to .*found: aaaa, bbbb"),
    ],
)
def test_a_rollback_to_nothing(hashes: Any, wanted: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        with_records(*hashes).find_earlier(wanted)


def test_a_rollback_needs_the_artifacts_and_a_record() -> None:
    with pytest.raises(UsageError, match="the artifacts of aaaa are gone"):
        with_records("aaaa", whole=False).find_earlier("aaaa")
    deployer = with_records("aaaa")
    (key,) = [key for key in deployer.storage.objects if "deployments" in key]  # type: ignore[attr-defined]
    for text in (b"[]", b"{}", b"x", b"null"):
        deployer.storage.objects[key] = text  # type: ignore[attr-defined]
        with pytest.raises(UsageError, match="is not a deployment record: move it away"):
            deployer.find_last()
