"""The tables, query results and jobs that a sandbox without a file makes up."""

from __future__ import annotations

from typing import Any

from rolerunner.actions import registry
from rolerunner.model import JOB, Role, S3Uri
from rolerunner.sandbox.made_up_catalog import MadeUpCatalog

JOB_ROLE = "arn:aws:iam::123456789012:role/glue"
ROLE = Role("arn:aws:iam::222233334444:role/r")


def make_up(*steps: dict[str, Any], role: Role = ROLE) -> MadeUpCatalog:
    catalog = MadeUpCatalog()
    for step in steps:
        kind = step.pop("action")
        action = registry()[kind].model_validate(step)
        catalog.add(action, dict.fromkeys(action.role_fields, role), JOB_ROLE)
    return catalog


def partitions(**fields: Any) -> dict[str, Any]:
    names = {"database": "sales", "table": "orders", "objects": [S3Uri("lake", "x")]}
    return {"action": "catalog.partitions", **names, **fields}


def copy(target: str) -> dict[str, Any]:
    return {"action": "s3.copy", "source": "s3://landing/in/", "target": target}


def test_a_table_has_the_keys_of_the_prefix_before_it() -> None:
    made = make_up(copy("s3://lake/orders/day=*/hour=1/"), partitions(catalog_id="4" * 12))
    ((place, table),) = made.tables.items()
    assert place == ("4" * 12, "sales", "orders")
    assert (table.location, list(table.partition_keys)) == ("s3://lake/orders/", ["day", "hour"])
    (database,) = made.list_databases()
    assert (database.account, [each.name for each in database.tables]) == ("4" * 12, ["orders"])
    assert "has the partition keys day, hour" in made.notes[0]


def test_keys_of_a_layout_and_none() -> None:
    layout = partitions(layout="{year}/{month}/")
    made = make_up(copy("s3://lake/orders/"), layout)
    (table,) = made.tables.values()
    assert (table.location, list(table.partition_keys)) == ("s3://lake/orders/", ["year", "month"])
    assert make_up(copy("s3://lake/day=1/"), partitions()).tables
    unknown = make_up(copy("s3://lake/orders/"), partitions())
    assert (unknown.tables, "is not made" in unknown.notes[0]) == ({}, True)


def test_queries_and_jobs_of_the_accounts_that_use_them() -> None:
    query = {"action": "athena.query", "query": "SELECT 1", "workgroup": "reports"}
    job = {"action": "glue.run", "job": "load"}
    made = make_up(dict(query), dict(query), dict(job), dict(job))
    assert list(made.workgroups) == [("222233334444", "reports")]
    assert [each.query for each in made.results.values()] == ["*"]
    assert list(made.jobs) == [("222233334444", "load")]
    assert len(made.notes) == 2
    assert list(make_up(dict(job), role=JOB).jobs) == [("123456789012", "load")]
    assert make_up({**job, "job": "load-*"}).jobs == {}
