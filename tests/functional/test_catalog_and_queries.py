"""``athena.query``, ``catalog.partitions``, ``glue.run`` under exactly the derived permissions."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import SpecError
from tests.conftest import identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolerunner.model import RunResult, StepResult
    from rolerunner.sandbox import Sandbox

ACCOUNT, OTHER = "111122223333", "444455556666"
NAMES = ("analyst", "cataloger", "ops", "loader", "fetcher")
ROLES = {name: f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in NAMES}
_TRUST = f"""[{{Effect: Allow, Action: sts:AssumeRole,
      Principal: {{AWS: "arn:aws:iam::{ACCOUNT}:role/job"}}}}]"""
_ROLES = "\n".join(f'  - {{arn: "{arn}", trust: {_TRUST}}}' for arn in ROLES.values())
WORLD = f"""
version: 1
job_role: arn:aws:iam::{ACCOUNT}:role/job
roles:
  - arn: arn:aws:iam::{ACCOUNT}:role/job
    permissions: [{{Effect: Allow, Action: "sts:AssumeRole", Resource: "*"}}]
{_ROLES}
buckets:
  - {{name: results, account: "{ACCOUNT}"}}
  - name: lake
    account: "{ACCOUNT}"
    objects:
      - {{key: orders/day=2026-01-30/a.csv, text: "at,3\\n"}}
      - {{key: orders/day=2026-01-31/a.csv, text: "at,3\\nde,4\\nat,5\\n"}}
      - {{key: orders/day=2026-01-31/_SUCCESS, text: ""}}
      - {{key: hours/2026/01/31/23/a.csv, text: "x"}}
  - name: ops-bucket
    account: "{ACCOUNT}"
    objects: [{{key: orders.sql, text: "SELECT country\\n  FROM orders -- described"}}]
databases:
  - name: sales
    account: "{ACCOUNT}"
    tables:
      - name: orders
        location: s3://lake/orders/
        columns: {{country: string, amount: int}}
        partition_keys: {{day: date}}
      - name: hours
        location: s3://lake/hours
        columns: {{text: string}}
        partition_keys: {{year: int, month: int, day: int, hour: int}}
      - {{name: flat, location: "s3://lake/flat/", columns: {{text: string}}}}
  - name: theirs
    account: "{OTHER}"
    tables:
      - name: shared
        location: s3://lake/orders/
        columns: {{country: string}}
        partition_keys: {{day: string}}
workgroups:
  - {{name: reports, account: "{ACCOUNT}", output_location: "s3://results/reports/"}}
query_results:
  - query: "SELECT country FROM orders -- described"
    account: "{ACCOUNT}"
    columns: {{country: varchar, n: bigint, share: double, good: boolean, day: date}}
    rows: [[at, 1, 0.5, true, "2026-01-31"], [null, null, null, null, null], [de, 2, 1.5, false, x]]
    scanned_bytes: 1234
    seconds: 0.3
  - {{query: "SELECT slow*", account: "{ACCOUNT}", seconds: 60, scanned_bytes: 5000}}
  - {{query: "SELECT resumed", account: "{ACCOUNT}", seconds: 12}}
  - query: "SELECT wrong*"
    account: "{ACCOUNT}"
    error: "COLUMN_NOT_FOUND: line 1:8: Column 'wrong' cannot be resolved"
jobs:
  - {{name: load, account: "{ACCOUNT}", seconds: 0.2}}
  - {{name: slow, account: "{ACCOUNT}", seconds: 60}}
  - {{name: broken, account: "{ACCOUNT}", state: FAILED, error: "KeyError: 'day'"}}
"""
HOURLY = "{year}/{month}/{day}/{hour}"
QUERY = "SELECT country FROM orders -- described"
AT = {"output_location": "s3://results/q/"}


class Job:
    """Runs steps, each under its role, with exactly the permissions that the plan derives."""

    def __init__(self, aws: Sandbox, folder: Path) -> None:
        self.aws, self.folder = aws, folder

    def load(self, *steps: dict[str, Any], **more: Any) -> Any:
        path = self.folder / "job.yaml"
        named = [{"id": f"step_{number}", **step} for number, step in enumerate(steps)]
        spec = {"version": 1, "name": "t", "roles": ROLES, "steps": named, **more}
        path.write_text(json.dumps(spec))  # JSON is YAML
        return api.load(path)

    def grant(self, plan: Any, without: Any = None) -> list[Any]:
        """Gives the roles what the plan derives; returns it, with the name of each role."""
        iam = self.aws.client("iam", ACCOUNT)
        needed = [
            (planned.step.roles[name].arn.rpartition("/")[2], each)
            for planned in plan.steps
            for name, permissions in planned.permissions.items()
            for each in permissions
        ]
        for role in NAMES:
            statements = [
                {
                    "Effect": "Allow",
                    "Action": each.action,
                    "Resource": each.resource,
                    **(
                        {"Condition": {o: {key: list(v)} for o, key, v in each.condition}}
                        if each.condition
                        else {}
                    ),
                }
                for owner, each in needed
                if owner == role and (owner, each) != without
            ]
            document = {"Version": "2012-10-17", "Statement": statements or NOTHING}
            iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=json.dumps(document))
        return needed

    def run(self, *steps: dict[str, Any], **more: Any) -> RunResult:
        job = self.load(*steps, **more)
        self.grant(api.plan(job))
        return api.run(job, identity=identity_of(self.aws))

    def step(self, action: str, role: str, **fields: Any) -> StepResult:
        return self.run({"action": action, "role": role, **fields}).steps[-1]

    def operations(self, service: str) -> list[str]:
        return [each.operation for each in self.aws.requests(service) if not each.is_admin]

    def partitions(self, table: str) -> dict[tuple[str, ...], str]:
        glue = self.aws.client("glue", ACCOUNT)
        told = glue.get_partitions(DatabaseName="sales", TableName=table)["Partitions"]
        return {tuple(each["Values"]): each["StorageDescriptor"]["Location"] for each in told}


NOTHING = [{"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}]


@pytest.fixture
def job(aws: Sandbox, tmp_path: Path) -> Job:
    glue = aws.client("glue", ACCOUNT)
    for table in ("orders", "hours"):
        names = {"DatabaseName": "sales", "TableName": table}
        for each in glue.get_partitions(**names)["Partitions"]:
            glue.delete_partition(**names, PartitionValues=each["Values"])
    return Job(aws, tmp_path)


# athena.query


def test_a_query_has_rows_in_their_types_and_its_result_as_an_object(job: Job) -> None:
    asked, fetched = job.run(
        {"id": "ask", "action": "athena.query", "role": "analyst", "query": QUERY, **AT},
        {
            "action": "s3.download",
            "role": "fetcher",
            "objects": "${{ steps.ask.objects }}",
            "target": f"{job.folder}/out/",
        },
    ).steps
    assert asked.error is None
    outputs = asked.outputs
    assert outputs["rows"] == [
        {"country": "at", "n": 1, "share": 0.5, "good": True, "day": "2026-01-31"},
        {"country": None, "n": None, "share": None, "good": None, "day": None},
        {"country": "de", "n": 2, "share": 1.5, "good": False, "day": "x"},
    ]
    assert outputs["columns"][1] == {"name": "n", "type": "bigint"}
    assert (outputs["count"], outputs["truncated"], outputs["reused"]) == (3, False, False)
    assert (outputs["scanned_bytes"], outputs["engine_seconds"]) == (1234, 0.3)
    assert outputs["result"] == f"s3://results/q/{outputs['query_id']}.csv"
    assert fetched.error is None
    written = (job.folder / "out" / f"{outputs['query_id']}.csv").read_text()
    assert written.splitlines()[0] == "country,n,share,good,day"


def test_rows_are_cut_off_with_a_mark(job: Job) -> None:
    asked, unread = job.run(
        {"action": "athena.query", "role": "analyst", "query": QUERY, "max_rows": 2, **AT},
        {"action": "athena.query", "role": "analyst", "query": QUERY, "max_rows": 0, **AT},
    ).steps
    assert (asked.outputs["count"], asked.outputs["truncated"]) == (2, True)
    assert (list(unread.outputs["rows"]), unread.outputs["truncated"]) == ([], False)


def test_a_query_from_a_file_is_read_under_its_own_role(job: Job) -> None:
    place = {"from": "s3://ops-bucket/orders.sql", "role": "ops"}
    asked = job.step("athena.query", "analyst", query=place, **AT)
    assert asked.error is None
    assert asked.outputs["count"] == 3
    local = job.folder / "q.sql"
    local.write_text("SELECT wrong FROM orders")
    failed = job.step("athena.query", "analyst", query={"from": str(local)}, **AT)
    assert failed.error is not None
    assert failed.error.message.startswith(f"{local}:1:8: query ")
    assert "Column 'wrong' cannot be resolved" in failed.error.message
    assert (failed.error.type, "single quotes" in failed.error.hint) == ("QueryFailed", True)
    missing = job.step("athena.query", "analyst", query={"from": str(local) + "x"}, **AT)
    assert missing.error is not None
    assert "q.sqlx" in missing.error.message


def test_the_location_of_a_workgroup_needs_declared_permissions(job: Job) -> None:
    step = {
        "action": "athena.query", "role": "analyst", "query": QUERY, "workgroup": "reports",
        "permissions": [{"actions": "s3:GetObject", "resources": "arn:aws:s3:::results/reports/*"}],
    }  # fmt: skip
    (asked,) = job.run(step).steps
    assert asked.error is None
    assert asked.outputs["result"].startswith("s3://results/reports/")
    nowhere = job.step("athena.query", "analyst", query=QUERY)
    assert nowhere.error is not None
    assert "No output location" in nowhere.error.message


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"timeout": "1s"}, "Timeout"),
        ({"max_wait": "1s"}, "WaitTimeout"),
        ({"max_scanned": 1000}, "TooLarge"),
    ],
)
def test_a_query_that_nobody_waits_for_is_cancelled(
    fields: dict[str, Any], kind: str, job: Job
) -> None:
    asked = job.step("athena.query", "analyst", query=f"SELECT slow {kind}", **AT, **fields)
    assert asked.error is not None
    assert asked.error.type == kind
    athena = job.aws.client("athena", ACCOUNT)
    (query_id,) = [
        each
        for each in athena.list_query_executions()["QueryExecutionIds"]
        if kind in athena.get_query_execution(QueryExecutionId=each)["QueryExecution"]["Query"]
    ]
    status = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"]
    assert status["State"] == "CANCELLED"


@pytest.mark.skipif(importlib.util.find_spec("duckdb") is None, reason="duckdb is not installed")
def test_sql_runs_over_the_objects_of_a_table(job: Job) -> None:
    fields = {
        "query": "SELECT country, sum(amount) AS total FROM orders"
        " WHERE day = CAST(? AS date) AND amount > ? GROUP BY country ORDER BY country",
        "parameters": ["2026-01-31", 3],
        "database": "sales",
    }
    asked = job.step("athena.query", "analyst", **fields, **AT)
    assert asked.error is None
    assert asked.outputs["rows"] == [
        {"country": "at", "total": 5},
        {"country": "de", "total": 4},
    ]
    hostile = {**fields, "parameters": ["2026-01-31' OR '1'='1", 3]}
    refused = job.step("athena.query", "analyst", **hostile, **AT)
    assert refused.error is not None  # it is a text, and no date


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"query": " "}, "must be SQL"),
        ({"query": "x" * 300_000}, "262,144"),
        ({"query": {"from": "s3://ops-bucket/sql/"}}, "must name one file"),
        ({"query": {"from": "a.sql", "role": "ops"}}, "a local file is read without one"),
        ({"query": QUERY, "output_location": "s3://results/q"}, "must be a prefix"),
        ({"query": QUERY, "kms_key": "alias/a"}, "for a result at 'output_location'"),
        ({"query": QUERY, "reuse_results": "8d"}, "from 1m to 7d"),
        ({"query": QUERY, "max_rows": 20_000}, "10000"),
    ],
)
def test_fields_of_a_query_that_do_not_fit(fields: Any, message: str, job: Job) -> None:
    with pytest.raises(SpecError, match=message):
        job.load({"action": "athena.query", "role": "analyst", **fields})


def test_a_secret_does_not_flow_into_a_query_or_an_argument(job: Job) -> None:
    params = {"key": {"type": "string", "secret": True, "default": "s3cret"}}
    value = "${{ params.key }}"
    for fields in (
        {"action": "athena.query", "query": f"SELECT '{value}'"},
        {"action": "athena.query", "query": "SELECT ?", "parameters": [value]},
        {"action": "glue.run", "job": "load", "arguments": {"key": value}},
    ):
        with pytest.raises(SpecError, match="secret"):
            job.load({"role": "analyst", **fields}, params=params)


@contextmanager
def running_command(job: Job, key: str) -> Iterator[subprocess.Popen[str]]:
    """Runs the job in a process of its own, with a state on disk."""
    keys = job.aws.job_keys
    environment = {
        **os.environ, "AWS_ACCESS_KEY_ID": keys.access_key, "TMPDIR": str(job.folder),
        "AWS_SECRET_ACCESS_KEY": keys.secret_key, "AWS_SESSION_TOKEN": keys.token,
        "AWS_ENDPOINT_URL": job.aws.endpoint, "AWS_REGION": job.aws.region,
    }  # fmt: skip
    command = [
        sys.executable, "-m", "rolerunner", "run", str(job.folder / "job.yaml"), "--run-key", key,
        "--result", str(job.folder / "r.json"), "--log-format", "json",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, env=environment, cwd=job.folder, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for_query(job: Job, text: str) -> str:
    """Returns the id of a running query."""
    athena = job.aws.client("athena", ACCOUNT)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for query_id in athena.list_query_executions()["QueryExecutionIds"]:
            found = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            if text in found["Query"] and found["Status"]["State"] == "RUNNING":
                return str(query_id)
        time.sleep(0.1)
    raise AssertionError(text)


def prepare_command(job: Job, query: str) -> None:
    step = {"id": "ask", "action": "athena.query", "role": "analyst", "query": query, **AT}
    loaded = job.load(step, state={"location": str(job.folder / "state")})
    job.grant(api.plan(loaded))


@pytest.mark.slow
def test_a_signal_cancels_the_query(job: Job) -> None:
    prepare_command(job, "SELECT slow signal")
    with running_command(job, "signal") as process:
        query_id = wait_for_query(job, "slow signal")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    athena = job.aws.client("athena", ACCOUNT)
    told = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
    assert told["Status"]["State"] == "CANCELLED"
    assert "started_work" not in (job.folder / "state" / "t" / "signal.json").read_text()


@pytest.mark.slow
def test_a_resumed_run_waits_for_the_query_of_one_that_died(job: Job) -> None:
    prepare_command(job, "SELECT resumed")
    with running_command(job, "dies") as process:
        query_id = wait_for_query(job, "SELECT resumed")
        time.sleep(1)  # the note is written at once
        process.kill()
        process.wait()
    assert query_id in (job.folder / "state" / "t" / "dies.json").read_text()
    with running_command(job, "dies") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    result = json.loads((job.folder / "r.json").read_text())
    assert result["steps"][0]["outputs"]["query_id"] == query_id
    assert f"waits for query {query_id}" in output
    assert "started_work" not in (job.folder / "state" / "t" / "dies.json").read_text()


# catalog.partitions


def test_the_partitions_of_listed_objects_are_added_once(job: Job) -> None:
    steps = (
        {"id": "find", "action": "s3.list", "role": "fetcher", "source": "s3://lake/orders/"},
        {
            "action": "catalog.partitions", "role": "cataloger", "database": "sales",
            "table": "orders", "objects": "${{ steps.find.objects }}",
        },
    )  # fmt: skip
    first, again = (job.run(*steps).steps[-1] for _ in range(2))
    assert first.error is None
    assert {name: first.outputs[name] for name in ("added", "updated", "unchanged", "count")} == {
        "added": 2, "updated": 0, "unchanged": 0, "count": 2,
    }  # fmt: skip
    assert first.outputs["partitions"][0] == {
        "values": ["2026-01-30"],
        "location": "s3://lake/orders/day=2026-01-30/",
        "status": "added",
    }
    assert (again.outputs["added"], again.outputs["unchanged"]) == (0, 2)
    assert job.partitions("orders") == {
        ("2026-01-30",): "s3://lake/orders/day=2026-01-30/",
        ("2026-01-31",): "s3://lake/orders/day=2026-01-31/",
    }


def test_positional_folders_and_an_update(job: Job) -> None:
    fields = {
        "source_role": "fetcher", "catalog_role": "cataloger", "database": "sales",
        "table": "hours", "source": "s3://lake/hours/", "layout": HOURLY,
    }  # fmt: skip
    (added,) = job.run({"action": "catalog.partitions", **fields}).steps
    assert added.error is None
    assert job.partitions("hours") == {("2026", "01", "31", "23"): "s3://lake/hours/2026/01/31/23/"}
    glue = job.aws.client("glue", ACCOUNT)
    names = {"DatabaseName": "sales", "TableName": "hours"}
    outdated = {"Values": ["2026", "01", "31", "23"], "Parameters": {"a": "b"}}
    outdated["StorageDescriptor"] = {"Location": "s3://lake/old/", "Columns": []}
    glue.batch_update_partition(
        **names,
        Entries=[{"PartitionValueList": outdated["Values"], "PartitionInput": outdated}],
    )
    (kept,) = job.run({"action": "catalog.partitions", **fields}).steps
    assert (kept.outputs["unchanged"], kept.outputs["updated"]) == (1, 0)
    updating = {"action": "catalog.partitions", **fields, "if_exists": "update"}
    updated, current = (job.run(updating).steps[0].outputs for _ in range(2))
    assert (updated["updated"], updated["unchanged"]) == (1, 0)
    assert (current["updated"], current["unchanged"]) == (0, 1)
    (there,) = glue.get_partitions(**names)["Partitions"]
    assert there["StorageDescriptor"]["Location"] == "s3://lake/hours/2026/01/31/23/"
    assert there["Parameters"] == {"a": "b"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"table": "flat", "source": "s3://lake/orders/"}, "has no partition keys"),
        ({"table": "none", "source": "s3://lake/orders/"}, "none"),
        ({"table": "orders", "source": "s3://lake/hours/"}, "no folder for the partition key"),
        (
            {"table": "hours", "source": "s3://lake/hours/", "layout": "{year}/{month}"},
            "'layout' names year, month, and the table has",
        ),
        (
            {"table": "hours", "source": "s3://lake/orders/", "layout": HOURLY},
            "is not below the location of the table",
        ),
        (
            {"table": "orders", "source": "s3://lake/orders/", "max_partitions": 1},
            "more than 1 partition; nothing was changed",
        ),
        ({"table": "orders", "source": "s3://lake/none/"}, "there is nothing in s3://lake/none/"),
    ],
)  # fmt: skip
def test_nothing_is_changed_where_an_object_does_not_fit(
    fields: Any, message: str, job: Job
) -> None:
    failed = job.step("catalog.partitions", "cataloger", database="sales", **fields)
    assert failed.error is not None
    assert message in failed.error.message
    assert (job.partitions("orders"), job.partitions("hours")) == ({}, {})


def test_the_catalog_of_another_account(job: Job) -> None:
    step = {
        "action": "catalog.partitions", "role": "cataloger", "catalog_id": OTHER,
        "database": "theirs", "table": "shared", "source": "s3://lake/orders/",
    }  # fmt: skip
    loaded = job.load(step)
    plan = api.plan(loaded)
    needed = job.grant(plan)
    (added,) = api.run(loaded, identity=identity_of(job.aws)).steps
    assert added.error is None
    assert added.outputs["added"] == 2
    told = job.aws.client("glue", OTHER).get_partitions(DatabaseName="theirs", TableName="shared")
    assert len(told["Partitions"]) == 2
    table = next(
        each for each in needed if each[1].resource.endswith(f"{OTHER}:table/theirs/shared")
    )
    job.grant(plan, table)
    error = api.run(loaded, identity=identity_of(job.aws)).steps[0].error
    assert error is not None
    assert f"{OTHER}:table/theirs/shared" in error.message


def test_a_live_plan_counts_the_missing_partitions(job: Job) -> None:
    loaded = job.load({
        "action": "catalog.partitions", "role": "cataloger", "database": "sales",
        "table": "orders", "source": "s3://lake/orders/",
    })  # fmt: skip
    plan = api.plan(loaded)
    job.grant(plan)
    found = api.survey(plan, identity=identity_of(job.aws))["step_0"]
    assert found == {"partitions": 2, "missing": 2}


# glue.run


def test_a_run_of_another_job_is_waited_for(job: Job) -> None:
    waited, started = job.run(
        {"action": "glue.run", "role": "loader", "job": "load", "arguments": {"day": "x", "n": 1}},
        {"action": "glue.run", "role": "loader", "job": "load", "wait": False},
    ).steps
    assert waited.error is None
    assert waited.outputs["state"] == "SUCCEEDED"
    glue = job.aws.client("glue", ACCOUNT)
    run = glue.get_job_run(JobName="load", RunId=waited.outputs["run_id"])["JobRun"]
    assert run["Arguments"] == {"--day": "x", "--n": "1"}
    assert started.outputs["run_id"] != waited.outputs["run_id"]


def test_a_failed_run_tells_its_reason_and_its_log(job: Job) -> None:
    failed = job.step("glue.run", "loader", job="broken")
    assert failed.error is not None
    assert failed.error.type == "JobRunFailed"
    assert "of the job 'broken' ended as FAILED: KeyError: 'day'" in failed.error.message
    assert "/aws-glue/jobs/error" in failed.error.hint
    missing = job.step("glue.run", "loader", job="none")
    assert missing.error is not None
    assert "check 'job'" in missing.error.hint


@pytest.mark.parametrize(("on_stop", "state"), [("stop", "STOPPED"), ("leave", "RUNNING")])
def test_a_run_that_nobody_waits_for_is_stopped_or_left(on_stop: str, state: str, job: Job) -> None:
    stopped = job.step("glue.run", "loader", job="slow", timeout="1s", on_stop=on_stop)
    assert stopped.error is not None
    assert stopped.error.type == "Timeout"
    glue = job.aws.client("glue", ACCOUNT)
    run = glue.get_job_runs(JobName="slow")["JobRuns"][-1]
    assert run["JobRunState"] == state
    glue.batch_stop_job_run(JobName="slow", JobRunIds=[run["Id"]])


# permissions

STEPS: dict[str, dict[str, Any]] = {
    "query": {
        "action": "athena.query", "role": "analyst", "database": "sales",
        "query": {"from": "s3://ops-bucket/orders.sql", "role": "ops"}, **AT,
    },
    "partitions": {
        "action": "catalog.partitions", "source_role": "fetcher", "catalog_role": "cataloger",
        "database": "sales", "table": "orders", "source": "s3://lake/orders/",
        "if_exists": "update",
    },
    "run": {"action": "glue.run", "role": "loader", "job": "load"},
}  # fmt: skip
NOT_ASKED = {
    "athena:StopQueryExecution": "only a query that nobody waits for is stopped",
    "glue:BatchStopJobRun": "the same",
    "glue:BatchUpdatePartition": "only of a partition that differs",
}
_OF_THE_ENGINE = (
    "glue:Get",
    "glue:BatchGet",
    "s3:GetBucketLocation",
    "s3:List",
    "s3:Put",
    "s3:Abort",
)
"""The requests of Athena itself as the role, which the emulator does without."""


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_declared_permissions_suffice_and_each_is_needed(name: str, job: Job) -> None:
    loaded = job.load(STEPS[name])
    plan = api.plan(loaded)
    needed = job.grant(plan)
    assert api.run(loaded, identity=identity_of(job.aws)).steps[0].error is None
    tried = 0
    for role, permission in needed:
        of_engine = name == "query" and permission.action.startswith(_OF_THE_ENGINE)
        above = permission.resource.endswith((":catalog", ":database/sales"))
        if permission.action in NOT_ASKED or (of_engine and role == "analyst") or above:
            continue
        if (role, permission.action) == ("ops", "s3:ListBucket"):
            continue
        job.grant(plan, (role, permission))
        for each in job.partitions("orders"):
            job.aws.client("glue", ACCOUNT).delete_partition(
                DatabaseName="sales", TableName="orders", PartitionValues=list(each)
            )
        error = api.run(loaded, identity=identity_of(job.aws)).steps[0].error
        assert error is not None, permission
        assert (error.type, permission.action in error.message) == ("AccessDenied", True)
        tried += 1
    assert tried >= 2
