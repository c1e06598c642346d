"""Requests of the native engine: their templates, sessions that expire, and buckets elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from rolerunner.common.cancellation import Cancel
from rolerunner.model import S3Uri
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.native.client import (
    NativeClient,
    checksum_header,
    split_checksum,
    version_query,
)
from rolerunner.storage.native.templates import UnsupportedRequest
from tests import memory_aws as aws
from tests.unit.storage.engines import open_boto_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.storage.http.framing import Response

URI = S3Uri("bucket", "key")


class RenewedCredentials(Credentials):  # type: ignore[misc]  # botocore has no types
    """Keys that are others after ``invalidate``, as long as another session can be had."""

    renewals = 1

    def __init__(self) -> None:
        super().__init__("old", "s")

    def invalidate(self, token: Any) -> bool:
        assert token is None
        self.renewals -= 1
        self.access_key = "new"
        return self.renewals >= 0


def open_client(credentials: Any = None) -> NativeClient:
    plain = open_boto_engine()
    return NativeClient(
        plain.requests,
        plain.tuning,
        credentials or Credentials("k", "s"),
        SocketFactory(None, 5, 5),
    )


@pytest.fixture
def client(memory_aws: aws.Store) -> Iterator[NativeClient]:
    memory_aws.put("bucket", "key", b"body")
    opened = open_client()
    yield opened
    opened.connections.close()


def get(client: NativeClient, uri: S3Uri = URI) -> Response:
    cancel = Cancel()
    task = client.send(client.make_policy(cancel), "get_object", uri, {})
    return client.run(task, cancel)


def test_requests_of_one_kind_share_a_template(client: NativeClient) -> None:
    first = client.find_template("get_object", "bucket", {})
    assert client.find_template("get_object", "bucket", {}) is first
    assert client.find_template("get_object", "other", {}) is not first
    assert client.find_template("head_object", "bucket", {}) is not first
    assert client.find_template("get_object", "bucket", {"RequestPayer": "requester"}) is not first
    assert get(client).body == b"body"


def test_options_may_be_mappings(client: NativeClient) -> None:
    def find(key: str) -> Any:
        options = {"CopySource": {"Bucket": "source", "Key": key}}
        return client.find_template("copy_object", "bucket", options)

    assert find("a") is find("a")
    assert find("a") is not find("b")
    assert find("b").headers["x-amz-copy-source"] == "source/b"


def test_what_is_not_supported_is_known_without_a_request(
    client: NativeClient, memory_aws: aws.Store
) -> None:
    assert client.supports("get_object")
    assert memory_aws.requests == []
    client._templates.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTTP_PROXY", "http://proxy.example.com:3128")
        patch.setenv("http_proxy", "http://proxy.example.com:3128")
        assert not client.supports("get_object")
        with pytest.raises(UnsupportedRequest, match="an HTTP proxy is set"):
            get(client)


def test_an_expired_session_is_replaced(memory_aws: aws.Store) -> None:
    memory_aws.put("bucket", "key", b"body")
    memory_aws.hook = lambda r: aws.error(400, "ExpiredToken") if r.access_key == "old" else None
    client = open_client(RenewedCredentials())
    assert get(client).body == b"body"
    client.connections.close()
    assert [each.access_key for each in memory_aws.requests] == ["old", "new"]


@pytest.mark.parametrize("can_renew", [False, True])
def test_a_session_that_cannot_be_replaced_fails(memory_aws: aws.Store, can_renew: bool) -> None:
    credentials: Any = Credentials("old", "s")
    if can_renew:
        credentials = RenewedCredentials()
        credentials.renewals = 0
    memory_aws.hook = lambda _: aws.error(400, "ExpiredToken")
    client = open_client(credentials)
    with pytest.raises(ClientError, match="ExpiredToken"):
        get(client)
    client.connections.close()
    assert len(memory_aws.requests) == 1


def test_a_bucket_elsewhere_is_looked_for_once(client: NativeClient, memory_aws: aws.Store) -> None:
    """Sends no request again where botocore finds no other region."""
    memory_aws.hook = lambda r: (
        aws.error(301, "PermanentRedirect") if r.method == "GET" else aws.Response(200)
    )
    with pytest.raises(ClientError, match="PermanentRedirect"):
        get(client)
    assert [each.method for each in memory_aws.requests] == ["GET", "HEAD"]


def test_a_bucket_that_was_found_meanwhile_is_not_looked_for(
    client: NativeClient, memory_aws: aws.Store
) -> None:
    sent = client.find_template("get_object", "bucket", {})
    assert not client._locate_bucket("bucket", sent)
    assert [each.method for each in memory_aws.requests] == ["HEAD"]
    memory_aws.requests.clear()
    assert client._locate_bucket("bucket", None), "nothing was sent yet"
    elsewhere = client.find_template("get_object", "bucket", {})
    elsewhere.signer.region = "eu-central-1"
    assert client._locate_bucket("bucket", elsewhere)
    assert memory_aws.requests == []


def test_a_bucket_that_cannot_be_looked_for_stays_where_it_is(
    client: NativeClient, memory_aws: aws.Store
) -> None:
    memory_aws.hook = lambda _: aws.DROP
    sent = client.find_template("get_object", "bucket", {})
    assert not client._locate_bucket("bucket", sent)


def test_the_loop_has_a_share_of_the_memory_and_so_many_connections(client: NativeClient) -> None:
    cancel = Cancel()
    loop, policy = client.open_loop(cancel)
    assert policy.tries == client.requests.max_attempts
    assert policy.pacer is client.requests.pacer
    cancel.set()
    assert policy.cancel.is_set(), "what stops the operation stops its requests"
    assert loop.cancel is policy.cancel
    assert list(loop.run(())) == [], "it closes what it opened"


@pytest.mark.parametrize(
    ("options", "algorithm", "rest"),
    [
        ({}, "CRC32", {}),
        ({"ChecksumAlgorithm": "SHA256", "A": "b"}, "SHA256", {"A": "b"}),
    ],
)
def test_the_checksum_is_no_option_of_the_template(
    options: dict[str, str], algorithm: str, rest: dict[str, str]
) -> None:
    before = dict(options)
    assert split_checksum(options) == (algorithm, rest)
    assert options == before


def test_headers_and_queries() -> None:
    assert checksum_header("SHA256", "abc=") == {"x-amz-checksum-sha256": "abc="}
    assert version_query("v") == (("versionId", "v"),)
    assert version_query("") == ()
