"""Queries of a real Spark over S3A, under roles that the embedded AWS enforces."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.hadoop_jars import find_jars
from tests.spark_venv import RELEASE, SPARK, python_with_spark

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner import sandbox

pytestmark = [
    pytest.mark.slow,
    pytest.mark.once,
    pytest.mark.timeout(900),
]  # the first time pyspark and the AWS SDK for Java are fetched, which have 600 MB

JOB, DATA, OTHER = "111122223333", "222233334444", "444455556666"
READER, WRITER = f"arn:aws:iam::{DATA}:role/reader", f"arn:aws:iam::{OTHER}:role/writer"


def render_role(name: str, account: str, bucket: str, *actions: str, trust: str = "") -> str:
    """Returns a role of the sandbox that the job may assume, with actions on one bucket."""
    allowed = ", ".join(f'"s3:{action}"' for action in actions)
    return f"""
  - arn: arn:aws:iam::{account}:role/{name}
    trust: [{{Effect: Allow, Principal: {{AWS: {trust or f'"arn:aws:iam::{JOB}:role/job"'}}},
             Action: ["sts:AssumeRole", "sts:TagSession"]}}]
    permissions:
      - {{Effect: Allow, Action: [{allowed}],
         Resource: ["arn:aws:s3:::{bucket}", "arn:aws:s3:::{bucket}/*"]}}"""


READS = ("GetObject", "ListBucket")
WRITES = ("GetObject", "PutObject", "DeleteObject", "ListBucket", "AbortMultipartUpload")
WORLD = f"""
version: 1
job_role: arn:aws:iam::{JOB}:role/job
roles:
  - arn: arn:aws:iam::{JOB}:role/job
    permissions: [{{Effect: Allow, Action: ["sts:AssumeRole", "sts:TagSession"], Resource: "*"}}]
{render_role("reader", DATA, "landing", *READS)}
{render_role("lister", DATA, "landing", "ListBucket")}
{render_role("getter", DATA, "landing", "GetObject")}
{render_role("editor", DATA, "landing", *WRITES)}
{render_role("writer", OTHER, "publish", *WRITES)}
      - {{Effect: Allow, Action: "sts:AssumeRole", Resource: "*"}}
{render_role("no-put", OTHER, "publish", "GetObject", "DeleteObject", "ListBucket")}
{render_role("no-list", OTHER, "publish", "GetObject", "PutObject", "DeleteObject")}
{render_role("behind", DATA, "landing", *READS, trust='"arn:aws:iam::' + OTHER + ':role/writer"')}
buckets:
  - {{name: landing, account: "{DATA}"}}
  - {{name: publish, account: "{OTHER}"}}
"""
SPEC = f"""version: 1
name: queries
max_parallel: 2
roles:
  reader: {READER}
  limited: {{arn: {READER}, session_policy: auto}}
  short: {{arn: {READER}, session_name: short}}
  editor: arn:aws:iam::{DATA}:role/editor
  lister: arn:aws:iam::{DATA}:role/lister
  getter: arn:aws:iam::{DATA}:role/getter
  writer: {WRITER}
  scoped: {{arn: {WRITER}, session_policy: auto}}
  no-put: arn:aws:iam::{OTHER}:role/no-put
  no-list: arn:aws:iam::{OTHER}:role/no-list
  behind: {{arn: "arn:aws:iam::{DATA}:role/behind", via: writer}}
  tagged: {{arn: {READER}, tags: {{team: orders}}, session_name: tagged}}
defaults: {{on_error: continue}}
steps:
"""
ORDERS = '{location: "s3://landing/orders/", format: csv, options: {header: "true"}}'


def render_step(
    id_: str, source_role: str, target_role: str = "", target: str = "", **more: str
) -> str:
    """Returns a step that reads the orders, and writes them if there is a target."""
    fields = {
        "source_role": source_role,
        "target_role": target_role or source_role,
        "sources": more.pop("sources", f"{{orders: {ORDERS}}}"),
        **({"target": f'{{location: "{target}", mode: overwrite}}'} if target else {}),
        **more,
    }
    lines = "".join(f"    {name}: {value}\n" for name, value in fields.items())
    return f"  - id: {id_}\n    action: spark.sql\n{lines}"


SLOW = (
    "reflect('java.util.concurrent.locks.LockSupport', 'parkNanos', 400000000L) = ''"
    " OR length(value) > 0"
)
"""Holds for each row, after 0.4 seconds."""
STEPS = "".join(
    [
        render_step("copy", "reader", "writer", "s3://publish/orders/"),
        render_step("grouped", "reader", "writer", "s3://publish/days/orders/by/country/",
                    query='"SELECT country, sum(amount) AS amount FROM orders GROUP BY country"'),
        # the emulator looks up permissions for the marker 'x/' as those for 'x'
        render_step("limited", "limited", "scoped", "s3://publish/a/b/limited/",
                    permissions='[{actions: "s3:PutObject", role: target_role, '
                    'resources: "arn:aws:s3:::publish/a/b/limited"}]'),
        render_step("same-bucket", "reader", "editor", "s3://landing/copy/"),
        render_step("via", "behind"),
        render_step("tags", "tagged"),
        render_step("abroad", "editor", sources='{a: {location: "s3://abroad/in/", format: text}}'),
        render_step("denied-list", "getter"),
        render_step("denied-get", "lister"),
        render_step("denied-bucket", "writer"),
        render_step("denied-put", "reader", "no-put", "s3://publish/no-put/"),
        render_step("denied-list-target", "reader", "no-list", "s3://publish/no-list/"),
        render_step("renewed", "short",
                    sources='{a: {location: "s3://landing/many/", format: text}}',
                    query=f'"SELECT count(*) AS n FROM a WHERE {SLOW}"'),
    ]
)  # fmt: skip
LAUNCHER = '''
"""Starts the command with sessions of two seconds for the role 'short'."""
import runpy
from rolerunner.sessions import sts
from rolerunner.sessions.lease import Lease

parse_lease = sts.parse_lease

def parse_short_lease(role, response, began):
    lease = parse_lease(role, response, began)
    if role.session_name != "short":
        return lease
    return Lease.start(lease.keys, lease.session_arn, began, began + 2)

sts.parse_lease = parse_short_lease
runpy.run_module("rolerunner", run_name="__main__")
'''


@pytest.fixture(scope="module")
def python() -> Path:
    found = python_with_spark()
    if found is None:
        pytest.skip("there is no Python 3.11 or no Java here")
    return found


@pytest.fixture(scope="module")
def classpath() -> str:
    jars = find_jars(RELEASE.hadoop)
    if jars is None:
        pytest.skip("there is no Maven here")
    return os.pathsep.join(map(str, jars))


@pytest.fixture(scope="module")
def run_spec(
    aws: sandbox.Sandbox, python: Path, classpath: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[dict[str, Any], str]]:
    """Runs a spec with Spark; returns its steps by id, and everything it printed."""

    def run(spec: str, *arguments: str, master: str = "local[2]", **environment: str) -> Any:
        folder = tmp_path_factory.mktemp("queries")
        (folder / "job.yaml").write_text(spec)
        (folder / "launcher.py").write_text(LAUNCHER)
        settings = {
            "spark.ui.enabled": "false",
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": str(folder),
            "spark.eventLog.compress": "false",
            "spark.eventLog.rolling.enabled": "false",
            "spark.executor.extraClassPath": classpath,
            "spark.sql.shuffle.partitions": "1",
        }
        options = " ".join(f"--conf {name}={value}" for name, value in settings.items())
        java = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # a short life needs little compiling
        submit = f"--master {master} --driver-class-path {classpath} {options} "
        submit += f"--driver-java-options '{java}' pyspark-shell"
        command = [str(python), "launcher.py", "run", "job.yaml", "--result", "r.json", *arguments]
        ended = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
            cwd=folder,
            env={
                **os.environ,
                "TMPDIR": str(folder),
                "SPARK_LOCAL_IP": "127.0.0.1",
                "PYSPARK_PYTHON": str(python),
                "PYSPARK_SUBMIT_ARGS": submit,
                **environment,
            },
        )
        text = ended.stdout + ended.stderr
        steps = json.loads((folder / "r.json").read_text()).get("steps")
        assert steps, text
        events = "".join(path.read_text() for path in folder.glob("*-*") if path.is_file())
        return {step["id"]: step for step in steps}, text + events

    return run


@pytest.fixture(scope="module")
def results(
    aws: sandbox.Sandbox, run_spec: Callable[..., tuple[dict[str, Any], str]]
) -> tuple[dict[str, Any], str]:
    """The steps of one run, which starts one JVM."""
    s3 = aws.client("s3", DATA)
    orders = b"country,amount\nat,1\nde,2\nat,3\n"
    s3.put_object(Bucket="landing", Key="orders/a.csv", Body=orders)
    for number in range(12):
        s3.put_object(Bucket="landing", Key=f"many/{number}.txt", Body=b"x" * 100)
    create_bucket_abroad(aws)
    return run_spec(SPEC + STEPS, **find_environment(aws))


def find_environment(aws: sandbox.Sandbox) -> dict[str, str]:
    """Returns the variables by which the job and its executors find the embedded AWS."""
    return {
        "AWS_ACCESS_KEY_ID": aws.job_keys.access_key,
        "AWS_SECRET_ACCESS_KEY": aws.job_keys.secret_key,
        "AWS_SESSION_TOKEN": aws.job_keys.token,
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_REGION": aws.region,
    }


def create_bucket_abroad(aws: sandbox.Sandbox) -> None:
    """Creates a bucket in another region than the job's, open to the role 'editor'."""
    s3 = aws.admin(DATA).client("s3", region_name="us-west-2", endpoint_url=aws.endpoint)
    configuration = {"LocationConstraint": "us-west-2"}
    s3.create_bucket(Bucket="abroad", CreateBucketConfiguration=configuration)
    allow = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{DATA}:role/editor"},
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::abroad", "arn:aws:s3:::abroad/*"],
    }
    policy = {"Version": "2012-10-17", "Statement": [allow]}
    s3.put_bucket_policy(Bucket="abroad", Policy=json.dumps(policy))
    s3.put_object(Bucket="abroad", Key="in/a.txt", Body=b"far\n")


Results = tuple[dict[str, Any], str]


def test_a_query_reads_as_one_role_and_writes_as_another(
    aws: sandbox.Sandbox, results: Results
) -> None:
    steps, _ = results
    assert steps["copy"]["outputs"]["count"] == 3
    assert steps["grouped"]["outputs"] == {
        "count": 2,
        "columns": ["country", "amount"],
        "rows": None,
    }
    s3 = aws.client("s3", OTHER)
    listed = s3.list_objects_v2(Bucket="publish", Prefix="days/orders/by/country/")["Contents"]
    names = [each["Key"].rpartition("/")[2] for each in listed]
    assert [name for name in names if name.endswith(".parquet")] != []
    # besides the folder's own marker
    assert {name.partition("-")[0] for name in names} - {""} == {"_SUCCESS", "part"}
    callers = {
        (each.operation, each.parameters["Bucket"], each.caller.split("/")[1])
        for each in aws.requests("s3")
        if not each.is_admin and not each.error
    }
    assert ("GetObject", "landing", "reader") in callers
    operations = {operation for operation, bucket, _ in callers if bucket == "publish"}
    if SPARK.startswith("3.3"):  # there is no spark-hadoop-cloud for it
        assert "CopyObject" in operations
    else:
        assert "CompleteMultipartUpload" in operations
        assert "CopyObject" not in operations
    assert ("PutObject", "publish", "writer") in callers


@pytest.mark.parametrize("name", ["limited", "same-bucket", "via", "tags", "abroad"])
def test_what_a_role_has_holds_for_spark(results: Results, name: str) -> None:
    step = results[0][name]
    assert step["status"] == "succeeded", step["error"]
    assert step["outputs"]["count"] == (1 if name == "abroad" else 3)


@pytest.mark.parametrize(
    ("name", "role", "action", "resource"),
    [
        ("denied-list", "getter", "s3:ListBucket", "landing"),
        ("denied-get", "lister", "s3:GetObject", "landing/orders"),
        ("denied-bucket", "writer", "s3:GetObject", "landing/orders"),
        ("denied-put", "no-put", "s3:PutObject", "publish/no-put"),
        ("denied-list-target", "no-list", "s3:ListBucket", "publish"),
    ],
)
def test_a_refusal_names_role_action_and_resource(
    results: Results, name: str, role: str, action: str, resource: str
) -> None:
    error = results[0][name]["error"]
    assert error["type"] == "AccessDenied"
    expected = f"the role '{role}' may not {action} on arn:aws:s3:::{resource}"
    assert error["message"].startswith(expected)
    assert f'"Action": "{action}"' in error["hint"]


def test_a_session_is_renewed_while_a_query_runs(aws: sandbox.Sandbox, results: Results) -> None:
    step = results[0]["renewed"]
    assert (step["status"], step["outputs"]["rows"]) == ("succeeded", [{"n": 12}])
    sessions = [
        each.parameters["RoleSessionName"]
        for each in aws.requests("sts")
        if each.operation == "AssumeRole" and not each.is_admin
    ]
    assert sessions.count("short") >= 3
    # all others were assumed once, before the first step
    assert len([each for each in sessions if each != "short"]) == 11


def test_no_keys_are_printed_or_stored(aws: sandbox.Sandbox, results: Results) -> None:
    _, text = results
    assert "SparkListenerSQLExecutionEnd" in text
    assert [each for each in (aws.job_keys.secret_key, aws.job_keys.token) if each in text] == []
    assert re.findall(r"ASIA[A-Z0-9]{12,}|FwoG[\w+/=]{16,}", text) == []
    tokens = re.findall(
        r"fs\.s3a\.bucket\.\w+\.(?:session\.token|secret\.key)[^\w*]+([\w*]+)", text
    )
    assert {each[0] for each in tokens} == {"*"}


def test_on_a_cluster_s3a_assumes_the_roles_itself(
    aws: sandbox.Sandbox, results: Results, run_spec: Callable[..., Results]
) -> None:
    before = aws.assume_role_count()
    steps, _ = run_spec(
        SPEC
        + render_step("same-bucket", "reader", "editor", "s3://landing/cluster/")
        + render_step("tags", "tagged"),
        master="local-cluster[1,1,1024]",
        **find_environment(aws),
    )
    assert steps["same-bucket"]["outputs"]["count"] == 3, steps["same-bucket"]["error"]
    assert steps["tags"]["error"]["type"] == "S3aCannot"
    # this process, and S3A in the driver and in the executor
    editor = f"arn:aws:iam::{DATA}:role/editor"
    assert aws.assume_role_count()[editor] - before[editor] == 3


def test_the_sandbox_has_queries(
    run_spec: Callable[..., Results], tmp_path: Path, python: Path
) -> None:
    world = tmp_path / "world.yaml"
    objects = '[{key: orders/a.csv, text: "country,amount\\nat,1\\n"}]'
    world.write_text(
        WORLD.replace(
            f'{{name: landing, account: "{DATA}"}}',
            f'{{name: landing, account: "{DATA}", objects: {objects}}}',
        )
    )
    steps, text = run_spec(
        SPEC + render_step("copy", "reader", "writer", "s3://publish/orders/"),
        "--sandbox",
        str(world),
        ROLERUNNER_SANDBOX_PYTHON=sys.executable,
    )
    assert steps["copy"]["outputs"] == {"count": 1, "columns": ["country", "amount"], "rows": None}
    assert steps["copy"]["status"] == "succeeded", text
