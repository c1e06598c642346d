"""A client is created by its first request; requests of the fast engine are built without it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rolerunner.model import JOB, Role, S3Uri
from rolerunner.sessions.deferred_client import (
    DeferredClient,
    find_template_client,
    prepare_client,
)
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from rolerunner.sessions.registry import Sessions
from rolerunner.storage.native.engine import NativeEngine
from rolerunner.wiring import open_storage
from tests.fake_s3 import Response, start_fake_s3

ROLE = Role("arn:aws:iam::111122223333:role/reader")


class Client:
    """Stands for a client of botocore."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.prepared = 0


def prepare(client: Any) -> None:
    client.prepared = 1


def test_the_first_attribute_creates_the_client_once_for_all_threads() -> None:
    template, created = Client("template"), []

    def create() -> Client:
        created.append(Client("own"))
        return created[-1]

    deferred = DeferredClient(template, create)
    prepare_client(deferred, prepare)
    assert (find_template_client(deferred), template.prepared, created) == (template, 1, [])
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: deferred.name, range(8))) == {"own"}
    assert (len(created), created[0].prepared, deferred.template) == (1, 1, created[0])
    later = Client("later")
    prepare_client(later, prepare)
    assert (later.prepared, find_template_client(later)) == (1, later)


def test_roles_share_the_client_that_builds_requests() -> None:
    sessions = Sessions(JobIdentity("eu-west-1", keys=Keys("k", "s")))
    job, role = (sessions.deferred_client(each, "s3") for each in (JOB, ROLE))
    assert job is sessions.deferred_client(JOB, "s3") is not role
    assert job.template is role.template
    assert job.meta.region_name == "eu-west-1"
    assert job.template is not role.template
    assert job.template is sessions.client(JOB, "s3")


def test_a_listing_is_signed_by_the_job_s_own_keys_without_a_client_of_its_own() -> None:
    page = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    with start_fake_s3(lambda request: Response(body=page)) as (client, requests):
        endpoints = {"": client.meta.endpoint_url}
        sessions = Sessions(JobIdentity("eu-west-1", keys=Keys("AKTEST", "s"), endpoints=endpoints))
        storage = open_storage(sessions, JOB)
        assert isinstance(storage, NativeEngine)
        assert list(storage.list(S3Uri("bucket", "a/"))) == []
        deferred = sessions.deferred_client(JOB, "s3")
        assert find_template_client(deferred) is sessions.deferred_client(ROLE, "s3").template
    assert "Credential=AKTEST/" in requests[0].headers["authorization"]


def test_a_bucket_of_another_region_is_found_by_the_role_s_own_client() -> None:
    page = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    moved = {"x-amz-bucket-region": "us-west-2"}
    error = b"<Error><Code>PermanentRedirect</Code><Message>moved</Message></Error>"

    def respond(request: Any) -> Response:
        if "/us-west-2/s3/" in request.headers["authorization"]:
            return Response(body=b"" if request.operation == "HEAD" else page)
        return Response(b"" if request.operation == "HEAD" else error, 301, headers=moved)

    with start_fake_s3(respond) as (client, requests):
        endpoints = {"": client.meta.endpoint_url}
        sessions = Sessions(JobIdentity("eu-west-1", keys=Keys("AKTEST", "s"), endpoints=endpoints))
        for _ in range(2):
            assert list(open_storage(sessions, JOB).list(S3Uri("bucket", "a/"))) == []
    regions = [each.headers["authorization"].split("/")[2] for each in requests]
    assert regions[-2:] == ["us-west-2", "us-west-2"]
    assert regions.count("eu-west-1") <= 2


def test_a_preparation_is_made_once_for_each_client() -> None:
    prepared: list[str] = []

    def record(client: Any) -> None:
        prepared.append(client.name)

    deferred = DeferredClient(Client("template"), lambda: Client("own"))
    deferred.prepare(record)
    deferred.prepare(record)
    assert prepared == ["template"] * 2
    assert deferred.name == "own"
    assert prepared[2:] == ["own"]
    deferred.prepare(record)
    assert (prepared[3:], deferred._preparations) == (["own"], [record])


def test_nothing_that_copy_or_pickle_look_for_creates_a_client() -> None:
    def create() -> Client:
        raise AssertionError("no request was made")

    assert not hasattr(DeferredClient(Client("template"), create), "__deepcopy__")
