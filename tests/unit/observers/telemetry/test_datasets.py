"""Datasets, found from the permissions of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolerunner import api
from rolerunner.model import Dataset, Job, Permission, Plan, PlannedStep, Step, StepDatasets
from rolerunner.observers.telemetry.datasets import find_datasets, join_datasets

if TYPE_CHECKING:
    from pathlib import Path


def plan_of(**resources: tuple[str, ...]) -> Plan:
    """Returns a plan with one step; GetObject and PutObject on these resources."""
    permissions = tuple(
        Permission(f"s3:{action}", each) for action, listed in resources.items() for each in listed
    )
    step = Step("a", "s3.copy", {})
    return Plan(Job("j", (step,)), (PlannedStep(step, {}, {"role": permissions}),), ())


@pytest.mark.parametrize(
    ("resource", "namespace", "name"),
    [
        ("arn:aws:s3:::landing/in/*", "s3://landing", "in"),
        ("arn:aws:s3:::landing/in/a.csv", "s3://landing", "in/a.csv"),
        ("arn:aws-cn:s3:::landing/*", "s3://landing", "/"),
        ("arn:aws:s3:::landing/*/day/*", "s3://landing", "*/day"),
        (
            "arn:aws:s3:eu-west-1:111122223333:accesspoint/ap/object/in/*",
            "s3://arn:aws:s3:eu-west-1:111122223333:accesspoint/ap",
            "in",
        ),
    ],
)
def test_resources_are_datasets(resource: str, namespace: str, name: str) -> None:
    assert find_datasets(plan_of(GetObject=(resource,)))["a"].inputs == (Dataset(namespace, name),)


@pytest.mark.parametrize("resource", ["*", "arn:aws:s3:::*", "arn:aws:sns:eu-west-1:1:t"])
def test_other_resources_are_none(resource: str) -> None:
    assert find_datasets(plan_of(GetObject=(resource,)))["a"].inputs == ()


def test_a_target_that_is_looked_at_is_no_input() -> None:
    target, source = "arn:aws:s3:::lake/*", "arn:aws:s3:::landing/*"
    found = find_datasets(plan_of(GetObject=(source, target), PutObject=(target,)))
    assert found["a"].inputs == (Dataset("s3://landing", "/"),)
    assert found["a"].outputs == (Dataset("s3://lake", "/"),)
    assert join_datasets([found["a"], found["a"]]) == found["a"]


SPEC = """
version: 1
name: t
params:
  secret: {type: string, secret: true, required: true}
  table: {type: string, required: true}
roles: {reader: {arn: "arn:aws:iam::111122223333:role/reader", region: eu-west-1}}
defaults: {role: reader}
steps:
  - {id: query, action: athena.query, query: SELECT 1, database: sales, workgroup: w,
     output_location: "s3://results/q/", permissions: [{actions: ["glue:GetTable"],
     resources: ["arn:aws:glue:eu-west-1:444455556666:table/hr/people"]}]}
  - {id: abroad, action: athena.query, query: SELECT 1, catalog: mysql, database: hr, workgroup: w,
     region: us-east-1}
  - {id: parts, action: catalog.partitions, database: sales, table: "${{ params.table }}",
     source: "s3://lake/orders/", catalog_id: "444455556666"}
  - {id: start, action: glue.run, job: load-orders, role: job}
  - {id: down, action: sftp.download, host: files.example.com, user: u, source: /out/, port: 2222,
     password: "${{ params.secret }}", target: "s3://lake/in/",
     host_key: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"}
  - {id: up, action: sftp.upload, host: files.example.com, user: u, target: "in/",
     password: "${{ params.secret }}", source: "s3://lake/in/",
     host_key: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"}
"""
OF_READER = "arn:aws:glue:eu-west-1:111122223333"
LAKE = Dataset("s3://lake", "in")


def test_tables_jobs_and_servers_are_named_by_the_rules_of_openlineage(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(SPEC)
    job = api.load(tmp_path / "t.yaml", {"secret": "hidden-word"}, complete=False)
    found = find_datasets(api.plan(job), "eu-central-1")
    assert found == {
        "query": StepDatasets(
            (
                Dataset(OF_READER, "table/sales/*"),
                Dataset("arn:aws:glue:eu-west-1:444455556666", "table/hr/people"),
            ),
            (Dataset("s3://results", "q"),),
        ),
        "abroad": StepDatasets(
            (Dataset("awsathena://athena.us-east-1.amazonaws.com", "mysql.hr.*"),)
        ),
        "parts": StepDatasets(
            (), (Dataset("arn:aws:glue:eu-west-1:444455556666", "table/sales/*"),)
        ),
        "start": StepDatasets(jobs=(Dataset("arn:aws:glue:eu-central-1:*", "job/load-orders"),)),
        "down": StepDatasets((Dataset("file://files.example.com:2222", "/out"),), (LAKE,)),
        "up": StepDatasets((LAKE,), (Dataset("file://files.example.com", "~/in"),)),
    }


def test_tables_of_a_database_are_known_as_far_as_fields_tell(tmp_path: Path) -> None:
    text = SPEC.partition("permissions: [")[0].rstrip().rstrip(",") + "}\n"
    (tmp_path / "t.yaml").write_text(text)
    job = api.load(tmp_path / "t.yaml", {"secret": "hidden-word"}, complete=False)
    assert find_datasets(api.plan(job))["query"].inputs == (Dataset(OF_READER, "table/sales/*"),)
