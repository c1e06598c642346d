"""Compares the DPU-seconds of a copy between two roles, as a plain script and as a step.

Both run against one embedded AWS.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3

from rolerunner import api, sandbox
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys

OBJECTS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
ROUNDS = 3
PER, DPU = 10_000, 1 / 16
ROLE = "arn:aws:iam::111122223333:role/{}"
READS = "['s3:ListBucket', 's3:GetObject', 's3:GetObjectTagging']"
WRITES = "['s3:ListBucket', 's3:PutObject', 's3:PutObjectTagging', 's3:AbortMultipartUpload']"
JOB = ROLE.format("job")
TRUST = f"trust: [{{Effect: Allow, Principal: {{AWS: '{JOB}'}}, Action: sts:AssumeRole}}]"


def _allow(actions: str) -> str:
    return f'permissions: [{{Effect: Allow, Action: {actions}, Resource: "*"}}]'


WORLD = f"""
version: 1
job_role: {ROLE.format("job")}
roles:
  - {{arn: "{ROLE.format("job")}", {_allow("sts:AssumeRole")}}}
  - {{arn: "{ROLE.format("reader")}", {TRUST}, {_allow(READS)}}}
  - {{arn: "{ROLE.format("writer")}", {TRUST}, {_allow(WRITES)}}}
buckets: [{{name: theirs, account: "111122223333"}}, {{name: ours, account: "111122223333"}}]
"""
SPEC = f"""
version: 1
name: bench
params: {{target: {{required: true}}}}
roles: {{reader: "{ROLE.format("reader")}", writer: "{ROLE.format("writer")}"}}
steps:
  - id: copy
    action: s3.copy
    source_role: reader
    target_role: writer
    source: s3://theirs/in/
    target: "s3://ours/${{{{ params.target }}}}/"
"""


def plain(running: sandbox.Sandbox, target: str) -> None:
    """Runs the usual hand-written script: assumes, lists, copies one object after the other."""
    keys = running.job_keys
    job = {
        "aws_access_key_id": keys.access_key,
        "aws_secret_access_key": keys.secret_key,
        "aws_session_token": keys.token,
    }
    sts = boto3.client("sts", endpoint_url=running.endpoint, region_name=running.region, **job)

    def s3(role: str) -> Any:
        found = sts.assume_role(RoleArn=ROLE.format(role), RoleSessionName="bench")["Credentials"]
        return boto3.client(
            "s3", endpoint_url=running.endpoint, region_name=running.region,
            aws_access_key_id=found["AccessKeyId"],
            aws_secret_access_key=found["SecretAccessKey"], aws_session_token=found["SessionToken"],
        )  # fmt: skip

    source, sink = s3("reader"), s3("writer")
    for page in source.get_paginator("list_objects_v2").paginate(Bucket="theirs", Prefix="in/"):
        for each in page.get("Contents", []):
            body = source.get_object(Bucket="theirs", Key=each["Key"])["Body"].read()
            sink.put_object(Bucket="ours", Key=f"{target}/{each['Key'][3:]}", Body=body)


def as_step(running: sandbox.Sandbox, target: str, spec: Path) -> None:
    keys = running.job_keys
    identity = JobIdentity(
        running.region,
        keys=Keys(keys.access_key, keys.secret_key, keys.token),
        endpoints={"": running.endpoint},
    )
    result = api.run(api.load(spec, {"target": target}), identity=identity)
    assert result.status == "succeeded", result


def seconds(work: Any, *arguments: Any) -> float:
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        world, spec = Path(name) / "world.yaml", Path(name) / "job.yaml"
        world.write_text(WORLD)
        spec.write_text(SPEC)
        with sandbox.start_sandbox(sandbox.load_world(world)) as running:
            s3 = running.client("s3", "111122223333")
            for number in range(OBJECTS):
                s3.put_object(Bucket="theirs", Key=f"in/{number:06}.json", Body=b"x" * 4096)
            times: dict[str, list[float]] = {"plain script": [], "s3.copy": []}
            for number in range(ROUNDS):
                times["plain script"].append(seconds(plain, running, f"plain-{number}"))
                times["s3.copy"].append(seconds(as_step, running, f"step-{number}", spec))
    print(f"{OBJECTS:,} objects of 4 KiB from one role to another, medians of {ROUNDS}\n")
    print(
        f"| | seconds | DPU-seconds per {PER:,} objects at 1/16 DPU | relative to the plain script "
        "|\n|---|---|---|---|"
    )
    base = statistics.median(times["plain script"])
    for title, taken in times.items():
        median = statistics.median(taken)
        print(
            f"| {title} | {median:.2f} | {median / OBJECTS * PER * DPU:.1f} | {median / base:.2f} |"
        )


if __name__ == "__main__":
    main()
