"""One request for each object: outcomes, errors and objects that could not be looked up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from rolerunner.actions.requests import check_boto3_knows, read_member, request_each
from rolerunner.actions.source_objects import SourceObjects
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import FieldError, NotFound, StepError
from rolerunner.model import Role, S3Uri
from rolerunner.selection.manifest import ManifestWriter
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import ObjectInfo, Outcome
from tests.unit.actions.stubbed import StubbedService


def collect(folder: Path, *keys: str) -> SourceObjects:
    with ManifestWriter(folder / "objects.jsonl") as manifest:
        for key in keys:
            manifest.add_object(ObjectInfo(key, 3, "etag"))
    refused = Outcome(S3Uri("bucket", "none"), status="failed", error=NotFound("none"))
    return SourceObjects(manifest.objects(S3Uri("bucket")), (refused,))


def fail_on(key: str, error: Exception) -> Any:
    def request(client: Any, uri: S3Uri, info: ObjectInfo) -> None:
        assert (client, info.size) == ("client of s3", 3)
        if uri.key == key:
            raise error

    return request


def run_requests(folder: Path, error: Exception) -> dict[str, Outcome]:
    sessions = SimpleNamespace(
        client=lambda role, service, **_: f"client of {service}",
        session_arn=lambda role: f"arn:aws:sts::111122223333:assumed-role/{role.name}/s",
    )
    role = Role(arn="arn:aws:iam::111122223333:role/reader", name="reader")
    context: Any = SimpleNamespace(roles={"role": role}, sessions=sessions, cancel=Cancel())
    source = collect(folder, "a", "b")
    outcomes = request_each(source, fail_on("b", error), context, Pacer())
    return {outcome.uri.key: outcome for outcome in outcomes}


def test_an_error_fails_its_object_alone(tmp_path: Path) -> None:
    denied = {"Error": {"Code": "AccessDenied", "Message": "no"}, "ResponseMetadata": {}}
    outcomes = run_requests(tmp_path, ClientError(denied, "PutObjectTagging"))
    assert sorted(outcomes) == ["a", "b", "none"]
    assert (outcomes["a"].error, outcomes["a"].size) == (None, 3)
    assert outcomes["b"].error is not None
    assert outcomes["b"].error.type == "AccessDenied"
    assert isinstance(outcomes["none"].error, NotFound)


def test_a_lost_connection_is_the_failure_of_its_object(tmp_path: Path) -> None:
    outcomes = run_requests(tmp_path, EndpointConnectionError(endpoint_url="https://s3"))
    error = outcomes["b"].error
    assert isinstance(error, StepError)
    assert error.type == "EndpointConnectionError"
    assert error.message.startswith("s3://bucket/b: ")


def test_a_parameter_that_boto3_is_too_old_for_is_a_mistake_of_its_field() -> None:
    client = StubbedService("glue").client()
    check_boto3_knows(client, "StartJobRun", ["JobName", "Arguments"], {})
    with pytest.raises(FieldError, match="is too old for 'young'") as failed:
        check_boto3_knows(client, "StartJobRun", ["JobName", "Young"], {"Young": "young"})
    assert "newer boto3" in failed.value.hint


def test_a_member_that_is_missing_is_named_with_its_request() -> None:
    assert read_member({"A": {"B": 1}}, "glue GetIt", "A", "B") == 1
    answers: list[Any] = [{}, {"A": 1}, {"A": {}}, None]
    for answer in answers:
        with pytest.raises(StepError, match=r"glue GetIt: the response has no A\.B"):
            read_member(answer, "glue GetIt", "A", "B")
