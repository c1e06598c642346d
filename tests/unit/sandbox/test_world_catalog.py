"""Tables, workgroups, query results and jobs of a sandbox file, as requests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.sandbox.world import World, create_world
from rolerunner.sandbox.world_catalog import (
    OUTCOME_TAG,
    RESULT_NAME,
    SandboxJob,
    SandboxQueryResult,
    SandboxTable,
)

ACCOUNT = "444455556666"
JOB = "arn:aws:iam::111122223333:role/glue"
HEAD: dict[str, Any] = {"version": 1, "job_role": JOB, "roles": [{"arn": JOB}]}


class Client:
    """Records the requests of one service."""

    def __init__(self, service: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
        self._service, self._calls = service, calls

    def __getattr__(self, name: str) -> Any:
        return lambda **sent: self._calls.append((f"{self._service}.{name}", sent))


def test_a_world_is_created_by_ordinary_requests() -> None:
    table = {"name": "orders", "location": "s3://lake/o/", "columns": {"n": "int"}}
    world = World.model_validate(
        {
            **HEAD,
            "databases": [{"name": "sales", "account": ACCOUNT, "tables": [table]}],
            "workgroups": [
                {"name": "primary", "account": ACCOUNT, "output_location": "s3://results/"},
                {"name": "reports", "account": ACCOUNT, "region": "us-east-1"},
            ],
            "query_results": [{"query": "SELECT *", "account": ACCOUNT}],
            "jobs": [{"name": "load", "account": ACCOUNT}],
        }
    )
    calls: list[tuple[str, dict[str, Any]]] = []
    create_world(world, lambda service, *_: Client(service, calls), None)  # type: ignore[arg-type]
    assert [name for name, _ in calls if not name.startswith("iam.")] == [
        "glue.create_database", "glue.create_table", "athena.update_work_group",
        "athena.create_work_group", "athena.create_named_query", "glue.create_job",
    ]  # fmt: skip
    assert ACCOUNT in world.accounts


def test_a_table_has_the_format_that_it_names() -> None:
    for name, library in (("csv", "LazySimple"), ("json", "JsonSerDe"), ("parquet", "Parquet")):
        table = SandboxTable.model_validate({
            "name": "t", "location": "s3://lake/t/", "format": name, "columns": {"n": "int"},
            "partition_keys": {"day": "date"}, "parameters": {"projection.enabled": "true"},
        }).as_input()  # fmt: skip
        storage = table["StorageDescriptor"]
        assert library in storage["SerdeInfo"]["SerializationLibrary"]
        assert storage["Columns"] == [{"Name": "n", "Type": "int"}]
        assert table["PartitionKeys"] == [{"Name": "day", "Type": "date"}]
        assert table["Parameters"]["projection.enabled"] == "true"


def test_what_is_described_is_kept_where_the_emulator_finds_it() -> None:
    result = SandboxQueryResult.model_validate(
        {"query": "SELECT 1", "account": ACCOUNT, "columns": {"n": "int"}, "rows": [[1]],
         "seconds": "2s"}
    ).as_saved_query()  # fmt: skip
    assert (result["Name"], result["QueryString"]) == (RESULT_NAME, "SELECT 1")
    assert json.loads(result["Description"]) == {
        "columns": {"n": "int"}, "rows": [[1]], "error": "", "scanned_bytes": 0, "seconds": 2.0,
    }  # fmt: skip
    job = SandboxJob.model_validate({"name": "load", "account": ACCOUNT, "state": "FAILED"})
    assert json.loads(job.as_input()["Tags"][OUTCOME_TAG])["state"] == "FAILED"


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"jobs": [{"name": "a", "account": ACCOUNT}] * 2}, "contains the job a of account"),
        ({"databases": [{"name": "a", "account": ACCOUNT}] * 2}, "contains the database a"),
        ({"workgroups": [{"name": "a", "account": ACCOUNT}] * 2}, "contains the workgroup a"),
        ({"jobs": [{"name": "a", "account": "1"}]}, "an account id of twelve digits"),
        ({"query_results": [{"query": "", "account": ACCOUNT}]}, "at least 1 character"),
    ],
)
def test_mistakes_of_a_file(part: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        World.model_validate({**HEAD, **part})
