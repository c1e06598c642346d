"""Single steps under roles that have exactly the permissions that their plan derives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rolerunner import api
from tests.conftest import identity_of

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner import sandbox
    from rolerunner.model import RunResult

ACCOUNT = "111122223333"
ROLES = {
    "reader": f"arn:aws:iam::{ACCOUNT}:role/reader",
    "writer": f"arn:aws:iam::{ACCOUNT}:role/writer",
    "ops": f"arn:aws:iam::{ACCOUNT}:role/ops",
}
_TRUST = f"""[{{Effect: Allow, Action: sts:AssumeRole,
      Principal: {{AWS: "arn:aws:iam::{ACCOUNT}:role/job"}}}}]"""
WORLD = f"""
version: 1
job_role: arn:aws:iam::{ACCOUNT}:role/job
roles:
  - arn: arn:aws:iam::{ACCOUNT}:role/job
    permissions: [{{Effect: Allow, Action: "sts:AssumeRole", Resource: "*"}}]
  - {{arn: "{ROLES["reader"]}", trust: {_TRUST}}}
  - {{arn: "{ROLES["writer"]}", trust: {_TRUST}}}
  - {{arn: "{ROLES["ops"]}", trust: {_TRUST}}}
buckets:
  - {{name: ops-bucket, account: "{ACCOUNT}"}}
  - {{name: landing, account: "{ACCOUNT}"}}
  - {{name: archive, account: "{ACCOUNT}"}}
  - {{name: kept-bucket, account: "{ACCOUNT}", versioning: true}}
"""


BUCKETS = ("ops-bucket", "landing", "archive", "kept-bucket")


class Job:
    """Runs single steps under roles that have exactly the permissions of the plan."""

    def __init__(self, aws: sandbox.Sandbox, folder: Path, engine: str) -> None:
        self.aws, self.folder, self.engine = aws, folder, engine
        self.s3 = aws.client("s3", ACCOUNT)

    def put(self, uri: str, data: Any = b"x") -> str:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body = data if isinstance(data, bytes) else data.encode()
        return str(self.s3.put_object(Bucket=bucket, Key=key, Body=body)["ETag"]).strip('"')

    def keys(self, bucket: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=bucket).get("Contents", ())
        return [each["Key"] for each in found]

    def load(self, action: str, **fields: Any) -> Any:
        path = self.folder / "job.yaml"
        step = {"id": "it", "action": action, **fields}
        document = {
            "version": 1, "name": "t", "engine": self.engine, "roles": ROLES, "steps": [step],
        }  # fmt: skip
        path.write_text(json.dumps(document))
        return api.load(path)

    def run(self, action: str, *, more: str = "", **fields: Any) -> RunResult:
        job = self.load(action, **fields)
        self.grant(api.plan(job), more)
        return api.run(job, identity=identity_of(self.aws))

    def step(self, action: str, **fields: Any) -> Any:
        return self.run(action, **fields).steps[-1]

    def grant(self, plan: Any, more: str = "") -> None:
        iam = self.aws.client("iam", ACCOUNT)
        for name in ROLES:
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                iam.delete_role_policy(RoleName=name, PolicyName=policy)
        for role, uses in plan.uses.items():
            statements = [
                {
                    "Effect": "Allow",
                    "Action": use.permission.action,
                    "Resource": use.permission.resource,
                    **_condition(use.permission),
                }
                for use in uses
            ]
            if more:
                statements.append({"Effect": "Allow", "Action": more, "Resource": "*"})
            document = {"Version": "2012-10-17", "Statement": statements}
            iam.put_role_policy(
                RoleName=str(role), PolicyName="p", PolicyDocument=json.dumps(document)
            )


def _condition(permission: Any) -> dict[str, Any]:
    if not permission.condition:
        return {}
    return {
        "Condition": {
            operator: {key: list(values)} for operator, key, values in permission.condition
        }
    }


def open_job(aws: sandbox.Sandbox, folder: Path, engine: str) -> Job:
    """Returns a job whose buckets are empty."""
    job = Job(aws, folder, engine)
    for bucket in BUCKETS:
        told = job.s3.list_object_versions(Bucket=bucket)
        for each in (*told.get("Versions", ()), *told.get("DeleteMarkers", ())):
            job.s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])
    return job
