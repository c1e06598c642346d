"""Settings of Hadoop's S3A for a bucket and a role, and what its errors say."""

from __future__ import annotations

import pytest

from rolerunner.actions import s3a
from rolerunner.actions.s3a import Connection
from rolerunner.model import JOB, Role, S3Uri

READER = Role("arn:aws:iam::111122223333:role/reader", name="reader")
S3A = "org.apache.hadoop.fs.s3a"
ASSUMING = f"{S3A}.auth.AssumedRoleCredentialProvider"


def test_a_bucket_of_aws_has_the_endpoint_of_its_region() -> None:
    connection = Connection("landing", "s3a-1f", "eu-central-1")
    assert connection.build_settings({"assumed.role.arn": "r", "assumed.role.policy": ""}) == {
        "fs.s3a-1f.impl": f"{S3A}.S3AFileSystem",
        "fs.s3a.bucket.landing.endpoint": "s3.eu-central-1.amazonaws.com",
        "fs.s3a.bucket.landing.endpoint.region": "eu-central-1",
        "fs.s3a.bucket.landing.directory.marker.retention": "keep",
        "fs.s3a.bucket.landing.assumed.role.arn": "r",
    }
    china = Connection("landing", "s3a-1f", "cn-north-1").build_settings({})
    assert china["fs.s3a.bucket.landing.endpoint"] == "s3.cn-north-1.amazonaws.com.cn"
    assert connection.url(S3Uri("landing", "in/")) == "s3a-1f://landing/in/"


def test_version_2_of_the_sdk_derives_the_endpoint_from_the_region() -> None:
    settings = Connection("landing", "s3a-1f", "eu-central-1", sdk=2).build_settings({})
    assert "fs.s3a.bucket.landing.endpoint" not in settings
    assert settings["fs.s3a.bucket.landing.endpoint.region"] == "eu-central-1"


@pytest.mark.parametrize(
    ("endpoint", "tls"), [("http://127.0.0.1:1", "false"), ("https://s", "true")]
)
def test_another_endpoint_is_called_by_path(endpoint: str, tls: str) -> None:
    settings = Connection("landing", "s3a-1f", "eu-west-1", endpoint, sdk=2).build_settings({})
    assert settings["fs.s3a.bucket.landing.endpoint"] == endpoint
    assert settings["fs.s3a.bucket.landing.path.style.access"] == "true"
    assert settings["fs.s3a.bucket.landing.connection.ssl.enabled"] == tls


def test_s3a_assumes_a_role_itself() -> None:
    role = Role(READER.arn, external_id="ex-1", policy="{}", region="eu-central-1", duration=900)
    assert s3a.build_role_credentials(role, "rolerunner-1", "eu-west-1", "", 1) == {
        "aws.credentials.provider": ASSUMING,
        "assumed.role.arn": READER.arn,
        "assumed.role.session.name": "rolerunner-1",
        "assumed.role.session.duration": "900s",
        "assumed.role.sts.endpoint": "sts.eu-central-1.amazonaws.com",
        "assumed.role.sts.endpoint.region": "eu-central-1",
        "assumed.role.credentials.provider": (
            "com.amazonaws.auth.DefaultAWSCredentialsProviderChain"
        ),
        "assumed.role.policy": "{}",
        "assumed.role.external.id": "ex-1",
    }
    assert s3a.build_role_credentials(JOB, "x", "eu-west-1", "", 2) == {
        "aws.credentials.provider": (
            "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"
        )
    }


@pytest.mark.parametrize(
    ("own", "job", "sdk", "host"),
    [
        ("https://sts.example.com", "http://127.0.0.1:1", 1, "sts.example.com"),
        ("https://sts.example.com", "", 2, "sts.example.com"),
        ("", "http://127.0.0.1:1", 1, "http://127.0.0.1:1"),
        ("", "http://127.0.0.1:1", 2, None),
        ("", "", 2, "sts.eu-west-1.amazonaws.com"),
    ],
)
def test_the_roles_own_endpoint_of_sts_comes_first(own: str, job: str, sdk: int, host: str) -> None:
    role = Role(READER.arn, sts_endpoint=own)
    settings = s3a.build_role_credentials(role, "x", "eu-west-1", job, sdk)
    assert settings.get("assumed.role.sts.endpoint") == host
    assert settings.get("assumed.role.sts.endpoint.region") == ("eu-west-1" if host else None)


def test_s3a_asks_this_process_with_a_token() -> None:
    settings = s3a.build_lent_credentials(READER, "tk", "http://127.0.0.1:1", "eu-west-1", 1)
    assert settings["aws.credentials.provider"] == ASSUMING
    assert settings["assumed.role.credentials.provider"] == f"{S3A}.TemporaryAWSCredentialsProvider"
    assert settings["session.token"] == "tk"
    assert settings["assumed.role.sts.endpoint"] == "http://127.0.0.1:1"
    job = s3a.build_lent_credentials(JOB, "tk", "http://127.0.0.1:1", "eu-west-1", 1)
    assert job["assumed.role.arn"] == "arn:aws:iam::000000000000:role/job"


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
    assert list(s3a.list_unsupported(role, has_external_ids=True)) == named


def test_an_external_id_that_would_be_left_out_is_named() -> None:
    role = Role(READER.arn, external_id="ex-1")
    assert list(s3a.list_unsupported(role, has_external_ids=False)) == ["'external_id'"]
