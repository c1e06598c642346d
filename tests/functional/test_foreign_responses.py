"""Actions on AWS services whose answers are not those of the service, or have no end."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from tests.memory_aws import Request, Response, Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rolerunner.model import StepResult

    Answer = Callable[[], Response]

PAGE = Response(200, {"Content-Type": "text/html"}, b"<html><body>sign in</body></html>")
EMPTY = Response(200, {"Content-Type": "application/x-amz-json-1.1"}, b"")
MOST_REQUESTS = 60


def as_json(answer: Any) -> Response:
    return Response(
        200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(answer).encode()
    )


QUERY = {"action": "athena.query", "role": "reader", "query": "select 1", "interval": "1s"}
RUN = {"action": "glue.run", "role": "reader", "job": "j", "interval": "1s"}
PARTITIONS = {
    "action": "catalog.partitions",
    "source_role": "reader",
    "catalog_role": "reader",
    "database": "d",
    "table": "t",
    "source": "s3://landing/t/",
}
NO_ROWS = {"ResultSet": {"Rows": [], "ResultSetMetadata": {"ColumnInfo": []}}}
ANSWERS: dict[str, Any] = {
    "StartQueryExecution": {"QueryExecutionId": "q"},
    "GetQueryExecution": {"QueryExecution": {"Status": {"State": "SUCCEEDED"}}},
    "GetQueryResults": NO_ROWS,
    "StopQueryExecution": {},
    "StartJobRun": {"JobRunId": "r"},
    "GetJobRun": {"JobRun": {"Id": "r", "JobRunState": "SUCCEEDED"}},
    "BatchStopJobRun": {},
    "GetTable": {
        "Table": {
            "Name": "t",
            "PartitionKeys": [{"Name": "day", "Type": "string"}],
            "StorageDescriptor": {"Location": "s3://landing/t/"},
        }
    },
    "BatchGetPartition": {},
    "BatchCreatePartition": {},
}
REQUESTS = [
    (step, operation)
    for step, operations in (
        (QUERY, ("StartQueryExecution", "GetQueryExecution", "GetQueryResults")),
        (RUN, ("StartJobRun", "GetJobRun")),
        (PARTITIONS, ("GetTable", "BatchGetPartition", "BatchCreatePartition")),
    )
    for operation in operations
]


@pytest.fixture
def run(memory_aws: Store, tmp_path: Path) -> Callable[..., StepResult]:
    """Runs a step; ``answer`` answers one operation in place of the service."""
    for day in (1, 2):
        memory_aws.put("landing", f"t/day={day}/x", "x")

    def run_step(step: dict[str, Any], operation: str = "", answer: Any = None) -> StepResult:
        requests = iter(range(MOST_REQUESTS))

        def hook(request: Request) -> Response | None:
            if request.service in ("s3", "sts"):
                return None
            next(requests)
            name = request.headers["x-amz-target"].rpartition(".")[2]
            return answer() if name == operation else as_json(ANSWERS[name])

        memory_aws.hook = hook
        spec = {
            "version": 1,
            "name": "foreign",
            "roles": {"reader": "arn:aws:iam::444455556666:role/reader"},
            "steps": [{"id": "it", **step}],
        }
        (tmp_path / "spec.yaml").write_text(json.dumps(spec))
        return api.run(api.load(tmp_path / "spec.yaml")).steps[0]

    return run_step


def test_the_answers_of_the_services_are_enough(run: Callable[..., StepResult]) -> None:
    for step in (QUERY, RUN, PARTITIONS):
        assert run(step).error is None


@pytest.mark.parametrize("foreign", [PAGE, EMPTY], ids=["page", "empty"])
@pytest.mark.parametrize(("step", "operation"), REQUESTS, ids=[each for _, each in REQUESTS])
def test_what_a_proxy_answers_is_a_failure_that_names_the_request(
    step: dict[str, Any], operation: str, foreign: Response, run: Callable[..., StepResult]
) -> None:
    done = run(step, operation, lambda: foreign)
    assert done.error is not None
    assert done.error.type in ("InternalError", "OutcomeUnknown")
    assert operation in done.error.message
    assert ".py" not in done.error.hint


@pytest.mark.parametrize(
    ("step", "operation"),
    [each for each in REQUESTS if each[1] not in ("BatchGetPartition", "BatchCreatePartition")],
)
def test_an_answer_without_its_members_is_a_failure_that_names_the_request(
    step: dict[str, Any], operation: str, run: Callable[..., StepResult]
) -> None:
    done = run(step, operation, lambda: as_json({}))
    assert done.error is not None
    assert f"{operation}: the response has no " in done.error.message


def test_a_result_whose_pages_do_not_end_is_a_failure(
    run: Callable[..., StepResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rolerunner.storage.responses.MAX_EMPTY_PAGES", 5)
    tokens = iter(range(MOST_REQUESTS))
    for answer in (
        lambda: as_json({**NO_ROWS, "NextToken": "again"}),
        lambda: as_json({**NO_ROWS, "NextToken": str(next(tokens))}),
    ):
        done = run(QUERY, "GetQueryResults", answer)
        assert done.error is not None
        assert "do not end" in done.error.message


GET_TABLES = {
    "action": "aws.call",
    "role": "reader",
    "service": "glue",
    "operation": "GetTables",
    "parameters": {"DatabaseName": "d"},
}


@pytest.mark.parametrize(
    ("limit", "most", "tables", "reason"),
    [
        ("MAX_EMPTY_PAGES", 5, [], "the last 5 of them empty"),
        ("MAX_GATHERED", 1 << 20, [{"Name": "t" * 100_000}], "more than 1 MiB"),
    ],
)
def test_a_call_whose_pages_do_not_end_says_how_many_came(
    limit: str,
    most: int,
    tables: list[Any],
    reason: str,
    run: Callable[..., StepResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"rolerunner.sessions.bounded_pages.{limit}", most)
    tokens = iter(range(MOST_REQUESTS))
    done = run(
        GET_TABLES,
        "GetTables",
        lambda: as_json({"TableList": tables, "NextToken": str(next(tokens))}),
    )
    assert done.error is not None
    assert done.error.type == "EndlessPages"
    assert f"{next(tokens)} pages came, {reason}" in done.error.message


def test_pages_are_read_no_further_once_the_step_has_timed_out(
    run: Callable[..., StepResult],
) -> None:
    tokens = iter(range(MOST_REQUESTS))

    def answer() -> Response:
        time.sleep(0.05)
        return as_json({"TableList": [], "NextToken": str(next(tokens))})

    done = run({**GET_TABLES, "timeout": "0.2s"}, "GetTables", answer)
    assert done.error is not None
    time.sleep(0.2)
    reached = next(tokens)
    time.sleep(0.2)
    assert next(tokens) == reached + 1


def test_partitions_that_are_never_processed_are_asked_for_in_vain_once(
    run: Callable[..., StepResult],
) -> None:
    answer = {"Partitions": [{"Values": ["1"]}], "UnprocessedKeys": [{"Values": ["2"]}]}
    done = run(PARTITIONS, "BatchGetPartition", lambda: as_json(answer))
    assert done.error is None
    assert done.outputs["added"] == 1


@pytest.mark.parametrize("engine", ["fast", "boto3"])
@pytest.mark.parametrize("action", ["s3.cleanup", "s3.list"])
def test_redirects_that_lead_nowhere_end(
    action: str, engine: str, memory_aws: Store, tmp_path: Path
) -> None:
    memory_aws.hook = lambda request: (
        Response(307, {"Location": "/elsewhere"}) if request.service == "s3" else None
    )
    limits = {"max_delete": 1, "min_age": "1d"} if action == "s3.cleanup" else {}
    spec = {
        "version": 1,
        "name": "redirected",
        "engine": engine,
        "roles": {"reader": "arn:aws:iam::444455556666:role/reader"},
        "steps": [
            {
                "id": "it",
                "action": action,
                "role": "reader",
                "source": "s3://landing/in/",
                **limits,
            }
        ],
    }
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    done = api.run(api.load(tmp_path / "spec.yaml")).steps[0]
    assert done.error is not None
    assert done.error.type == "307"
    assert len(memory_aws.requests) < MOST_REQUESTS
