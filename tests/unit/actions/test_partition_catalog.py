"""Partitions of a table against botocore's model of Glue: batches, errors and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.actions.partition_catalog import (
    PartitionCatalog,
    TableDescription,
    WriteErrors,
    split_batches,
)
from rolerunner.actions.partition_layout import Partition
from rolerunner.errors import StepError
from rolerunner.model import JOB, S3Uri
from tests.unit.actions.stubbed import StubbedService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = {"DatabaseName": "sales", "TableName": "orders"}
STORAGE = {"InputFormat": "text", "Compressed": False}
TABLE = TableDescription((("day", "date"),), STORAGE, {}, S3Uri("lake", "orders/"))


@pytest.fixture
def glue() -> Iterator[StubbedService]:
    service = StubbedService("glue")
    with service.stub:
        yield service
        service.stub.assert_no_pending_responses()


def open_catalog(glue: StubbedService, folder: Path) -> PartitionCatalog:
    return PartitionCatalog(glue.create_context(folder), JOB, NAMES, "")


def partition(day: str) -> Partition:
    return Partition((day,), S3Uri("lake", f"orders/day={day}/"))


def describe(glue: StubbedService, **table: Any) -> None:
    answer = {"Table": {"Name": "orders", **table}}
    glue.stub.add_response("get_table", answer, {"DatabaseName": "sales", "Name": "orders"})


@pytest.mark.parametrize(
    ("location", "uri"),
    [("s3://lake/orders", "s3://lake/orders/"), ("s3a://lake/orders/", "s3://lake/orders/")],
)
def test_a_table_tells_its_keys_and_its_place(
    glue: StubbedService, tmp_path: Path, location: str, uri: str
) -> None:
    storage = {"Location": location}
    describe(glue, PartitionKeys=[{"Name": "day", "Type": "DATE"}], StorageDescriptor=storage)
    table = open_catalog(glue, tmp_path).read_table()
    assert (list(table.keys), str(table.location)) == ([("day", "date")], uri)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"Parameters": {"table_type": "iceberg"}}, "is an Iceberg table"),
        ({}, "sales.orders has no partition keys"),
        ({"PartitionKeys": [{"Name": "day"}]}, "has no location in S3: ''"),
        (
            {
                "PartitionKeys": [{"Name": "day"}],
                "StorageDescriptor": {"Location": "hdfs://x/orders"},
            },
            "has no location in S3: 'hdfs://x/orders'",
        ),
    ],
)
def test_a_table_that_takes_no_partitions(
    glue: StubbedService, tmp_path: Path, table: dict[str, Any], message: str
) -> None:
    describe(glue, **table)
    with pytest.raises(StepError, match=message) as caught:
        open_catalog(glue, tmp_path).read_table()
    assert caught.value.type == "NoPartitions"


def ask(glue: StubbedService, days: list[str], found: list[str], left: list[str]) -> None:
    glue.stub.add_response(
        "batch_get_partition",
        {
            "Partitions": [{"Values": [day]} for day in found],
            "UnprocessedKeys": [{"Values": [day]} for day in left],
        },
        {**NAMES, "PartitionsToGet": [{"Values": [day]} for day in days]},
    )


def test_keys_that_were_not_processed_are_asked_for_again(
    glue: StubbedService, tmp_path: Path
) -> None:
    ask(glue, ["1", "2", "3"], ["1"], ["2"])
    ask(glue, ["2"], [], ["2"])
    found = list(open_catalog(glue, tmp_path).find(map(partition, "123")))
    assert [(each.values, there) for each, there in found] == [
        (("1",), {"Values": ["1"]}),
        (("2",), None),
        (("3",), None),
    ]


def test_partitions_that_others_have_added_are_no_errors(
    glue: StubbedService, tmp_path: Path
) -> None:
    detail = {"ErrorCode": "AlreadyExistsException"}
    refused = {"ErrorCode": "InvalidInputException", "ErrorMessage": "no such type"}
    glue.stub.add_response(
        "batch_create_partition",
        {
            "Errors": [
                {"PartitionValues": ["2"], "ErrorDetail": detail},
                {"PartitionValues": ["3"], "ErrorDetail": refused},
            ]
        },
        {**NAMES, "PartitionInputList": [TABLE.describe(partition(day)) for day in "123"]},
    )
    errors = WriteErrors()
    partitions = list(map(partition, "123"))
    added, existing = open_catalog(glue, tmp_path).add(TABLE, partitions, errors)
    assert ([each.values for each in added], [each.values for each in existing]) == (
        [("1",)],
        [("2",)],
    )
    assert (errors.count, errors.first) == (1, ["3: InvalidInputException no such type"])


def test_an_update_keeps_what_only_the_entry_has(glue: StubbedService, tmp_path: Path) -> None:
    there = {"Values": ["1"], "Parameters": {"rows": "5"}, "DatabaseName": "sales"}
    sent = {"Parameters": {"rows": "5"}, **TABLE.describe(partition("1"))}
    glue.stub.add_response(
        "batch_update_partition",
        {"Errors": []},
        {**NAMES, "Entries": [{"PartitionValueList": ["1"], "PartitionInput": sent}]},
    )
    errors = WriteErrors()
    updated = open_catalog(glue, tmp_path).update(TABLE, [(partition("1"), there)], errors)
    assert ([each.values for each in updated], errors.count) == ([("1",)], 0)


@pytest.mark.parametrize(
    ("storage", "is_current"),
    [
        ({"InputFormat": "text", "Location": "s3://lake/orders/day=1"}, True),
        ({"InputFormat": "text", "Location": "s3://lake/orders/day=1/", "SortColumns": []}, True),
        ({"InputFormat": "orc", "Location": "s3://lake/orders/day=1/"}, False),
        ({"InputFormat": "text", "Location": "s3://lake/day=1/"}, False),
    ],
)
def test_an_entry_is_current_whatever_means_nothing(
    storage: dict[str, Any], is_current: bool
) -> None:
    assert TABLE.is_current(partition("1"), {"StorageDescriptor": storage}) is is_current


def test_errors_name_three_partitions() -> None:
    errors = WriteErrors()
    for day in "1234":
        errors.add([day, "x"], {"ErrorCode": "No"})
    assert (errors.count, errors.first) == (4, ["1/x: No", "2/x: No", "3/x: No"])


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (2, [2]), (3, [2, 1]), (4, [2, 2])]
)
def test_batches(count: int, sizes: list[int]) -> None:
    assert [len(batch) for batch in split_batches(range(count), 2)] == sizes
