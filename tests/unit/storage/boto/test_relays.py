"""Copies through this machine: whole, in parts, skipped and damaged, in both engines."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import AccessDenied, IntegrityFailed, NotFound
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome
from tests import memory_aws as aws

SOURCE, TARGET = S3Uri("source", "a"), S3Uri("target", "b")
HEADERS = {"content-type": "text/csv", "x-amz-meta-a": "b"}
SMALL, LARGE = b"small", b"0123456789abc"


def relay(engine: Any, **fields: Any) -> Outcome:
    (outcome,) = engine.relay([Copy(SOURCE, TARGET, **fields)], engine, Cancel())
    assert isinstance(outcome, Outcome)
    return outcome


def fill(memory_aws: aws.Store, data: bytes) -> None:
    memory_aws.put("source", "a", data, headers=dict(HEADERS), tags="k=v")


@pytest.mark.parametrize("data", [b"", SMALL, LARGE])
def test_content_metadata_and_tags_are_stored(
    engine: Any, memory_aws: aws.Store, data: bytes
) -> None:
    fill(memory_aws, data)
    outcome = relay(engine)
    assert outcome.error is None
    entry = memory_aws.objects["target", "b"]
    assert (entry.body, entry.headers, entry.tags) == (data, HEADERS, "k=v")
    assert (outcome.uri, outcome.size, outcome.source, outcome.etag) == (
        TARGET,
        len(data),
        SOURCE,
        entry.etag,
    )
    assert all("x-amz-copy-source" not in each.headers for each in memory_aws.requests)


@pytest.mark.parametrize("data", [SMALL, LARGE])
def test_options_replace_those_of_the_source(
    engine: Any, memory_aws: aws.Store, data: bytes
) -> None:
    fill(memory_aws, data)
    relay(engine, options={"ContentType": "text/plain", "Tagging": "x=y"})
    entry = memory_aws.objects["target", "b"]
    assert (entry.headers, entry.tags) == ({**HEADERS, "content-type": "text/plain"}, "x=y")


def test_a_target_that_is_right_is_skipped(engine: Any, memory_aws: aws.Store) -> None:
    there = ObjectInfo("b", 5, "t")
    outcome = relay(engine, info=ObjectInfo("a", 5, "e"), skip=lambda: True, there=there)
    assert (outcome.status, outcome.size, outcome.etag) == ("skipped", 5, "t")
    assert memory_aws.requests == []


def test_a_missing_source(engine: Any, memory_aws: aws.Store) -> None:
    assert isinstance(relay(engine).error, NotFound)
    assert memory_aws.objects == {}


@pytest.mark.parametrize("data", [SMALL, LARGE])
def test_a_refused_target(engine: Any, memory_aws: aws.Store, data: bytes) -> None:
    fill(memory_aws, data)
    memory_aws.hook = lambda request: (
        aws.error(403, "AccessDenied") if request.bucket == "target" else None
    )
    error = relay(engine).error
    assert isinstance(error, AccessDenied)
    assert "s3:PutObject" in str(error) + error.hint


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("data", [SMALL, LARGE])
def test_damaged_bytes_are_never_stored(engine: Any, memory_aws: aws.Store, data: bytes) -> None:
    fill(memory_aws, data)

    def hook(request: aws.Request) -> aws.Outcome:
        if request.method != "GET" or "tagging" in request.query:
            return None
        response = memory_aws.respond(request)
        return aws.Response(response.status, response.headers, b"X" + response.body[1:])

    memory_aws.hook = hook
    outcome = relay(engine)
    assert isinstance(outcome.error, IntegrityFailed)
    assert f"MD5:{hashlib.md5(data).hexdigest()}" in str(outcome.error)
    assert ("target", "b") not in memory_aws.objects
    assert memory_aws.uploads == {}


@pytest.mark.parametrize("data", [SMALL, LARGE])
def test_a_condition_of_the_target(engine: Any, memory_aws: aws.Store, data: bytes) -> None:
    fill(memory_aws, data)
    memory_aws.put("target", "b", b"theirs")
    error = relay(engine, options={"IfNoneMatch": "*"}).error
    assert error is not None
    assert error.type == "AlreadyThere"
    assert memory_aws.objects["target", "b"].body == b"theirs"
