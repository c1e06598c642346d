"""A distributed storage: short listings stay here, and no credentials are sent."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from rolerunner.common.cancellation import Cancel
from rolerunner.model import Role, S3Uri
from rolerunner.sessions.identity import JobIdentity
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Access, ObjectInfo
from rolerunner.storage.workers import worker_setup
from rolerunner.storage.workers.distributed import DistributedStorage, Distribution
from rolerunner.storage.workers.worker_setup import WorkerSetup
from tests.workers import InProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

PREFIX = S3Uri("bucket", "in/")
EXPRESS = S3Uri("fast--usw2-az1--x-s3", "in/")


class Local:
    """A storage that lists one object, and keeps the options of the listing."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def list(self, prefix: S3Uri, **options: Any) -> Iterator[ObjectInfo]:
        self.options = options
        yield ObjectInfo(f"{prefix.key}a", 1)


def open_in_worker(*arguments: Any) -> Any:
    return ("opened", *arguments[1:3])


def create_storage(local: Any, pool: InProcess) -> DistributedStorage:
    setup = WorkerSetup(open_in_worker, JobIdentity(region="eu-west-1"), "session")
    role = Role("arn:aws:iam::111122223333:role/copier", "copier")
    return Distribution(pool, setup).storage(role, Access(), Pacer(), local, Cancel())


def test_a_short_listing_stays_on_this_machine() -> None:
    pool = InProcess()
    storage = create_storage(Local(), pool)
    assert [each.key for each in storage.list(PREFIX)] == ["in/a"]
    assert pool.waves == []


def test_a_listing_that_may_end_early_asks_for_pages_of_its_size() -> None:
    local = Local()
    list(create_storage(local, InProcess()).list(PREFIX, after="b", page=1, parallel=False))
    assert (local.options["after"], local.options["page"]) == ("b", 1)
    assert local.options["parallel"] is False


def test_a_directory_bucket_is_listed_from_the_beginning() -> None:
    local = Local()
    storage = create_storage(local, InProcess())
    assert list(storage.list(EXPRESS, after="x")) == [ObjectInfo("in/a", 1)]
    assert "after" not in local.options
    assert len(list(storage.list_blocks(EXPRESS, after="x"))) == 1


def test_a_worker_opens_the_storage_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_setup, "_STORAGES", {})
    monkeypatch.setattr(WorkerSetup, "sessions", lambda _: "sessions")
    storage = create_storage(Local(), InProcess(slots=10))
    assert storage.setup.jitter > 0
    assert pickle.loads(pickle.dumps(storage)) == ("opened", storage.role, storage.access)
