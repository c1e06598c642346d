from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.model import JOB, Role
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.registry import Sessions

if TYPE_CHECKING:
    from tests.memory_aws import Store

READER = Role("arn:aws:iam::444455556666:role/reader", "reader", region="us-west-2")
OTHER = "http://127.0.0.1:9"


@pytest.fixture
def session(memory_aws: Store) -> Any:
    return Sessions(JobIdentity("eu-west-1", endpoints={"": memory_aws.url})).session(READER)


def test_clients_have_the_jobs_endpoint_and_the_roles_region(
    session: Any, memory_aws: Store
) -> None:
    meta = session.client("s3").meta
    assert (meta.endpoint_url, meta.region_name) == (memory_aws.url, "us-west-2")
    assert session.client("sqs", endpoint_url=OTHER).meta.endpoint_url == OTHER
    assert session.client("sqs", "eu-central-1").meta.region_name == "eu-central-1"


def test_an_endpoint_by_position_stays(session: Any) -> None:
    client = session.client("sqs", None, None, True, None, OTHER)
    assert client.meta.endpoint_url == OTHER


def test_other_arguments_by_position_leave_the_jobs_endpoint() -> None:
    sessions = Sessions(JobIdentity("eu-west-1", endpoints={"sqs": OTHER}))
    client = sessions.session(JOB).client("sqs", None, None, True, None)
    assert client.meta.endpoint_url == OTHER


def test_resources_work_under_the_role(session: Any, memory_aws: Store) -> None:
    memory_aws.put("bucket", "key", "text")
    stored = session.resource("s3", endpoint_url=memory_aws.url).Object("bucket", "key")
    assert stored.get()["Body"].read() == b"text"
    assert memory_aws.assumed == [READER.arn]
