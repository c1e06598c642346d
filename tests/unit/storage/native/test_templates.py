"""Templates of requests: what botocore is asked for once, and what cannot be sent natively."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ParamValidationError

from rolerunner.storage.native import templates
from rolerunner.storage.native.templates import (
    Address,
    UnsupportedRequest,
    build_template,
    capture_request,
)
from tests.unit.storage.engines import make_client

if TYPE_CHECKING:
    from tests.memory_aws import Store


def build(method: str, bucket: str = "bucket", **options: Any) -> Any:
    return build_template(make_client(), Credentials("k", "s"), method, bucket, options)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (Address(True, "h", 443), "https://h:443"),
        (Address(False, "h", 80), "http://h:80"),
    ],
)
def test_addresses(address: Address, url: str) -> None:
    assert address.url == url


def test_a_template_is_the_request_without_its_key(memory_aws: Store) -> None:
    template = build("put_object", ContentType="text/csv", ContentEncoding="gzip")
    assert (template.operation, template.method, template.path) == (
        "PutObject",
        "PUT",
        "/bucket/",
    )
    assert template.address.url == memory_aws.url
    assert template.headers["content-type"] == "text/csv"
    assert template.headers["content-encoding"] == "gzip"
    assert "authorization" not in template.headers
    assert memory_aws.requests == [], "botocore builds the request and does not send it"


def test_parts_are_named_by_the_request_and_not_by_the_template(memory_aws: Store) -> None:
    del memory_aws
    template = build("upload_part")
    assert template.query == ()
    signed = template.sign("a b", query=[("partNumber", "2"), ("uploadId", "u")], body=b"xyz")
    head = signed.head.decode()
    assert head.startswith("PUT /bucket/a%20b?partNumber=2&uploadId=u HTTP/1.1\r\n")
    assert "content-length: 3\r\n" in head.lower()
    assert (signed.body, signed.resent, signed.sink) == (b"xyz", 0, None)


@pytest.mark.parametrize(
    ("method", "body", "length", "expected"),
    [
        ("put_object", b"", None, "content-length: 0"),
        ("put_object", b"x", 5, "content-length: 5"),
        ("get_object", b"", None, ""),
        ("delete_object", b"", None, ""),
    ],
)
def test_the_length_of_a_body(
    memory_aws: Store, method: str, body: bytes, length: int | None, expected: str
) -> None:
    del memory_aws
    head = build(method).sign("k", body=body, length=length).head.decode().lower()
    assert ("content-length" in head) is bool(expected)
    assert expected in head


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "\xe9"])
def test_a_header_that_would_end_early_is_refused(memory_aws: Store, value: str) -> None:
    del memory_aws
    with pytest.raises(ParamValidationError, match="a header contains a line break"):
        build("put_object").sign("k", {"x-amz-meta-a": value})


def test_what_cannot_be_sent_natively(memory_aws: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedRequest, match="directory buckets and Object Lambda"):
        build("get_object", "data--use1-az4--x-s3")
    with pytest.raises(UnsupportedRequest, match="botocore cannot build the request: "):
        build("get_object", "not a bucket")
    signing = make_client()
    signing.meta.config.s3 = {"payload_signing_enabled": True}
    with pytest.raises(UnsupportedRequest, match="payload_signing_enabled"):
        build_template(signing, None, "get_object", "bucket", {})
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "example.com")
    with pytest.raises(UnsupportedRequest, match="an HTTP proxy is set in the environment"):
        build("get_object")
    assert memory_aws.requests == []


@pytest.mark.parametrize(
    ("variable", "is_native"),
    [("NO_PROXY", True), ("HTTPS_PROXY", True), ("HTTP_PROXY", False)],
)
def test_only_a_proxy_of_the_endpoints_scheme_goes_to_boto3(
    variable: str, is_native: bool, memory_aws: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://proxy.example.com:3128")
    if is_native:
        assert build("get_object").method == "GET"
    else:
        with pytest.raises(UnsupportedRequest, match="an HTTP proxy"):
            build("get_object")


@pytest.mark.parametrize(
    "authorization", ["AWS4-ECDSA-P256-SHA256 Credential=k/20260131/s3/aws4_request", ""]
)
def test_a_request_with_another_signature_is_not_sent_natively(
    memory_aws: Store, monkeypatch: pytest.MonkeyPatch, authorization: str
) -> None:
    captured = capture_request(make_client(), "head_object", {"Bucket": "bucket", "Key": "key"})
    del captured.headers["Authorization"]
    captured.headers["Authorization"] = authorization
    monkeypatch.setattr(templates, "capture_request", lambda *_: captured)
    with pytest.raises(UnsupportedRequest, match="Signature Version 4 for one region"):
        build("head_object")
    assert memory_aws.requests == []


def test_a_call_that_sends_nothing_is_not_sent_natively() -> None:
    client: Any = SimpleNamespace(
        meta=SimpleNamespace(events=SimpleNamespace(register_first=lambda *_, **__: None)),
        head_object=lambda **_: {"cached": True},
    )
    with pytest.raises(UnsupportedRequest, match="sends no request for head_object"):
        capture_request(client, "head_object", {})


def test_headers_of_many_kinds_do_not_fill_memory(
    memory_aws: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "_MAX_SIGNING_TEMPLATES", 2)
    template = build("put_object")
    for number in range(5):
        request = template.sign("k", {f"x-amz-meta-{number}": "v"})
        assert f"x-amz-meta-{number}: v".encode() in request.head.lower()
    assert memory_aws.requests == []


def test_capturing_ends_with_the_call(memory_aws: Store) -> None:
    client = make_client()
    request = capture_request(client, "head_object", {"Bucket": "bucket", "Key": "key"})
    assert (request.method, memory_aws.requests) == ("HEAD", [])
    memory_aws.put("bucket", "key", b"x")
    assert client.head_object(Bucket="bucket", Key="key")["ContentLength"] == 1
    with pytest.raises(ParamValidationError):
        capture_request(client, "head_object", {"Bucket": "bucket"})
    assert client.head_object(Bucket="bucket", Key="key")["ContentLength"] == 1
