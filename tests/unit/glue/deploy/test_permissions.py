"""Tests the policies that a deployment needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from rolerunner import api
from rolerunner.glue.deploy.permissions import build_policies


def test_permissions_name_what_is_used(tmp_path: Path) -> None:
    spec = tmp_path / "nightly.yaml"
    spec.write_text(
        "version: 1\nname: nightly\nroles: {hub: arn:aws:iam::444455556666:role/hub, far: {arn: "
        "arn:aws:iam::444455556666:role/far, via: hub}}\n"
        "glue: {role: arn:aws:iam::111122223333:role/glue, artifacts: s3://ops/rolerunner/, "
        "region: eu-west-1, result: s3://ops/results/,"
        " connections: [vpc]}\n"
        "steps:\n  - {id: a, action: s3.list, role: far, source: s3://theirs/x/}\n  - {id: b, "
        "action: s3.list, role: job, source: s3://mine/y/}\n"
    )
    job = api.load(spec)
    assert job.glue is not None
    found = build_policies(api.plan(job), job.glue)
    ours, theirs = (found[name]["Statement"] for name in ("deployer", "job"))
    assert {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::ops/rolerunner/nightly/*",
    } in theirs
    assert {
        "Effect": "Allow",
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::ops/results/*",
    } in theirs
    assumed = [each["Resource"] for each in theirs if "sts:AssumeRole" in each["Action"]]
    assert assumed == ["arn:aws:iam::444455556666:role/hub"]  # the other is assumed from the hub
    assert any(each["Resource"] == "arn:aws:s3:::mine" for each in theirs)
    assert not any("theirs" in str(each) for each in theirs)
    assert any("ec2:CreateNetworkInterface" in each["Action"] for each in theirs)
    passed = next(each for each in ours if each["Action"] == "iam:PassRole")
    assert passed["Resource"] == "arn:aws:iam::111122223333:role/glue"
    assert passed["Condition"] == {"StringEquals": {"iam:PassedToService": "glue.amazonaws.com"}}
    assert any(
        each["Resource"] == "arn:aws:glue:eu-west-1:111122223333:job/nightly" for each in ours
    )


@pytest.mark.parametrize("name", ["--enable-metrics", "--enable-observability-metrics"])
def test_a_job_that_writes_metrics_may_put_them(name: str, tmp_path: Path) -> None:
    spec = tmp_path / "nightly.yaml"
    spec.write_text(
        "version: 1\nname: nightly\n"
        "glue: {role: arn:aws:iam::111122223333:role/glue, artifacts: s3://ops/rolerunner/, "
        f"arguments: {{{name}: 'true'}}}}\n"
        "steps:\n  - {id: b, action: s3.list, role: job, source: s3://mine/y/}\n"
    )
    job = api.load(spec)
    assert job.glue is not None
    statements = build_policies(api.plan(job), job.glue)["job"]["Statement"]
    assert [each for each in statements if "cloudwatch:PutMetricData" in each["Action"]] == [
        {
            "Effect": "Allow",
            "Action": "cloudwatch:PutMetricData",
            "Resource": "*",
            "Condition": {"StringEquals": {"cloudwatch:namespace": ["Glue"]}},
        }
    ]
