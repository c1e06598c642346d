"""Responses that a service did not give are refused by their first bytes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from rolerunner.sessions.foreign_responses import (
    ForeignResponse,
    find_protocol,
    refuse_empty_body,
    refuse_foreign_body,
)

PAGE = b"\n<!DOCTYPE HTML><html><body>token=secret</body></html>"


@pytest.mark.parametrize("protocol", ["json", "rest-json", "query", "ec2", "rest-xml"])
@pytest.mark.parametrize("body", [PAGE, b"<html lang=en>"])
def test_a_page_is_refused_and_not_quoted(protocol: str, body: bytes) -> None:
    with pytest.raises(ForeignResponse) as caught:
        refuse_foreign_body(protocol, body)
    assert "a page of HTML" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("body", [b"null", b"[1]", b"no json"])
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(ForeignResponse):
        refuse_foreign_body("json", body)


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        ("json", b""),
        ("json", b' {"a": 1}'),
        ("rest-json", b"blob"),
        ("query", b"<r/>"),
        ("", PAGE),
        ("smithy-rpc-v2-cbor", b"\xbf"),
    ],
)
def test_responses_of_the_service_pass(protocol: str, body: bytes) -> None:
    refuse_foreign_body(protocol, body)


def test_an_empty_answer_is_refused_where_the_operation_returns_something() -> None:
    client = boto3.client(
        "glue", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y"
    )
    target = {"X-Amz-Target": b"AWSGlue.BatchCreatePartition"}
    with pytest.raises(ForeignResponse, match="it is empty"):
        refuse_empty_body(client, target, b" ")
    refuse_empty_body(client, target, b"{}")
    for other in ("AWSGlue.TagResource", "AWSGlue.Unknown", ""):
        refuse_empty_body(client, {"X-Amz-Target": other}, b"")
    refuse_empty_body(object(), target, b"")


def test_the_protocol_is_the_one_that_botocore_resolved() -> None:
    def client(**model: Any) -> Any:
        return SimpleNamespace(meta=SimpleNamespace(service_model=SimpleNamespace(**model)))

    assert find_protocol(client(metadata={"protocol": "json"})) == "json"
    assert find_protocol(client(metadata={}, resolved_protocol="query")) == "query"
    assert find_protocol(object()) == ""
