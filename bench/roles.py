"""Measures 1, 10 and 50 roles of four steps each, compared with a boto3 session per step."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from measure import table

if TYPE_CHECKING:
    from rolerunner.sandbox import Sandbox

ACCOUNT, STEPS = "111122223333", 4
MOST = 10
"""More roles take gigabytes with a session per step; their cost is extrapolated."""


def main() -> None:
    print("Four steps for each role, each with an S3 client.\n")
    rows = []
    for count in (1, 10, 50):
        for way in ("rolerunner", "boto3"):
            told = subprocess.run(
                [sys.executable, __file__, way, str(count)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            rows.append(told.rstrip("\n").split("\t"))
    print(table(["roles", "way", "AssumeRole", "ms", "MB above"], rows))


def measure(way: str, wanted: int) -> None:
    from rolerunner import sandbox

    count = wanted if way == "rolerunner" else min(wanted, MOST)
    job = f"arn:aws:iam::{ACCOUNT}:role/job"
    arns = [f"arn:aws:iam::{ACCOUNT}:role/r{number}" for number in range(count)]
    trust = [{"Effect": "Allow", "Principal": {"AWS": job}, "Action": "sts:AssumeRole"}]
    allowed = [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]
    roles = [{"arn": job, "permissions": allowed}, *({"arn": arn, "trust": trust} for arn in arns)]
    with sandbox.start_sandbox(
        sandbox.World.model_validate({"version": 1, "job_role": job, "roles": roles})
    ) as aws:
        before, began = rss(), time.perf_counter()
        calls = (ours if way == "rolerunner" else plain)(aws, arns)
        took, after = time.perf_counter() - began, rss()
    name, times = ("boto3, session a step" if way == "boto3" else way), wanted / count
    note = f", extrapolated from {count} roles" if wanted > count else ""
    print(
        wanted,
        name + note,
        f"{calls * times:.0f}",
        f"{took * 1000 * times:.0f}",
        f"{(after - before) * times:.1f}",
        sep="\t",
    )


def ours(aws: Sandbox, arns: list[str]) -> int:
    from rolerunner.model import Role
    from rolerunner.sessions.identity import JobIdentity
    from rolerunner.sessions.keys import Keys
    from rolerunner.sessions.registry import Sessions

    keys = Keys(aws.job_keys.access_key, aws.job_keys.secret_key, aws.job_keys.token)
    sessions = Sessions(JobIdentity(aws.region, keys=keys, endpoints={"": aws.endpoint}))
    for arn in arns * STEPS:
        sessions.assume(Role(arn))
        sessions.client(Role(arn), "s3")
    return sum(sessions.count_assume_calls(Role(arn)) for arn in arns)


def plain(aws: Sandbox, arns: list[str]) -> int:
    import boto3

    job, kept = aws.job_keys, []
    for arn in arns * STEPS:
        keys = {
            "aws_access_key_id": job.access_key,
            "aws_secret_access_key": job.secret_key,
            "aws_session_token": job.token,
        }
        sts = boto3.Session(region_name=aws.region, **keys).client("sts", endpoint_url=aws.endpoint)
        got = sts.assume_role(RoleArn=arn, RoleSessionName="bench")["Credentials"]
        own = {
            "aws_access_key_id": got["AccessKeyId"],
            "aws_secret_access_key": got["SecretAccessKey"],
            "aws_session_token": got["SessionToken"],
        }
        kept.append(
            boto3.Session(region_name=aws.region, **own).client("s3", endpoint_url=aws.endpoint)
        )
    return len(kept)


def rss() -> float:
    """Returns the peak memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    measure(sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 1 else main()
