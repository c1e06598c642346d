"""The printed policies under moto, a second implementation of IAM besides the sandbox's.

moto ignores s3:prefix, session policies and missing external ids; the rest must agree.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.actions import registry
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import RolesRefused
from rolerunner.model import JOB, RoleArn, S3Uri
from rolerunner.policies.least_privilege import drop_run_params
from rolerunner.sandbox.from_spec import generate_world
from rolerunner.sandbox.world import create_world
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from rolerunner.sessions.registry import Sessions
from rolerunner.storage.protocol import Put
from rolerunner.wiring import open_storage
from tests.conftest import CONFIGS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once
REGION = "eu-west-1"
NOT_USED = ("logs:CreateLogGroup", "s3:ListBucket test_path/some_demo_file.gz")
"""Statements that the runs do not need: Glue's log, and telling missing objects from refusals."""


class Moto:
    """moto's server in a thread, and whether it enforces IAM."""

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        self.url = "http://{}:{}".format(*self.server.get_host_and_port())

    def enforce(self, on: bool) -> None:
        from moto import settings
        from moto.core.authorization import ActionAuthenticatorMixin

        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0.0 if on else float("inf")
        ActionAuthenticatorMixin.request_count = 0

    def assumed(self, arn: str, name: str) -> tuple[str, str, str]:
        """Returns keys of a role, which need not exist while nothing is enforced."""
        self.enforce(False)
        keys = self._client("sts", ("AKIAIOSFODNN7EXAMPLE", "x", None)).assume_role(
            RoleArn=arn, RoleSessionName=name
        )["Credentials"]
        return keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]

    def admin(self, service: str, account: str) -> Any:
        return self._client(service, self.assumed(f"arn:aws:iam::{account}:role/admin", "admin"))

    def _client(self, service: str, keys: Any) -> Any:
        import boto3

        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        return boto3.client(
            service, region_name=REGION, endpoint_url=self.url, **dict(zip(names, keys))
        )


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    started = Moto()
    yield started
    started.enforce(False)
    started.server.stop()


@pytest.mark.parametrize("name", ["blog_cross_role", "partner_exchange"])
def test_moto_agrees(name: str, moto: Moto, tmp_path: Path) -> None:
    param = "target" if name == "blog_cross_role" else "workdir"
    job = api.load(CONFIGS / f"{name}.yaml", {param: f"{tmp_path}/"})
    world = generate_world(api.plan(job), api.plan(drop_run_params(job, ())), registry(), {}).world
    create_world(world, moto.admin, Path())
    identity = JobIdentity(
        REGION,
        keys=Keys(*moto.assumed(world.job_role, "GlueJobRunnerSession")),
        endpoints={"": moto.url},
    )

    def completed() -> str:
        moto.enforce(True)
        try:
            result = api.run(job, identity=identity)
        except RolesRefused:
            return "refused"
        finally:
            moto.enforce(False)
        errors = {step.error.type for step in result.steps if step.error is not None}
        return ", ".join(errors) or result.status

    assert completed() == "succeeded"
    tried = 0
    for role in world.roles:
        arn = RoleArn.parse(role.arn)
        iam = moto.admin("iam", arn.account)
        for left_out in role.permissions:
            action = (
                left_out["Action"] if isinstance(left_out["Action"], str) else left_out["Action"][0]
            )
            prefix = left_out.get("Condition", {}).get("StringLike", {}).get("s3:prefix", [""])[0]
            if {action, f"{action} {prefix}"} & set(NOT_USED):
                continue
            rest = [each for each in role.permissions if each is not left_out] or [
                {"Effect": "Allow", "Action": "s3:GetBucketAcl", "Resource": "*"}
            ]
            put(iam, arn.name, rest)
            assert completed() in ("refused", "AccessDenied"), left_out
            put(iam, arn.name, role.permissions)
            tried += 1
    assert tried >= 4
    assert completed() == "succeeded", "all is there again"


@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_moto_holds_each_request_against_its_signature(engine: str, moto: Moto) -> None:
    account, bucket, name = "111122223333", f"signed-{engine}", f"signs-{engine}"
    moto.admin("s3", account).create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    iam = moto.admin("iam", account)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    put(iam, name, [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}])
    key, secret, token = moto.assumed(f"arn:aws:iam::{account}:role/{name}", name)
    for given, status in ((secret, "done"), ("x" * 40, "failed")):
        sessions = Sessions(
            JobIdentity(REGION, keys=Keys(key, given, token), endpoints={"": moto.url})
        )
        moto.enforce(True)
        (outcome,) = open_storage(sessions, JOB, engine=engine).put(
            [Put(Path(__file__), S3Uri(bucket, "a b+%ü~"))], Cancel()
        )
        moto.enforce(False)
        assert outcome.status == status, outcome.error
    assert outcome.error is not None
    assert outcome.error.type == "SignatureDoesNotMatch", outcome.error


def put(iam: Any, name: str, statements: list[dict[str, Any]]) -> None:
    iam.put_role_policy(
        RoleName=name,
        PolicyName="permissions",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
    )
