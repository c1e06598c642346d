"""``catalog.partitions`` against botocore's model of Glue: batches, races, other accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.actions.builtin.catalog_partitions import CatalogPartitions
from rolerunner.errors import StepError
from rolerunner.storage.protocol import ObjectInfo
from tests.unit.actions.stubbed import StubbedService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = {"DatabaseName": "sales", "TableName": "orders"}
STORAGE = {"Location": "s3://lake/orders", "Columns": [{"Name": "n", "Type": "int"}]}


@pytest.fixture
def glue() -> Iterator[StubbedService]:
    service = StubbedService("glue")
    with service.stub:
        yield service
        service.stub.assert_no_pending_responses()


class Listing:
    """Storage that lists some keys."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def list(self, *_: Any, **__: Any) -> Iterator[ObjectInfo]:
        yield from (ObjectInfo(key, 1) for key in self.keys)


def run(glue: StubbedService, folder: Path, *keys: str, **fields: Any) -> Any:
    values = {"database": "sales", "table": "orders", "source": "s3://lake/orders/", **fields}
    action = CatalogPartitions.model_validate(values)
    context = glue.create_context(folder, open_storage=lambda *_: Listing(*keys))
    return action.run(context)


def add_table(glue: StubbedService, sent: Any = None, **more: Any) -> None:
    table = {
        "Name": "orders", "PartitionKeys": [{"Name": "Day", "Type": "string"}],
        "StorageDescriptor": STORAGE, **more,
    }  # fmt: skip
    asked = {"DatabaseName": "sales", "Name": "orders", **(sent or {})}
    glue.stub.add_response("get_table", {"Table": table}, asked)


def add_found(glue: StubbedService, asked: list[str], found: list[Any], **more: Any) -> None:
    there = {each["Values"][0] for each in found}
    glue.stub.add_response(
        "batch_get_partition",
        {
            "Partitions": found,
            "UnprocessedKeys": [{"Values": [each]} for each in asked if each not in there],
        },
        {**NAMES, **more, "PartitionsToGet": [{"Values": [each]} for each in asked]},
    )


def describe(day: str) -> dict[str, Any]:
    storage = {**STORAGE, "Location": f"s3://lake/orders/day={day}/"}
    return {"Values": [day], "StorageDescriptor": storage}


def test_the_catalog_of_another_account(glue: StubbedService, tmp_path: Path) -> None:
    owner = {"CatalogId": "444455556666"}
    add_table(glue, owner)
    add_found(glue, ["a"], [], **owner)
    glue.stub.add_response(
        "batch_create_partition", {}, {**NAMES, **owner, "PartitionInputList": [describe("a")]}
    )
    outputs = run(glue, tmp_path, "orders/day=a/x", catalog_id="444455556666")
    assert (outputs["added"], outputs["count"]) == (1, 1)
    needed = CatalogPartitions.model_validate(
        {"database": "sales", "table": "orders", "source": "s3://lake/o/", "catalog_id": "4" * 12}
    ).permissions()["catalog_role"]
    assert {each.resource for each in needed} == {
        f"arn:aws:glue:*:{'4' * 12}:{name}"
        for name in ("catalog", "database/sales", "table/sales/orders")
    }


def test_partitions_are_written_a_hundred_at_a_time(glue: StubbedService, tmp_path: Path) -> None:
    days = [f"{number:03}" for number in range(150)]
    add_table(glue)
    add_found(glue, days, [])
    for batch in (days[:100], days[100:]):
        wanted = {**NAMES, "PartitionInputList": [describe(day) for day in batch]}
        glue.stub.add_response("batch_create_partition", {}, wanted)
    outputs = run(glue, tmp_path, *(f"orders/day={day}/x" for day in days))
    assert (outputs["added"], len(outputs["partitions"])) == (150, 150)
    assert glue.recorded.progress[-1].objects == 150


def test_a_partition_that_another_job_adds_meanwhile(glue: StubbedService, tmp_path: Path) -> None:
    raced = {"ErrorCode": "AlreadyExistsException"}
    add_table(glue)
    add_found(glue, ["a"], [])
    glue.stub.add_response(
        "batch_create_partition", {"Errors": [{"PartitionValues": ["a"], "ErrorDetail": raced}]}
    )
    add_found(glue, ["a"], [describe("a")])
    outputs = run(glue, tmp_path, "orders/day=a/x", if_exists="update")
    assert (outputs["added"], outputs["updated"], outputs["unchanged"]) == (0, 0, 1)


def test_an_added_partition_that_cannot_be_read_is_told(
    glue: StubbedService, tmp_path: Path
) -> None:
    raced = {"ErrorCode": "AlreadyExistsException"}
    add_table(glue)
    # the catalog is busy: it gives nothing, and leaves out empty lists
    busy = {"UnprocessedKeys": [{"Values": ["a"]}]}
    glue.stub.add_response("batch_get_partition", busy)
    glue.stub.add_response(
        "batch_create_partition", {"Errors": [{"PartitionValues": ["a"], "ErrorDetail": raced}]}
    )
    glue.stub.add_response("batch_get_partition", busy)
    with pytest.raises(StepError, match=r"1 partition of 1 failed: a: Already.*cannot be read"):
        run(glue, tmp_path, "orders/day=a/x", if_exists="update")


def test_errors_are_told_for_each_partition(glue: StubbedService, tmp_path: Path) -> None:
    refused = {"ErrorCode": "InternalServiceException", "ErrorMessage": "try again"}
    add_table(glue)
    changed = {"StorageDescriptor": {"Location": "s3://elsewhere/"}}
    add_found(glue, ["a", "b", "c"], [{**describe("c"), **changed, "Parameters": {"k": "v"}}])
    glue.stub.add_response(
        "batch_get_partition",
        {"Partitions": [], "UnprocessedKeys": [{"Values": ["a"]}, {"Values": ["b"]}]},
    )
    glue.stub.add_response(
        "batch_create_partition", {"Errors": [{"PartitionValues": ["b"], "ErrorDetail": refused}]}
    )
    entry = {
        "PartitionValueList": ["c"], "PartitionInput": {"Parameters": {"k": "v"}, **describe("c")},
    }  # fmt: skip
    glue.stub.add_response(
        "batch_update_partition",
        {"Errors": [{"PartitionValueList": ["c"], "ErrorDetail": refused}]},
        {**NAMES, "Entries": [entry]},
    )
    keys = (f"orders/day={day}/x" for day in "abc")
    with pytest.raises(StepError, match="2 partitions of 3 failed: b: InternalService") as failed:
        run(glue, tmp_path, *keys, if_exists="update")
    assert "the step can be repeated" in failed.value.hint


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"Parameters": {"table_type": "ICEBERG"}}, "keeps its own partitions"),
        ({"PartitionKeys": []}, "has no partition keys"),
        ({"StorageDescriptor": {"Location": ""}}, "has no location in S3"),
    ],
)
def test_tables_that_take_no_partitions(
    table: dict[str, Any], message: str, glue: StubbedService, tmp_path: Path
) -> None:
    add_table(glue, **table)
    with pytest.raises(StepError, match=message):
        run(glue, tmp_path, "orders/day=a/x")


def test_a_projected_table_is_a_warning(glue: StubbedService, tmp_path: Path) -> None:
    add_table(glue, Parameters={"projection.enabled": "true"})
    add_found(glue, ["a"], [describe("a")])
    assert run(glue, tmp_path, "orders/day=a/x", "orders/day=a/_tmp")["unchanged"] == 1
    assert "partition projection" in glue.recorded.notes[0][1]


def test_two_folders_of_one_partition_are_refused(glue: StubbedService, tmp_path: Path) -> None:
    add_table(glue)
    with pytest.raises(StepError, match="the same partition as objects in s3://lake/orders/day=a/"):
        run(glue, tmp_path, "orders/day=a/x", "orders/old/day=a/x")
