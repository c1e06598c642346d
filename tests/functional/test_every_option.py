"""Every option of every S3 action is carried out, by both engines and on the boto3 of each runtime.

``tests/integration/test_boto_versions.py`` runs this file on the boto3 of each Glue runtime: an
option that needs a parameter younger than the runtime's boto3 fails there.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from rolerunner import api, sandbox
from rolerunner.actions import registry
from tests.conftest import identity_of

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/worker"
READER = f"arn:aws:iam::{ACCOUNT}:role/reader"
WORLD = f"""
version: 1
job_role: arn:aws:iam::{ACCOUNT}:role/job
roles:
  - arn: arn:aws:iam::{ACCOUNT}:role/job
    permissions: [{{Effect: Allow, Action: "sts:AssumeRole", Resource: "*"}}]
  - arn: {ROLE}
    trust:
      - Effect: Allow
        Principal: {{AWS: "arn:aws:iam::{ACCOUNT}:role/job"}}
        Action: "sts:AssumeRole"
    permissions: [{{Effect: Allow, Action: ["s3:*", "kms:*"], Resource: "*"}}]
  - arn: {READER}
    trust:
      - Effect: Allow
        Principal: {{AWS: "arn:aws:iam::{ACCOUNT}:role/job"}}
        Action: "sts:AssumeRole"
    permissions: [{{Effect: Allow, Action: ["s3:Get*", "s3:List*"], Resource: "*"}}]
buckets:
  - name: data-bucket
    account: "{ACCOUNT}"
    objects:
      - {{key: in/a.csv, text: "a,b"}}
      - {{key: in/sub/b.csv, text: "c,d"}}
      - {{key: large/a.csv, text: "a,b"}}
  - {{name: scratch-bucket, account: "{ACCOUNT}"}}
"""
KMS_KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
MIB = 1 << 20
LARGE = 17 * MIB
"""Bytes of an object that both engines move in parts."""

Options = list[dict[str, Any]]
"""Options that a step has; each step is one request more, so those that agree share a step."""


def _each(name: str, values: list[Any], **beside: Any) -> Options:
    return [{name: value, **beside} for value in values]


REQUESTS: Options = [{"request_payer": True, "expected_bucket_owner": ACCOUNT}]
PACING: Options = [
    {"max_failures": 1, "max_requests_per_second": 500, "bandwidth": "500MB/s"},
    {"max_failures": "1%"},
]
FILTERS: Options = [
    {
        "include": ["**/*.csv"],
        "exclude": ["**/*.tmp"],
        "min_size": "1B",
        "max_size": "5GB",
        "min_age": "0s",
        "max_age": "7d",
    },
    {"filters": [{"exclude": "**/*.tmp"}, {"include": "**/*.csv"}], "ignore_case": True},
]
STORED: Options = [
    {"encryption": {"type": "AES256"}, "checksum": "CRC32"},
    {"encryption": {"type": "aws:kms", "key": KMS_KEY, "bucket_key": True}, "checksum": "SHA1"},
    {
        "acl": "bucket-owner-full-control",
        "storage_class": "STANDARD_IA",
        "content_type": "text/csv",
        "cache_control": "max-age=60",
        "content_encoding": "identity",
        "content_disposition": "attachment; filename=a.csv",
        "content_language": "en",
        "expires": "2032-01-31",
        "website_redirect": "/new.html",
        "metadata": {"team": "orders"},
        "tags": {"team": "orders"},
        "checksum": "SHA256",
    },
]
IF_EXISTS = [
    *_each("if_exists", ["overwrite", "skip", "skip_same", "fail", "fail_different"]),
    *_each("compare", ["checksum", "etag", "size", "size_mtime", "mtime"], if_exists="skip_same"),
]
ON_EMPTY = _each("on_empty", ["error", "warn", "ok"])
BACKUP = {"backup": "s3://scratch-bucket/backup/", "backup_suffix": ".old"}
SIZE: Options = [{"max_transfer": "1GB"}]
OPTIONS: dict[str, Options] = {
    "s3.cleanup": [
        *REQUESTS, *PACING, *ON_EMPTY[1:], {"measure": True}, {"include": ["*"], "exclude": ["a"]},
        *FILTERS[1:],
        {"min_age": "7d"},
    ],
    "s3.concat": [
        *REQUESTS, *FILTERS, *STORED, *ON_EMPTY, {"separator": "-"}, {"if_none_match": True},
        {"expected_source_bucket_owner": ACCOUNT},
    ],
    "s3.copy": [
        *REQUESTS, *PACING, *FILTERS, *STORED, *IF_EXISTS, *ON_EMPTY, *SIZE,
        {"keep_times": True}, {"move": False, "expected_source_bucket_owner": ACCOUNT}, BACKUP,
        *_each("compress_as", ["suffix", "content_encoding"], compress="gzip", compress_level=1),
        {"multipart_above": "8MiB", "part_size": "8MiB", **STORED[2]},
    ],
    "s3.delete": [
        *REQUESTS, *PACING, *FILTERS, *ON_EMPTY, {"versions": True}, {"allow_all": False},
        {**BACKUP, "max_delete_size": "1GB"},
    ],
    "s3.download": [
        *REQUESTS, *PACING, *FILTERS, *IF_EXISTS, *ON_EMPTY, *SIZE,
        *_each("decompress", ["gzip", "zstd", "bz2", "xz", "auto"], max_bytes="1GB"),
        {"decompress": "auto", "max_ratio": 1000},
        {"keep_times": True},
    ],
    "s3.list": [
        *REQUESTS, *FILTERS, *ON_EMPTY, *_each("sort", ["modified", "size", "key"]),
        {"recursive": False}, {"versions": True}, {"sort": "size", "descending": True, "limit": 1},
    ],
    "s3.presign": [
        *REQUESTS, *FILTERS, *ON_EMPTY, {"method": "GET", "expires": "10m", "limit": 5},
        {"method": "PUT", "content_type": "text/csv", "encryption": {"type": "AES256"}},
        {"on_short_session": "warn", "expires": "1d"},
        {"response_headers": {"content_type": "text/csv", "cache_control": "no-store"}},
    ],
    "s3.pack": [
        *REQUESTS, *PACING, *FILTERS, *STORED, *ON_EMPTY,
        *_each("if_exists", ["overwrite", "skip", "skip_same", "fail"]),
        *_each("format", ["tar", "tar.gz", "tar.zst", "zip"]), {"level": 9},
        {"max_archive_size": "1MiB", "expected_source_bucket_owner": ACCOUNT},
    ],
    "s3.unpack": [
        *REQUESTS, *PACING, *FILTERS, *STORED, *ON_EMPTY,
        *_each("if_exists", ["overwrite", "skip", "skip_same", "fail"]),
        *_each("compare", ["checksum", "size"], if_exists="skip_same"),
        {"format": "tar.gz", "check_first": False, "max_bytes": "1GB", "max_ratio": 1000},
        {"special": "skip", "expected_source_bucket_owner": ACCOUNT},
    ],
    "s3.read": [*REQUESTS, {"format": "text", "max_bytes": 100}],
    "s3.restore": [
        *REQUESTS, *PACING, *FILTERS, *ON_EMPTY, {"tier": "Bulk", "days": 2},
        {"wait": True, "interval": "1s", "max_wait": "1m"},
    ],
    "s3.tag": [
        *REQUESTS, *PACING, *FILTERS, *ON_EMPTY, {"versions": True}, {"add": {"a": "b"}},
        {"remove": ["a"]}, {"set": {}},
    ],
    "s3.upload": [
        *REQUESTS, *PACING, *FILTERS, *STORED, *IF_EXISTS, *ON_EMPTY,
        *_each("symlinks", ["follow", "skip", "error"]), {"if_none_match": True}, BACKUP,
        *_each("compress_as", ["suffix", "content_encoding"], compress="zstd", compress_level=1),
        {"keep_times": True}, {"exclude_if_present": ".no-upload"}, *SIZE,
    ],
    "s3.verify": [
        *REQUESTS, *PACING, *FILTERS, *ON_EMPTY, {"compare": "size"}, {"read": True},
        {"on_difference": "warn"}, {"expected_source_bucket_owner": ACCOUNT},
    ],
    "s3.wait": [
        *REQUESTS, *FILTERS,
        {"min_count": 1, "min_bytes": "1B", "interval": "1s", "max_wait": "5s"},
        {"restored": True},
    ],
    "s3.write": [*REQUESTS, *STORED, {"if_none_match": True}],
}  # fmt: skip
ELSEWHERE = {
    "source", "objects", "target", "text", "json",  # each step names what it works on
    "distribute",  # tests/functional/test_distributed.py
    "inventory",  # tests/functional/test_sources.py
    "if_match",  # below: it needs the ETag of another step
    "as_of",  # tests/functional/test_past_objects.py: it needs a bucket with versions
    "version", "customer_key",  # every boto3 has their parameters
    "folder", "checksums", "write_checksums", "algorithm", "report", "symlinks",  # test_verify.py
    "name", "flatten",  # tests/functional/test_object_names.py: the requests are the same
    "delete_extra", "max_delete", "max_delete_size",  # test_delete_extra.py, test_size_limits.py
}  # fmt: skip


def test_no_option_is_left_out() -> None:
    for name, action in registry().items():
        if name.startswith("s3."):
            fields = {field.alias or key for key, field in action.model_fields.items()}
            tried = {option for options in OPTIONS[name] for option in options}
            assert fields - ELSEWHERE - tried == set(), name


_TAGGED = {"set", "add", "remove"}


def _describe_step(number: int, action: str, options: dict[str, Any], folder: Path) -> Any:
    # what is stored with an object differs between small and large ones; nothing else does
    place = "large" if "checksum" in options else "in"
    source, target = f"s3://data-bucket/{place}/", f"s3://scratch-bucket/out/{number}/"
    places: dict[str, dict[str, Any]] = {
        "s3.cleanup": {"source": source, "max_delete": 5},
        "s3.concat": {"source": source, "target": f"{target}whole"},
        "s3.copy": {"source": source, "target": target},
        "s3.delete": {"source": f"s3://scratch-bucket/gone/{number}/", "max_delete": 5},
        "s3.download": {"source": source, "target": f"{folder}/out/{number}/"},
        "s3.list": {"source": source},
        "s3.presign": {"source": "s3://data-bucket/in/a.csv"},
        "s3.pack": {"source": source, "target": f"{target}packed.tar.gz"},
        "s3.unpack": {"source": "s3://data-bucket/packed.tar.gz", "target": target},
        "s3.read": {"source": "s3://data-bucket/in/a.csv"},
        "s3.restore": {"source": source},
        "s3.tag": {"source": source, **({} if set(options) & _TAGGED else {"set": {"a": "b"}})},
        "s3.upload": {"source": f"{folder}/{place}/", "target": target},
        "s3.verify": {"source": source, "target": source},
        "s3.wait": {"source": source},
        "s3.write": {"target": f"{target}written", "text": "written"},
    }
    fields = {"role": "worker", **places[action], **options}
    return {"id": f"step_{number}", "action": action, **fields}


def _describe_steps(action: str, folder: Path) -> list[dict[str, Any]]:
    steps = [
        _describe_step(number, action, options, folder)
        for number, options in enumerate(OPTIONS[action])
    ]
    if action == "s3.write":
        condition = {"if_match": "${{ steps.step_0.etag }}"}
        again = _describe_step(0, action, condition, folder)
        steps.append({**again, "id": "again", "needs": ["step_0"]})
    if action in ("s3.concat", "s3.copy"):  # once more between two roles, where bytes are streamed
        relays = [
            {**step, "id": f"relay_{number}", "target": step["target"].replace("/out/", "/relay/")}
            for number, step in enumerate(steps)
        ]
        for step in relays:
            del step["role"]
            step.update(source_role="reader", target_role="worker")
        steps += relays
    return steps


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["fast", "boto3"])
@pytest.mark.parametrize("action", sorted(OPTIONS))
def test_each_option_is_carried_out(
    action: str, engine: str, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    s3 = aws.client("s3", ACCOUNT)
    s3.put_object(Bucket="data-bucket", Key="large/large.bin", Body=bytes(LARGE))
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "in/a.csv").write_text("a,b")
    (tmp_path / "in/sub/b.csv").write_text("c,d")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ("a.csv", "sub/b.csv"):
            tar.add(tmp_path / "in" / name, name)
    s3.put_object(Bucket="data-bucket", Key="packed.tar.gz", Body=packed.getvalue())
    (tmp_path / "large").mkdir()
    (tmp_path / "large/a.csv").write_text("a,b")
    (tmp_path / "large/large.bin").write_bytes(bytes(LARGE))
    steps = _describe_steps(action, tmp_path)
    if action == "s3.delete":
        for step in steps:
            key = step["source"].removeprefix("s3://scratch-bucket/") + "a.csv"
            s3.put_object(Bucket="scratch-bucket", Key=key, Body=b"x")
    result = _run(steps, engine, aws, tmp_path)
    described = {step["id"]: step for step in steps}
    assert not [
        (described[step.id], step.status, step.error)
        for step in result.steps
        if step.status != "succeeded"
    ]
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="scratch-bucket"):
        for each in page.get("Contents", ()):
            s3.delete_object(Bucket="scratch-bucket", Key=each["Key"])


def _run(steps: list[dict[str, Any]], engine: str, aws: sandbox.Sandbox, folder: Path) -> Any:
    spec = {
        "version": 1,
        "name": "options",
        "engine": engine,
        "on_failure": "finish",
        "roles": {"worker": ROLE, "reader": READER},
        "steps": steps,
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(spec))  # JSON is YAML
    return api.run(api.load(path), identity=identity_of(aws))
