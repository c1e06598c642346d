"""Steps on objects that a file lists, in both engines, each role with its derived permissions."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from rolerunner.errors import SpecError
from tests.exact_roles import WORLD, Job, open_job

if TYPE_CHECKING:
    from pathlib import Path


__all__ = ["WORLD"]


@pytest.fixture(params=["fast", pytest.param("boto3", marks=pytest.mark.slow)])
def job(request: pytest.FixtureRequest, aws: sandbox.Sandbox, tmp_path: Path) -> Job:
    return open_job(aws, tmp_path, str(request.param))


def test_copy_of_a_csv_list_under_three_roles(job: Job) -> None:
    for key in ("in/a.txt", "in/b c.txt", "in/sub/ü.txt", "in/left.txt"):
        job.put(f"s3://landing/{key}", key)
    job.put(
        "s3://ops-bucket/list.csv", 'when,key\r\n1,in/a.txt\r\n2,"in/b c.txt"\r\n3,in/sub/ü.txt\r\n'
    )
    objects = {
        "from": "s3://ops-bucket/list.csv", "role": "ops", "column": "key",
        "prefix": "s3://landing/in/",
    }  # fmt: skip
    result = job.step(
        "s3.copy", objects=objects, target="s3://archive/out/",
        source_role="reader", target_role="writer",
    )  # fmt: skip
    assert result.status == "succeeded", result
    assert result.outputs["count"] == 3
    assert job.keys("archive") == ["out/a.txt", "out/b c.txt", "out/sub/ü.txt"]


def test_text_list_of_uris_downloads_from_two_buckets(job: Job) -> None:
    job.put("s3://landing/in/a.txt", "a")
    job.put("s3://archive/deep/b.txt", "bb")
    listed = (
        b"\xef\xbb\xbfs3://landing/in/a.txt\r\n\r\ns3://archive/deep/b.txt\ns3://landing/in/a.txt"
    )
    job.put("s3://ops-bucket/list.txt.gz", gzip.compress(listed))
    result = job.step(
        "s3.download", objects={"from": "s3://ops-bucket/list.txt.gz", "role": "ops"},
        role="reader", target=f"{job.folder}/out/",
    )  # fmt: skip
    assert result.status == "succeeded", result
    assert sorted(os.listdir(job.folder / "out")) == ["a.txt", "b.txt"]
    assert result.outputs["bytes"] == 3


def test_local_list_needs_no_role_of_its_own(job: Job) -> None:
    job.put("s3://landing/in/a.txt")
    job.put("s3://landing/in/b.txt")
    (job.folder / "list.jsonl").write_text('{"k": "in/a.txt"}\n')
    objects = {"from": str(job.folder / "list.jsonl"), "column": "k", "prefix": "s3://landing/"}
    result = job.step("s3.delete", objects=objects, role="writer", max_delete=1)
    assert result.status == "succeeded", result
    assert job.keys("landing") == ["in/b.txt"]


def test_more_lines_than_max_delete_delete_nothing(job: Job) -> None:
    for key in "ab":
        job.put(f"s3://landing/{key}")
    (job.folder / "list").write_text("a\nb\n")
    objects = {"from": str(job.folder / "list"), "prefix": "s3://landing/"}
    result = job.step("s3.delete", objects=objects, role="writer", max_delete=1)
    assert (result.status, result.error.type) == ("failed", "MaxDelete")
    assert job.keys("landing") == ["a", "b"]


def test_deletion_in_a_bucket_with_versions_leaves_delete_markers(job: Job) -> None:
    job.put("s3://kept-bucket/a", "old")
    (job.folder / "list").write_text("a\n")
    objects = {"from": str(job.folder / "list"), "prefix": "s3://kept-bucket/"}
    result = job.step("s3.delete", objects=objects, role="writer", max_delete=1, min_size=1)
    assert result.status == "succeeded", result
    told = job.s3.list_object_versions(Bucket="kept-bucket")
    assert (len(told["Versions"]), len(told["DeleteMarkers"])) == (1, 1)


def test_move_of_listed_objects_deletes_only_those(job: Job) -> None:
    for key in "abc":
        job.put(f"s3://landing/{key}")
    (job.folder / "list").write_text("a\nc\n")
    objects = {"from": str(job.folder / "list"), "prefix": "s3://landing/"}
    result = job.step("s3.copy", objects=objects, role="writer", target="s3://archive/", move=True)
    assert result.status == "succeeded", result
    assert (job.keys("landing"), job.keys("archive")) == (["b"], ["a", "c"])


def test_wrong_list_does_nothing(job: Job) -> None:
    job.put("s3://landing/in/a")
    job.put("s3://ops-bucket/l.txt", "in/a\nplain\n")
    objects = {"from": "s3://ops-bucket/l.txt", "role": "ops", "prefix": "s3://landing/in/"}
    result = job.step("s3.delete", objects=objects, role="writer", max_delete=9)
    assert result.error.type == "BadList"
    assert "l.txt:2: s3://landing/plain is not below" in result.error.message
    assert job.keys("landing") == ["in/a"]


def test_wrong_lines_are_reported_together(job: Job) -> None:
    (job.folder / "list").write_text("a\n" + "s3://\n" * 9)
    objects = {"from": str(job.folder / "list"), "prefix": "s3://landing/"}
    message = job.step("s3.delete", objects=objects, role="writer", max_delete=9).error.message
    assert [f"list:{line}: " in message for line in (1, 2, 3, 4, 5)] == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_plain_key_without_a_prefix_has_no_bucket(job: Job) -> None:
    (job.folder / "list").write_text("s3://landing/a\nb\n")
    result = job.step(
        "s3.delete", objects={"from": str(job.folder / "list")}, role="writer", max_delete=9
    )
    assert "list:2: 'b' has no bucket" in result.error.message


def test_missing_listed_object_is_one_failure(job: Job) -> None:
    job.put("s3://landing/a")
    (job.folder / "list").write_text("a\nmissing\n")
    objects = {"from": str(job.folder / "list"), "prefix": "s3://landing/"}
    result = job.step(
        "s3.download", objects=objects, role="reader", target=f"{job.folder}/out/", max_failures=1
    )
    assert result.status == "warning", result
    assert os.listdir(job.folder / "out") == ["a"]


def test_list_in_a_pipe_is_refused(job: Job) -> None:
    os.mkfifo(job.folder / "list")
    objects = {"from": str(job.folder / "list"), "prefix": "s3://landing/"}
    result = job.step("s3.delete", objects=objects, role="writer", max_delete=9)
    assert "is a named pipe, which is not read" in result.error.message


def test_inventories_of_our_own_are_lists(job: Job) -> None:
    for key in ("in/a", "in/sub/b"):
        job.put(f"s3://landing/{key}", key)
    for suffix in ("jsonl", "csv"):
        path = job.folder / f"inventory.{suffix}"
        listed = job.step("s3.list", source="s3://landing/in/", role="reader", inventory=str(path))
        assert listed.status == "succeeded"
        result = job.step(
            "s3.copy", objects={"from": str(path), "prefix": "s3://landing/in/"},
            target=f"s3://archive/{suffix}/", source_role="reader", target_role="writer",
        )  # fmt: skip
        assert result.status == "succeeded", result
    assert job.keys("archive") == ["csv/a", "csv/sub/b", "jsonl/a", "jsonl/sub/b"]


def _inventory(
    job: Job, rows: list[str], schema: str, *, md5: str = "", folder: str = "inv/landing/all"
) -> dict[str, Any]:
    data = gzip.compress("\n".join(rows).encode())
    job.put(f"s3://ops-bucket/{folder}/data/1.csv.gz", data)
    file = {
        "key": f"{folder}/data/1.csv.gz",
        "size": len(data),
        "MD5checksum": md5 or hashlib.md5(data).hexdigest(),
    }
    manifest = {
        "sourceBucket": "landing", "destinationBucket": "arn:aws:s3:::ops-bucket",
        "version": "2016-11-30", "fileFormat": "CSV", "fileSchema": schema, "files": [file],
    }  # fmt: skip
    place = f"s3://ops-bucket/{folder}/2026-01-31T01-00Z/manifest.json"
    job.put(place, json.dumps(manifest))
    return {"from": place, "role": "ops", "prefix": "s3://landing/"}


def test_s3_inventory_of_current_objects(job: Job) -> None:
    etag = job.put("s3://landing/in/a b+c.txt", "abc")
    rows = [f'"landing","in/a+b%2Bc.txt","3","2026-01-30T10:00:00.000Z","{etag}","STANDARD"']
    objects = _inventory(job, rows, "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass")
    result = job.step(
        "s3.copy", objects=objects, target="s3://archive/",
        source_role="reader", target_role="writer",
    )  # fmt: skip
    assert result.status == "succeeded", result
    assert job.keys("archive") == ["in/a b+c.txt"]


def test_s3_inventory_of_versions(job: Job) -> None:
    schema = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, ETag"
    etags = [job.put("s3://kept-bucket/a", text) for text in ("old", "newer")]
    marker = job.s3.delete_object(Bucket="kept-bucket", Key="a")["VersionId"]
    job.put("s3://kept-bucket/b", "b")
    told = job.s3.list_object_versions(Bucket="kept-bucket")["Versions"]
    versions = {each["ETag"].strip('"'): each["VersionId"] for each in told}
    rows = [f'"kept-bucket","a","{marker}","true","true","",""']
    rows += [
        f'"kept-bucket","a","{versions[etag]}","false","false","{size}","{etag}"'
        for etag, size in zip(etags, (3, 5))
    ]
    b = job.s3.head_object(Bucket="kept-bucket", Key="b")
    rows += [f'"kept-bucket","b","{b["VersionId"]}","true","false","1","{b["ETag"][1:-1]}"']
    objects = {**_inventory(job, rows, schema), "prefix": "s3://kept-bucket/"}
    copied = job.step("s3.copy", objects=objects, target="s3://archive/", role="writer")
    assert (copied.status, job.keys("archive")) == ("succeeded", ["b"])
    all_of_them = {**objects, "versions": True}
    # the embedded AWS asks for s3:DeleteObject as well, which S3 does not
    deleted = job.step(
        "s3.delete", objects=all_of_them, role="writer", max_delete=4, more="s3:DeleteObject"
    )
    assert deleted.status == "succeeded", deleted.error
    assert deleted.outputs["count"] == 4
    left = job.s3.list_object_versions(Bucket="kept-bucket")
    assert (left.get("Versions"), left.get("DeleteMarkers")) == (None, None)


def test_s3_inventory_with_another_checksum_is_refused(job: Job) -> None:
    job.put("s3://landing/a")
    objects = _inventory(job, ['"landing","a"'], "Bucket, Key", md5="0" * 32)
    result = job.step("s3.delete", objects=objects, role="writer", max_delete=9)
    assert "checksum mismatch: the manifest has MD5 0000" in result.error.message
    assert job.keys("landing") == ["a"]


def test_inventory_file_outside_its_folder_is_refused(job: Job) -> None:
    objects = _inventory(job, ['"landing","a"'], "Bucket, Key")
    bucket, _, key = objects["from"].removeprefix("s3://").partition("/")
    text = job.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    job.put(objects["from"], text.replace("inv/landing/all/data/", "secret/"))
    result = job.step("s3.delete", objects=objects, role="writer", max_delete=9)
    assert "which is not in its folder 'data'" in result.error.message


def test_mistakes_of_the_field_have_places(job: Job) -> None:
    objects = {"from": "s3://ops-bucket/l.txt", "role": "opps", "column": "key", "x": 1}
    with pytest.raises(SpecError) as caught:
        job.load("s3.delete", objects=objects, role="writer", max_delete=9)
    text = str(caught.value)
    assert "unknown key 'x'" in text
    assert "there is no role 'opps'" in text
    with pytest.raises(SpecError, match="'column' is for CSV, JSON lines and Parquet"):
        job.load(
            "s3.delete", objects={"from": "s3://ops-bucket/l.txt", "column": "k"},
            role="writer", max_delete=9,
        )  # fmt: skip


def test_plan_has_the_permissions_of_the_lists_role(job: Job) -> None:
    objects = {"from": "s3://ops-bucket/l.txt", "role": "ops", "prefix": "s3://landing/in/"}
    plan = api.plan(job.load("s3.delete", objects=objects, role="writer", max_delete=9))
    [step] = plan.steps
    assert {
        name: [(each.action, each.resource) for each in permissions]
        for name, permissions in step.permissions.items()
    } == {
        "role": [("s3:DeleteObject", "arn:aws:s3:::landing/in/*")],
        "objects.role": [
            ("s3:ListBucket", "arn:aws:s3:::ops-bucket"),
            ("s3:GetObject", "arn:aws:s3:::ops-bucket/l.txt"),
        ],
    }
    assert step.notes == ()
    assert [str(role) for role in plan.roles] == ["writer", "ops"]


def test_function_gets_listed_keys(job: Job) -> None:
    (job.folder / "list").write_text("s3://landing/a\ns3://landing/b\n")
    (job.folder / "mine.py").write_text(
        "def count(context, objects):\n"
        "    assert objects[0]['size'] is None, objects\n"
        "    uris = [each['uri'] for each in objects]\n"
        "    return {'n': len(objects), 'uris': sum(each.startswith('s3://') for each in uris)}\n"
    )
    result = job.step(
        "python.call", function="mine.py:count", objects={"from": str(job.folder / "list")}
    )
    assert result.outputs == {"n": 2, "uris": 2}, result


def test_tags_of_listed_objects(job: Job) -> None:
    job.put("s3://landing/a")
    (job.folder / "list").write_text("a\n")
    objects = {"from": str(job.folder / "list"), "prefix": "s3://landing/"}
    result = job.step("s3.tag", objects=objects, role="writer", set={"t": "1"})
    assert result.status == "succeeded", result.error
    tags = job.s3.get_object_tagging(Bucket="landing", Key="a")["TagSet"]
    assert tags == [{"Key": "t", "Value": "1"}]
