"""Spark's own way to S3: what Hadoop is told for a role, and what it cannot be told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rolerunner.actions import s3a
from rolerunner.actions.builtin.spark_sql import SparkSql, _explain_java_error
from rolerunner.errors import StepError
from rolerunner.model import JOB, Role, S3Uri
from rolerunner.spark import sql

READER = Role("arn:aws:iam::111122223333:role/reader", name="reader")
EXTERNAL = Role("arn:aws:iam::111122223333:role/reader", name="reader", external_id="ex-1")
KEY = "fs.s3a.bucket.landing."
S3A = "org.apache.hadoop.fs.s3a"


class JavaPackage:
    """What py4j gives for a name that is no class."""


class Known:
    ASSUMED_ROLE_EXTERNAL_ID = "fs.s3a.assumed.role.external.id"


class Unknown:
    pass


def session(constants: Any = None, version: str = "3.3.4") -> Any:
    told: dict[str, str] = {}
    hadoop = SimpleNamespace(
        util=SimpleNamespace(VersionInfo=SimpleNamespace(getVersion=lambda: version)),
        fs=SimpleNamespace(s3a=SimpleNamespace(Constants=constants or JavaPackage())),
    )
    jvm = SimpleNamespace(org=SimpleNamespace(apache=SimpleNamespace(hadoop=hadoop)))
    configuration = SimpleNamespace(set=told.__setitem__)
    context = SimpleNamespace(
        _jvm=jvm, _jsc=SimpleNamespace(hadoopConfiguration=lambda: configuration)
    )
    return SimpleNamespace(sparkContext=context, told=told)


@pytest.fixture(autouse=True)
def _nothing_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "_CONFIGURED", {})


def test_hadoop_is_told_of_the_role_for_its_bucket() -> None:
    role = Role(READER.arn, external_id="ex-1", policy="{}", region="eu-central-1", duration=900)
    assert s3a.settings("landing", role, "rolerunner-1", "eu-west-1", "Own") == {
        f"{KEY}aws.credentials.provider": f"{S3A}.auth.AssumedRoleCredentialProvider",
        f"{KEY}assumed.role.arn": READER.arn,
        f"{KEY}assumed.role.session.name": "rolerunner-1",
        f"{KEY}assumed.role.session.duration": "900s",
        f"{KEY}assumed.role.sts.endpoint": "sts.eu-west-1.amazonaws.com",
        f"{KEY}assumed.role.sts.endpoint.region": "eu-west-1",
        f"{KEY}assumed.role.credentials.provider": "Own",
        f"{KEY}assumed.role.policy": "{}",
        f"{KEY}assumed.role.external.id": "ex-1",
        f"{KEY}endpoint.region": "eu-central-1",
    }
    assert s3a.settings("landing", JOB, "x", "eu-west-1", "Own") == {}
    china = s3a.settings("landing", READER, "x", "cn-north-1", "Own")
    assert china[f"{KEY}assumed.role.sts.endpoint"] == "sts.cn-north-1.amazonaws.com.cn"
    assert s3a.url(S3Uri("landing", "in/")) == "s3a://landing/in/"


@pytest.mark.parametrize(
    ("role", "named"),
    [
        (Role(READER.arn, tags=(("a", "b"),)), ["'tags'"]),
        (
            Role(READER.arn, source_identity="me", policy_arns=("arn:aws:iam::aws:policy/X",)),
            ["'source_identity'", "'policy_arns'"],
        ),
        (
            Role(READER.arn, via=Role("arn:aws:iam::111122223333:role/hub", name="hub")),
            ["'via: hub'"],
        ),
        (Role(READER.arn, via=JOB, external_id="ex-1", policy="{}"), []),
    ],
)
def test_what_s3a_cannot_ask_for(role: Role, named: list[str]) -> None:
    assert list(s3a.cannot(role)) == named


@pytest.mark.parametrize(
    ("version", "own"),
    [
        ("3.3.4", "com.amazonaws.auth.Default"),
        ("3.4.1", "software.amazon.awssdk.auth.credentials.Default"),
    ],
)
def test_the_jobs_own_credentials_are_found_by_the_sdk_that_is_there(
    version: str, own: str
) -> None:
    assert sql.find_credentials_provider(session(version=version)).startswith(own)


def test_a_bucket_is_reached_as_one_role() -> None:
    spark = session()
    sql.configure_bucket(spark, "landing", s3a.settings("landing", READER, "a", "eu-west-1", "Own"))
    sql.configure_bucket(spark, "landing", s3a.settings("landing", READER, "b", "eu-west-1", "Own"))
    assert spark.told[f"{KEY}assumed.role.arn"] == READER.arn
    with pytest.raises(StepError, match="another role"):
        sql.configure_bucket(spark, "landing", {})


@pytest.mark.parametrize(
    ("constants", "refused"),
    [(None, False), (Known, False), (Unknown, True)],
    ids=["no S3A", "new", "old"],
)
def test_an_external_id_that_would_be_left_out_is_refused(constants: Any, refused: bool) -> None:
    spark = session(constants)
    settings = s3a.settings("landing", EXTERNAL, "a", "eu-west-1", "Own")
    if refused:
        with pytest.raises(StepError, match="does not send"):
            sql.configure_bucket(spark, "landing", settings)
        assert spark.told == {}
    else:
        sql.configure_bucket(spark, "landing", settings)
        assert spark.told == settings


def test_permissions_are_those_of_the_two_roles() -> None:
    step = SparkSql.model_validate(
        {
            "sources": {"a": {"location": "s3://landing/in/"}},
            "target": {"location": "s3://publish/out/"},
        }
    )
    needed = {
        role: [(each.action, each.resource) for each in permissions]
        for role, permissions in step.permissions().items()
    }
    assert needed["source_role"] == [
        ("s3:ListBucket", "arn:aws:s3:::landing"),
        ("s3:GetObject", "arn:aws:s3:::landing/in/*"),
    ]
    assert needed["target_role"] == [
        ("s3:ListBucket", "arn:aws:s3:::publish"),
        *(
            (f"s3:{action}", "arn:aws:s3:::publish/out/*")
            for action in ("GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload")
        ),
    ]
    assert SparkSql.model_validate({"sources": {"a": {"location": "orders/"}}}).permissions() == {
        "source_role": [],
        "target_role": [],
    }


SDK1 = (
    "com.amazonaws.services.s3.model.AmazonS3Exception: Access Denied "
    "(Service: Amazon S3; Status Code: 403; Error Code: AccessDenied; Request ID: R)"
)
SDK2 = (
    "software.amazon.awssdk.services.s3.model.S3Exception: {} "
    "(Service: S3, Status Code: 403, Request ID: R)"
)
NAMED = (
    "User: arn:aws:sts::111122223333:assumed-role/reader/s is not authorized to perform: "
    's3:PutObject on resource: "arn:aws:s3:::landing/in/part-0" because no identity-based '
    "policy allows the s3:PutObject action"
)


@pytest.mark.parametrize(
    ("said", "action", "resource"),
    [
        (
            (
                "AccessDeniedException: s3a://landing/in/a: getFileStatus on s3a://landing/in/a: "
                f"{SDK1}"
            ),
            "s3:GetObject",
            "landing/in/a",
        ),
        (
            (
                "AccessDeniedException: s3a://landing/in/a: reopen at position 0 on "
                f"s3a://landing/in/a: {SDK1}"
            ),
            "s3:GetObject",
            "landing/in/a",
        ),
        (
            f"AccessDeniedException: s3a://landing/in/: listing on s3a://landing/in/: {SDK1}",
            "s3:ListBucket",
            "landing",
        ),
        (
            (
                "AccessDeniedException: s3a://landing/in/x: PUT 0-byte object  on "
                f"s3a://landing/in/x: {SDK1}"
            ),
            "s3:PutObject",
            "landing/in/x",
        ),
        (
            (
                "AccessDeniedException: s3a://landing/in/x: Writing Object on s3a://landing/in/x: "
                f"{SDK1}"
            ),
            "s3:PutObject",
            "landing/in/x",
        ),
        (
            (
                "AccessDeniedException: s3a://landing/in/x: initiate MultiPartUpload on "
                f"s3a://landing/in/x: {SDK1}"
            ),
            "s3:PutObject",
            "landing/in/x",
        ),
        (
            (
                "AccessDeniedException: s3a://landing/in/x: upload part #1 upload ID on "
                f"s3a://landing/in/x: {SDK1}"
            ),
            "s3:PutObject",
            "landing/in/x",
        ),
        (
            (
                "AccessDeniedException: s3a://landing/in/x: Aborting multipart upload on "
                f"s3a://landing/in/x: {SDK1}"
            ),
            "s3:AbortMultipartUpload",
            "landing/in/x",
        ),
        (
            f"AccessDeniedException: s3a://landing/in/x: delete on s3a://landing/in/x: {SDK1}",
            "s3:DeleteObject",
            "landing/in/x",
        ),
        (
            (
                "AccessDeniedException: s3a://landing/in/part-0: Writing Object on "
                f"s3a://landing/in/part-0: {SDK2.format(NAMED)}"
            ),
            "s3:PutObject",
            "landing/in/part-0",
        ),
    ],
)
def test_a_refusal_of_s3a_names_the_action(said: str, action: str, resource: str) -> None:
    failed = _explain_java_error(
        sql.QueryFailed(
            "no", text=f"An error occurred while calling o1.load.: java.nio.file.{said}"
        ),
        {"landing": READER},
    )
    assert failed.type == "AccessDenied"
    assert f"the role 'reader' may not {action} on arn:aws:s3:::{resource}" in failed.message
    assert f'"Action": "{action}", "Resource": "arn:aws:s3:::{resource}"' in failed.hint


def test_a_refusal_of_s3a_that_tells_nothing_claims_nothing() -> None:
    failed = _explain_java_error(
        sql.QueryFailed("no", text="AccessDeniedException: s3a://landing/in/a: Status Code: 403"),
        {"landing": READER},
    )
    assert failed.message == "the role 'reader' was refused: AccessDenied"
    assert "may lack" not in failed.hint
