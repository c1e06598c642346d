from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rolerunner.errors import StepError, UsageError
from rolerunner.sessions import clients
from rolerunner.sessions.botocore_setup import MAX_ATTEMPTS, BotocoreSessions
from rolerunner.sessions.clients import ClientCache, retry_conflict
from rolerunner.sessions.credentials import JobCredentials
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from rolerunner.sessions.service_models import shared_loader

KEYS = Keys("AKID-OF-UNIT-TESTS", "key-of-unit-tests")


@pytest.fixture
def cache() -> ClientCache:
    return ClientCache(BotocoreSessions(JobIdentity("eu-west-1", keys=KEYS)))


def test_a_client_is_created_once_for_its_settings(cache: ClientCache) -> None:
    job = JobCredentials(KEYS.to_credentials)
    client = cache.client(job, "sts", "eu-west-1")
    assert cache.client(job, "sts", "eu-west-1") is client
    assert cache.client(job, "sts", "us-east-1") is not client
    assert cache.client(JobCredentials(KEYS.to_credentials), "sts", "eu-west-1") is not client
    assert cache.sts_client(job, "eu-west-1") is cache.sts_client(job, "eu-west-1")
    assert cache.sts_client(job, "eu-west-1").meta.config.read_timeout == 10


def test_clients_sign_with_their_own_credentials(cache: ClientCache) -> None:
    named = {}
    for name in ("first", "second", "third"):
        keys = Keys(f"AKID-OF-{name}", f"key-of-{name}")
        named[name] = cache.client(JobCredentials(keys.to_credentials), "s3", "eu-west-1")
    for name, client in named.items():
        url = client.generate_presigned_url("get_object", {"Bucket": "b", "Key": "k"})
        assert f"AKID-OF-{name}" in url
        assert hasattr(client, "upload_file")


def test_a_missing_profile_is_a_usage_error() -> None:
    identity = JobIdentity("eu-west-1", profile="no-such-profile")
    cache = ClientCache(BotocoreSessions(identity))
    with pytest.raises(UsageError, match="set AWS_PROFILE"):
        cache.client(JobCredentials(KEYS.to_credentials), "s3", "eu-west-1")


def test_an_unknown_service_is_a_failure_of_the_step(cache: ClientCache) -> None:
    with pytest.raises(StepError, match="no client for 's4' in eu-west-1") as failed:
        cache.client(JobCredentials(KEYS.to_credentials), "s4", "eu-west-1")
    assert failed.value.type == "ClientFailed"


@pytest.mark.parametrize(
    ("code", "status", "attempts", "is_retried"),
    [
        ("OperationAborted", 409, 1, True),
        ("Any", 429, 1, True),
        ("Any", 409, 1, False),
        ("OperationAborted", 409, MAX_ATTEMPTS - 1, True),
        ("OperationAborted", 409, MAX_ATTEMPTS, False),
    ],
)
def test_conflicts_and_rates_are_retried(
    code: str, status: int, attempts: int, is_retried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 1.0)
    response: Any = (SimpleNamespace(status_code=status), {"Error": {"Code": code}})
    delay = retry_conflict(response, SimpleNamespace(name="PutObject"), attempts)
    assert delay == (0.25 * 2**attempts if is_retried else None)
    assert retry_conflict(None) is None


def test_a_boto3_session_is_created_once_for_its_region(cache: ClientCache) -> None:
    job = JobCredentials(KEYS.to_credentials)
    first, other = (cache.boto3_session(job, region) for region in ("eu-west-1", "us-east-1"))
    assert cache.boto3_session(job, "eu-west-1") is first
    assert (first.region_name, other.region_name) == ("eu-west-1", "us-east-1")
    paths = shared_loader().search_paths
    assert len(paths) == len(set(paths)), "each session adds the folder of boto3 again"


def test_a_delay_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 0.5)
    monkeypatch.setattr(clients, "MAX_BACKOFF_SECONDS", 1.0)
    response: Any = (SimpleNamespace(status_code=429), {})
    assert retry_conflict(response, SimpleNamespace(name="PutObject")) == 0.25
    assert retry_conflict(response, SimpleNamespace(name="PutObject"), 4) == 0.5


def test_requests_to_sts_give_up_soon(cache: ClientCache) -> None:
    config = cache.sts_client(JobCredentials(KEYS.to_credentials), "eu-west-1").meta.config
    assert (config.connect_timeout, config.read_timeout) == (5, 10)
    assert config.retries["mode"] == "standard"
    assert config.retries["total_max_attempts"] == 4


def test_transfers_of_boto3_work_on_clients_of_s3(
    cache: ClientCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = cache.client(JobCredentials(KEYS.to_credentials), "s3", "eu-west-1")
    monkeypatch.setattr("boto3.s3.inject.upload_file", lambda *arguments, **more: (arguments, more))
    assert client.upload_file("a", "b", "c", Config=1) == ((client, "a", "b", "c"), {"Config": 1})


def test_all_clients_are_closed_that_can_be(cache: ClientCache) -> None:
    closed: list[int] = []
    cache._clients = {
        (1,): SimpleNamespace(close=lambda: closed.append(1)),
        (2,): SimpleNamespace(),
        (3,): SimpleNamespace(close=lambda: closed.append(3)),
    }
    cache.close()
    assert closed == [1, 3]


@pytest.mark.parametrize(
    ("service", "code", "status", "delay"),
    [("s3", "Any", 429, 0.25), ("s3", "ExpiredToken", 403, 0), ("sts", "ExpiredToken", 403, 0)],
)
def test_a_client_repeats_conflicts_of_s3_and_requests_of_expired_sessions(
    service: str,
    code: str,
    status: int,
    delay: float,
    cache: ClientCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.5)
    client = cache.client(JobCredentials(KEYS.to_credentials), service, "eu-west-1")
    operation = "PutObject" if service == "s3" else "AssumeRole"
    _, found = client.meta.events.emit_until_response(
        f"needs-retry.{service}.{operation}",
        response=(SimpleNamespace(status_code=status, headers={}), {"Error": {"Code": code}}),
        endpoint=None,
        operation=client.meta.service_model.operation_model(operation),
        attempts=1,
        caught_exception=None,
        request_dict={"context": {}},
    )
    assert found == delay
