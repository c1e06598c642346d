"""One attempt of ``athena.query``: tokens, resumed runs, and reasons of failures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import ANY

from rolerunner.actions.builtin.athena_query import AthenaQuery
from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import is_retryable
from tests.unit.actions.stubbed import StubbedService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolerunner.actions.base import StepContext

LOOK = {"QueryExecutionId": "q1"}
START = {"QueryString": "SELECT 1", "ClientRequestToken": ANY, "WorkGroup": "primary"}


@pytest.fixture
def athena() -> Iterator[StubbedService]:
    service = StubbedService("athena")
    with service.stub:
        yield service
        service.stub.assert_no_pending_responses()


def create_action(**fields: Any) -> AthenaQuery:
    values = {"query": "SELECT 1", "interval": 0.01, "max_rows": 0, **fields}
    return AthenaQuery.model_validate(values)


def add_state(athena: StubbedService, state: str, **more: Any) -> None:
    execution = {"QueryExecutionId": "q1", "Status": {"State": state, **more}}
    athena.stub.add_response("get_query_execution", {"QueryExecution": execution}, LOOK)


def start_earlier(athena: StubbedService, folder: Path, **note: str) -> StepContext:
    context = athena.create_context(folder)
    assert context.started_work is not None
    context.started_work.write(json.dumps(note))
    return context


def test_a_retry_sends_the_token_of_the_lost_request(
    athena: StubbedService, tmp_path: Path
) -> None:
    athena.stub.add_client_error(
        "start_query_execution", "InternalServerException", expected_params=START
    )
    context = athena.create_context(tmp_path)
    with pytest.raises(StepError):
        create_action().run(context)
    assert context.started_work is not None
    token = json.loads(context.started_work.read())["token"]
    assert len(token) >= 32
    sent = {**START, "ClientRequestToken": token}
    athena.stub.add_response("start_query_execution", {"QueryExecutionId": "q1"}, sent)
    add_state(athena, "SUCCEEDED")
    assert create_action().run(context)["query_id"] == "q1"


def test_a_query_that_was_started_before_is_picked_up(
    athena: StubbedService, tmp_path: Path
) -> None:
    context = start_earlier(athena, tmp_path, token="t" * 32, query_id="q1")
    for state in ("RUNNING", "QUEUED", "SUCCEEDED"):
        add_state(athena, state)
    assert create_action().run(context)["query_id"] == "q1"
    assert "waits for query q1" in athena.recorded.notes[0][1]


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "unknown"])
def test_a_query_that_failed_before_is_started_anew(
    state: str, athena: StubbedService, tmp_path: Path
) -> None:
    token = "t" * 32
    context = start_earlier(athena, tmp_path, token=token, query_id="q1")
    if state == "unknown":
        athena.stub.add_client_error("get_query_execution", "InvalidRequestException")
    else:
        add_state(athena, state)
    athena.stub.add_response("start_query_execution", {"QueryExecutionId": "q1"}, START)
    add_state(athena, "SUCCEEDED")
    create_action().run(context)
    assert context.started_work is not None
    assert json.loads(context.started_work.read())["token"] != token


@pytest.mark.parametrize(
    ("status", "kind", "message", "hint"),
    [
        (
            {"StateChangeReason": "SYNTAX_ERROR: line 2:5: no viable alternative"},
            "QueryFailed", "'query':2:5: query q1 failed: SYNTAX_ERROR", "correct the query",
        ),
        (
            {"StateChangeReason": "Access Denied (Service: Amazon S3)"},
            "QueryFailed", "'query': query q1 failed", "s3:GetBucketLocation",
        ),
        (
            {"AthenaError": {"Retryable": True, "ErrorMessage": "try later"}},
            "TemporaryFailure", "try later", "",
        ),
        ({}, "QueryFailed", "Athena gives no reason", ""),
    ],
)  # fmt: skip
def test_a_failed_query_tells_its_place_and_reason(
    status: dict[str, Any],
    kind: str,
    message: str,
    hint: str,
    athena: StubbedService,
    tmp_path: Path,
) -> None:
    athena.stub.add_response("start_query_execution", {"QueryExecutionId": "q1"}, START)
    add_state(athena, "FAILED", **status)
    with pytest.raises(StepError) as failed:
        create_action().run(athena.create_context(tmp_path))
    error = failed.value
    assert (error.type, message in error.message, hint in error.hint) == (kind, True, True)
    assert is_retryable(error) == (kind == "TemporaryFailure")
    assert athena.work.notes == {}


def test_a_query_that_somebody_cancels(athena: StubbedService, tmp_path: Path) -> None:
    athena.stub.add_response("start_query_execution", {"QueryExecutionId": "q1"}, START)
    add_state(athena, "CANCELLED")
    with pytest.raises(StepError, match="was cancelled: by somebody else"):
        create_action().run(athena.create_context(tmp_path))
