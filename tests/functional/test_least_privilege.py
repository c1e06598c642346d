"""Each S3 action under a role with exactly its declared permissions, and without each of them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from rolerunner.actions import registry
from tests.conftest import identity_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rolerunner.model import Permission, RunResult

pytestmark = pytest.mark.once

ACCOUNT = "111122223333"
READER, WRITER = (f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("reader", "writer"))
WORLD = f"""
version: 1
job_role: arn:aws:iam::{ACCOUNT}:role/job
roles:
  - arn: arn:aws:iam::{ACCOUNT}:role/job
    permissions: [{{Effect: Allow, Action: "sts:AssumeRole", Resource: "*"}}]
  - {{arn: "{READER}", trust: [{{Effect: Allow,
      Principal: {{AWS: "arn:aws:iam::{ACCOUNT}:role/job"}}, Action: sts:AssumeRole}}]}}
  - {{arn: "{WRITER}", trust: [{{Effect: Allow,
      Principal: {{AWS: "arn:aws:iam::{ACCOUNT}:role/job"}}, Action: sts:AssumeRole}}]}}
buckets:
  - {{name: source-bucket, account: "{ACCOUNT}"}}
  - {{name: target-bucket, account: "{ACCOUNT}"}}
  - {{name: kept-bucket, account: "{ACCOUNT}", versioning: true,
      objects: [{{key: in/a.txt, text: x}}]}}
"""
STEPS: dict[str, dict[str, Any]] = {
    "list": {"action": "s3.list", "source": "s3://source-bucket/in/"},
    "versions": {"action": "s3.list", "source": "s3://source-bucket/in/", "versions": True},
    "download": {
        "action": "s3.download",
        "source": "s3://source-bucket/in/",
        "target": "{tmp}/out/",
    },
    "download-one": {
        "action": "s3.download",
        "source": "s3://source-bucket/in/a.txt",
        "target": "{tmp}/a.txt",
    },
    "upload": {
        "action": "s3.upload",
        "source": "{tmp}/files/",
        "target": "s3://target-bucket/out/",
        "tags": {"t": "1"},
    },
    "upload-same": {
        "action": "s3.upload",
        "source": "{tmp}/files/",
        "target": "s3://target-bucket/out/",
        "if_exists": "skip_same",
    },
    "mirror": {
        "action": "s3.upload",
        "source": "{tmp}/files/",
        "target": "s3://target-bucket/there/",
        "delete_extra": True,
        "max_delete": 5,
    },
    "copy": {
        "action": "s3.copy",
        "source": "s3://source-bucket/in/",
        "target": "s3://target-bucket/out/",
    },
    "mirrored-copy": {
        "action": "s3.copy",
        "source": "s3://source-bucket/in/",
        "target": "s3://target-bucket/there/",
        "delete_extra": True,
        "max_delete": 5,
    },
    "mirrored-relay": {
        "action": "s3.copy",
        "source": "s3://source-bucket/in/",
        "target": "s3://target-bucket/there/",
        "source_role": READER,
        "target_role": WRITER,
        "delete_extra": True,
        "max_delete": 5,
    },
    "move": {
        "action": "s3.copy",
        "source": "s3://source-bucket/in/",
        "target": "s3://target-bucket/out/",
        "move": True,
    },
    "relay": {
        "action": "s3.copy",
        "source": "s3://source-bucket/in/",
        "target": "s3://target-bucket/out/",
        "source_role": READER,
        "target_role": WRITER,
    },
    "pack": {
        "action": "s3.pack",
        "source": "s3://source-bucket/in/",
        "target": "s3://target-bucket/out/all.tar.gz",
        "max_archive_size": "1GB",
        "source_role": READER,
        "target_role": WRITER,
    },
    "pack-same": {
        "action": "s3.pack",
        "source": "s3://source-bucket/in/",
        "target": "s3://target-bucket/out/all.zip",
        "if_exists": "skip_same",
    },
    "unpack": {
        "action": "s3.unpack",
        "source": "s3://source-bucket/packed.tar",
        "target": "s3://target-bucket/out/",
        "if_exists": "skip_same",
        "source_role": READER,
        "target_role": WRITER,
    },
    "delete": {"action": "s3.delete", "source": "s3://source-bucket/in/", "max_delete": 5},
    "delete-one": {"action": "s3.delete", "source": "s3://source-bucket/in/a.txt", "max_delete": 1},
    "cleanup": {
        "action": "s3.cleanup",
        "source": "s3://target-bucket/out/",
        "min_age": 0,
        "max_delete": 5,
        "measure": True,
    },
    "presign": {"action": "s3.presign", "source": "s3://source-bucket/in/a.txt"},
    "concat": {
        "action": "s3.concat",
        "source": "s3://source-bucket/in/",
        "target": "s3://target-bucket/whole",
        "source_role": READER,
        "target_role": WRITER,
    },
    "restore": {"action": "s3.restore", "source": "s3://target-bucket/cold/"},
    "restore-one": {"action": "s3.restore", "source": "s3://target-bucket/cold/a"},
    "tag": {"action": "s3.tag", "source": "s3://source-bucket/in/", "add": {"t": "2"}},
    "tag-one": {"action": "s3.tag", "source": "s3://source-bucket/in/a.txt", "set": {"t": "2"}},
    "verify": {
        "action": "s3.verify",
        "source": "s3://source-bucket/in/",
        "target": "s3://target-bucket/same/",
        "source_role": READER,
        "target_role": WRITER,
        "read": True,
    },
    "wait": {
        "action": "s3.wait",
        "source": "s3://source-bucket/in/",
        "max_wait": 0.1,
        "interval": 0.1,
    },
    "read": {"action": "s3.read", "source": "s3://source-bucket/in/a.txt"},
    "write": {"action": "s3.write", "target": "s3://target-bucket/out/w", "text": "x"},
    "of-kept": {
        "action": "s3.download",
        "source": "s3://kept-bucket/in/a.txt",
        "target": "{tmp}/a.txt",
    },
    "copy-of-kept": {
        "action": "s3.copy",
        "source": "s3://kept-bucket/in/a.txt",
        "target": "s3://target-bucket/out/",
    },
    "listed-in-a-file": {
        "action": "s3.copy",
        "objects": {
            "from": "s3://target-bucket/list.txt",
            "role": WRITER,
            "prefix": "s3://source-bucket/in/",
        },
        "target": "s3://source-bucket/copied/",
    },
    "of-a-version": {
        "action": "s3.copy",
        "source": "s3://kept-bucket/in/a.txt",
        "version": "{version}",
        "target": "s3://target-bucket/out/",
    },
    "as-of": {
        "action": "s3.download",
        "source": "s3://kept-bucket/in/",
        "as_of": "{now}",
        "target": "{tmp}/out/",
    },
    "backup": {
        "action": "s3.copy",
        "source": "s3://source-bucket/in/",
        "target": "s3://target-bucket/there/",
        "backup": "s3://source-bucket/kept/",
        "source_role": READER,
        "target_role": WRITER,
        "delete_extra": True,
        "max_delete": 5,
    },
    "backup-beside": {
        "action": "s3.copy",
        "source": "s3://source-bucket/in/",
        "target": "s3://target-bucket/there/",
        "backup_suffix": ".old",
        "source_role": READER,
        "target_role": WRITER,
    },
    "compress": {
        "action": "s3.copy",
        "source": "s3://source-bucket/in/",
        "target": "s3://target-bucket/out/",
        "compress": "gzip",
        "source_role": READER,
        "target_role": WRITER,
    },
    "verify-sums": {
        "action": "s3.verify",
        "source": "s3://source-bucket/in/",
        "checksums": "s3://source-bucket/SHA256SUMS",
        "read": True,
    },
}
NOT_ENFORCED = {
    "s3:PutObjectTagging",
    "s3:PutObjectAcl",
    "s3:GetObjectTagging",
    "s3:GetObjectAnnotation",
    "s3:PutObjectAnnotation",
}
"""Permissions that AWS needs and the emulator does not."""
VERSIONS_NOT_ENFORCED = {"s3:GetObjectVersionTagging", "s3:GetObjectVersionAnnotation"}
NEEDED_AT_TIMES = {
    ("*", "s3:AbortMultipartUpload"): "only after a failure",
    ("*", "s3:GetObjectVersion"): "only where the bucket keeps versions",
    ("*", "s3:DeleteObjectVersion"): "the same",
    ("*", "s3:GetObjectVersionTagging"): "the same",
    ("*", "s3:GetObjectVersionAnnotation"): "the same",
    ("download-one", "s3:ListBucket"): "only to tell a missing object from a refusal",
    ("delete-one", "s3:ListBucket"): "the same",
    ("presign", "s3:ListBucket"): "the same",
    ("tag-one", "s3:ListBucket"): "the same",
    ("restore-one", "s3:ListBucket"): "the same",
    ("read", "s3:ListBucket"): "the same",
    ("of-kept", "s3:ListBucket"): "the same",
    ("copy-of-kept", "s3:ListBucket"): "the same",
    ("pack-same", "s3:ListBucket s3://target-bucket"): "the same",
    ("listed-in-a-file", "s3:ListBucket s3://target-bucket"): "the same",
    ("of-a-version", "s3:ListBucket"): "the same",
    ("backup", "s3:ListBucket s3://source-bucket"): "the same",
    ("backup-beside", "s3:ListBucket s3://target-bucket"): "the same",
    ("unpack", "s3:ListBucket s3://source-bucket"): "the same",
    ("unpack", "s3:GetObject s3://target-bucket"): "only where ETags do not settle it",
    ("upload-same", "s3:ListBucket"): "few files are asked for one by one; many by one listing",
    ("mirror", "s3:GetObject"): "only where ETags do not settle it",
    ("move", "s3:ListBucket s3://target-bucket"): "only to tell a missing copy from a refusal",
}


def prepare(aws: sandbox.Sandbox, tmp_path: Path) -> None:
    s3 = aws.client("s3", ACCOUNT)
    for bucket in ("source-bucket", "target-bucket"):
        for each in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
            s3.delete_object(Bucket=bucket, Key=each["Key"])
    for key in ("in/a.txt", "in/b.txt"):
        s3.put_object(Bucket="source-bucket", Key=key, Body=b"x", Tagging="t=1")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("new"))
    s3.put_object(Bucket="source-bucket", Key="packed.tar", Body=packed.getvalue())
    s3.put_object(Bucket="target-bucket", Key="same/a.txt", Body=b"x")
    s3.put_object(Bucket="target-bucket", Key="list.txt", Body=b"in/a.txt\n")
    sums = "".join(f"{hashlib.sha256(b'x').hexdigest()}  {name}.txt\n" for name in "ab")
    s3.put_object(Bucket="source-bucket", Key="SHA256SUMS", Body=sums.encode())
    # the same content in parts, whose ETag proves nothing
    same = {"Bucket": "target-bucket", "Key": "same/b.txt"}
    upload = s3.create_multipart_upload(**same)["UploadId"]
    part = s3.upload_part(**same, UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(**same, UploadId=upload, MultipartUpload=parts)
    for key in ("out/f.txt", "there/extra"):
        s3.put_object(Bucket="target-bucket", Key=key, Body=b"other")
    s3.put_object(Bucket="target-bucket", Key="cold/a", Body=b"x", StorageClass="GLACIER")
    for each in s3.list_multipart_uploads(Bucket="target-bucket").get("Uploads", ()):
        place = {"Key": each["Key"], "UploadId": each["UploadId"]}
        s3.abort_multipart_upload(Bucket="target-bucket", **place)
    s3.create_multipart_upload(Bucket="target-bucket", Key="out/unfinished")
    (tmp_path / "files").mkdir(exist_ok=True)
    (tmp_path / "files/f.txt").write_text("f")


def build_step(name: str, aws: sandbox.Sandbox, tmp_path: Path) -> dict[str, Any]:
    """Returns a step of STEPS with the folder, version and moment of this test."""
    kept = aws.client("s3", ACCOUNT).head_object(Bucket="kept-bucket", Key="in/a.txt")
    moment = (kept["LastModified"] + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    values = {"{tmp}": str(tmp_path), "{version}": kept["VersionId"], "{now}": moment}
    text = json.dumps(STEPS[name])
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    step: dict[str, Any] = json.loads(text)
    return step


def allow(aws: sandbox.Sandbox, role: str, permissions: Sequence[Permission]) -> None:
    iam = aws.client("iam", ACCOUNT)
    name = role.rpartition("/")[2]
    statements = [
        {
            "Effect": "Allow",
            "Action": each.action,
            "Resource": each.resource,
            **(
                {
                    "Condition": {
                        operator: {key: list(values)} for operator, key, values in each.condition
                    }
                }
                if each.condition
                else {}
            ),
        }
        for each in permissions
    ]
    none = [{"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}]
    iam.put_role_policy(
        RoleName=name,
        PolicyName="exact",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements or none}),
    )


def run(aws: sandbox.Sandbox, spec: Path) -> RunResult:
    return api.run(api.load(spec), identity=identity_of(aws))


def test_every_action_on_objects_has_a_step_here() -> None:
    on_objects = {name for name in registry() if name.startswith("s3.")}
    assert {step["action"] for step in STEPS.values()} == on_objects


@pytest.mark.parametrize("name", STEPS)
def test_declared_permissions_suffice_and_each_is_needed(
    name: str, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    step = {
        "id": "it",
        "role": READER,
        **build_step(name, aws, tmp_path),
    }
    if "source_role" in step:
        del step["role"]
    spec = tmp_path / "job.yaml"
    spec.write_text("version: 1\nname: t\nsteps:\n  - " + json.dumps(step) + "\n")
    (planned,) = api.plan(api.load(spec)).steps
    by_role: dict[str, list[Permission]] = {READER: [], WRITER: []}
    for field, needed in planned.permissions.items():
        by_role[planned.step.roles[field].arn] += [
            each for each in needed if each not in by_role[planned.step.roles[field].arn]
        ]

    def run_without(without: Any = None) -> str:
        prepare(aws, tmp_path)
        for role, permissions in by_role.items():
            allow(aws, role, [each for each in permissions if each is not without])
        result = run(aws, spec)
        return (
            result.steps[0].status if result.steps[0].error is None else result.steps[0].error.type
        )

    assert run_without() == "succeeded"
    for permission in [each for permissions in by_role.values() for each in permissions]:
        bucket = permission.resource.partition(":::")[2].partition("/")[0]
        of_versions = (
            bucket == "kept-bucket"
            and "Version" in permission.action
            and permission.action not in VERSIONS_NOT_ENFORCED
        )
        seldom = not of_versions and {
            (name, permission.action),
            ("*", permission.action),
            (name, f"{permission.action} s3://{bucket}"),
        } & set(NEEDED_AT_TIMES)
        if permission.action not in NOT_ENFORCED and not seldom:
            assert run_without(permission) == "AccessDenied", permission


def test_permissions_on_listed_objects_are_those_of_their_prefix(tmp_path: Path) -> None:
    spec = tmp_path / "job.yaml"
    spec.write_text(
        "version: 1\nname: t\nsteps:\n"
        f"  - {{id: find, action: s3.list, role: '{READER}', source: s3://source-bucket/in/}}\n"
        f"  - {{id: copy, action: s3.copy, role: '{READER}', "
        "objects: '${{ steps.find.objects }}', target: s3://target-bucket/out/}\n"
        f"  - {{id: drop, action: s3.delete, role: '{READER}', "
        "objects: '${{ steps.copy.objects }}', max_delete: 3}\n"
    )
    _, copy, drop = api.plan(api.load(spec)).steps
    assert ("s3:GetObject", "arn:aws:s3:::source-bucket/in/*") in [
        (each.action, each.resource) for each in copy.permissions["source_role"]
    ]
    # a copy's objects name their versions, where the target's bucket keeps them
    assert [(each.action, each.resource) for each in drop.permissions["role"]] == [
        ("s3:DeleteObject", "arn:aws:s3:::target-bucket/out/*"),
        ("s3:DeleteObjectVersion", "arn:aws:s3:::target-bucket/out/*"),
    ]
