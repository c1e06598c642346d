from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from rolerunner.errors import RoleRefused
from rolerunner.model import JOB, Role
from rolerunner.sessions import registry
from rolerunner.sessions.credentials import FRESH_SECONDS
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.registry import Sessions
from tests.memory_aws import error

if TYPE_CHECKING:
    from tests.memory_aws import Request, Response, Store

HUB = Role("arn:aws:iam::444455556666:role/hub", "hub")
READER = Role("arn:aws:iam::444455556666:role/reader", "reader")
SPOKE = Role("arn:aws:iam::444455556666:role/spoke", "spoke", via=HUB)
OWN = Role("arn:aws:iam::999999999999:role/job", "own")
OWN_ARN = "arn:aws:sts::999999999999:assumed-role/job/x"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(memory_aws: Store, clock: Clock) -> Sessions:
    return Sessions(JobIdentity("eu-west-1"), session_name="job", clock=clock)


def test_a_role_is_assumed_once_for_its_clients_and_its_session(
    sessions: Sessions, memory_aws: Store
) -> None:
    memory_aws.put("bucket", "key", "text")
    client = sessions.client(READER, "s3")
    assert client.get_object(Bucket="bucket", Key="key")["Body"].read() == b"text"
    boto3_client = sessions.session(READER).client("s3")
    assert boto3_client.get_object(Bucket="bucket", Key="key")["Body"].read() == b"text"
    assert memory_aws.assumed == [READER.arn]
    assert sessions.client(READER, "s3") is client
    assert sessions.client(READER, "s3", region="us-east-1") is not client
    assert sessions.session(READER) is sessions.session(READER)
    assert sessions.count_assume_calls(READER) == 1
    assert sessions.session_arn(READER) == "arn:aws:sts::444455556666:assumed-role/reader/job"
    sessions.close()


def test_a_chained_role_is_assumed_with_the_session_of_its_source(
    sessions: Sessions, memory_aws: Store
) -> None:
    sessions.assume(SPOKE)
    sessions.assume(SPOKE)
    assert memory_aws.assumed == [HUB.arn, SPOKE.arn]
    requests = [each for each in memory_aws.requests if each.query.get("RoleArn") == SPOKE.arn]
    assert [memory_aws.roles_of_keys[each.access_key] for each in requests] == [HUB.arn]


def test_the_jobs_own_role_is_the_job(sessions: Sessions, memory_aws: Store) -> None:
    assert (sessions.session_arn(JOB), sessions.session_arn(OWN)) == ("", "")
    sessions.assume(OWN)
    sessions.assume(JOB)
    assert memory_aws.assumed == []
    assert sessions.session_arn(OWN) == sessions.find_caller_arn() == OWN_ARN
    assert sessions.get_credentials(OWN) is sessions.get_credentials(JOB)


def test_an_exported_session_is_newer_than_the_expired_one(
    sessions: Sessions, clock: Clock, memory_aws: Store
) -> None:
    first = sessions.export_lease(READER)
    assert sessions.export_lease(READER) == first
    assert sessions.export_lease(READER, first.token) == first  # it is fresh
    clock.now += FRESH_SECONDS
    renewed = sessions.export_lease(READER, first.token)
    assert renewed.token != first.token
    assert sessions.export_lease(READER, first.token) == renewed
    assert len(memory_aws.assumed) == 2


def test_a_worker_borrows_sessions_and_does_not_assume(
    sessions: Sessions, clock: Clock, memory_aws: Store
) -> None:
    worker = Sessions(JobIdentity("eu-west-1"), clock=clock)
    credentials = worker.get_credentials(READER)
    worker.borrow_from(sessions.export_lease)
    assert credentials.token == sessions.export_lease(READER).token
    assert worker.count_assume_calls(READER) == 0
    assert memory_aws.assumed == [READER.arn]


def test_a_refusal_is_raised_to_the_borrower(sessions: Sessions, memory_aws: Store) -> None:
    def refuse(request: Request) -> Response | None:
        return error(403, "AccessDenied") if request.query.get("RoleArn") else None

    memory_aws.hook = refuse
    worker = Sessions(JobIdentity("eu-west-1"))
    worker.borrow_from(sessions.export_lease)
    with pytest.raises(RoleRefused, match="'reader' could not be assumed"):
        worker.assume(READER)


def test_certificates_come_from_the_environment(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    assert sessions.find_ca_bundle() is None
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/requests.pem")
    assert sessions.find_ca_bundle() == "/etc/requests.pem"
    monkeypatch.setenv("AWS_CA_BUNDLE", "/etc/aws.pem")
    assert sessions.find_ca_bundle() == "/etc/aws.pem"


def test_sessions_are_not_pickled(sessions: Sessions) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(sessions)


def test_the_end_of_a_session_is_known_while_there_is_one(sessions: Sessions) -> None:
    assert sessions.find_expiry(READER) is None
    sessions.assume(READER)
    ends = sessions.get_credentials(READER).acquire_valid_lease().expires_at
    assert sessions.find_expiry(READER) == ends
    assert sessions.find_expiry(JOB) is None


def test_endpoints_are_those_of_the_identity() -> None:
    configured = Sessions(JobIdentity("eu-west-1", endpoints={"s3": "http://127.0.0.1:1"}))
    assert configured.find_endpoint("s3") == "http://127.0.0.1:1"
    assert configured.find_endpoint("sts") == ""


class Bucket:
    """Stands in for a client of S3: HeadBucket returns or raises this."""

    def __init__(self, response: Any) -> None:
        self.response = response

    def head_bucket(self, Bucket: str) -> Any:  # noqa: N803 - boto3's name
        assert Bucket == "landing"
        if isinstance(self.response, Exception):
            raise self.response
        return self.response


TOLD = {"ResponseMetadata": {"HTTPHeaders": {"x-amz-bucket-region": "us-west-2"}}}


@pytest.mark.parametrize(
    ("response", "region"),
    [
        (TOLD, "us-west-2"),
        (ClientError({"Error": {"Code": "403"}, **TOLD}, "HeadBucket"), "us-west-2"),
        (ClientError({"Error": {"Code": "404"}}, "HeadBucket"), "eu-west-1"),
        (EndpointConnectionError(endpoint_url="http://s3"), "eu-west-1"),
    ],
    ids=["told", "refused", "no bucket", "no connection"],
)
def test_s3_tells_the_region_of_a_bucket(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, response: Any, region: str
) -> None:
    monkeypatch.setattr(sessions, "client", lambda *_: Bucket(response))
    assert sessions.find_bucket_region(READER, "landing") == region


def test_a_client_is_of_the_region_of_the_call_the_role_or_the_job(sessions: Sessions) -> None:
    there = replace(READER, region="us-west-2")
    for role, more, region in (
        (READER, {}, "eu-west-1"),
        (there, {}, "us-west-2"),
        (there, {"region": "us-east-1"}, "us-east-1"),
    ):
        assert sessions.client(role, "s3", **more).meta.region_name == region
    assert sessions.deferred_client(there, "s3").template.meta.region_name == "us-west-2"
    assert sessions.session(there).region_name == "us-west-2"


def test_each_request_for_a_session_is_told(
    sessions: Sessions, memory_aws: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    sessions.on_assume = lambda *call: told.append(call)
    moments = count(100.0, 0.5)
    clock = SimpleNamespace(monotonic=lambda: next(moments))
    monkeypatch.setattr(registry, "time", clock)
    sessions.assume(READER)
    memory_aws.hook = lambda request: (
        error(403, "AccessDenied") if request.query.get("RoleArn") else None
    )
    with pytest.raises(RoleRefused) as refused:
        sessions.assume(HUB)
    assert told[0] == (READER, sessions.session_arn(READER), 0.5, None)
    role, arn, seconds, refusal = told[1]
    assert (role, arn, seconds, refusal.message) == (HUB, "", 0.5, refused.value.message)
