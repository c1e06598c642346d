"""``version``, ``as_of`` and ``backup``, in both engines, under exactly the derived permissions."""

from __future__ import annotations

import os
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.errors import SpecError
from tests.exact_roles import WORLD, Job, open_job

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner import sandbox

__all__ = ["WORLD"]


@pytest.fixture(params=["fast", pytest.param("boto3", marks=pytest.mark.slow)])
def job(request: pytest.FixtureRequest, aws: sandbox.Sandbox, tmp_path: Path) -> Job:
    return open_job(aws, tmp_path, str(request.param))


def body(job: Job, uri: str) -> str:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return str(job.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode())


def fill_history(job: Job) -> str:
    """Writes and deletes objects; returns a moment between the two halves of that."""
    for key, text in (("in/a", "old a"), ("in/sub/b", "old b"), ("in/gone", "gone")):
        job.put(f"s3://kept-bucket/{key}", text)
    job.put("s3://kept-bucket/in/deleted", "d")
    job.s3.delete_object(Bucket="kept-bucket", Key="in/deleted")
    time.sleep(1.1)
    moment = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    time.sleep(1.1)
    job.put("s3://kept-bucket/in/a", "new a")
    job.put("s3://kept-bucket/in/later", "later")
    job.s3.delete_object(Bucket="kept-bucket", Key="in/gone")
    return moment


def test_prefix_as_it_was(job: Job) -> None:
    moment = fill_history(job)
    source = {"source": "s3://kept-bucket/in/", "as_of": moment}
    listed = job.step("s3.list", role="reader", **source)
    assert listed.status == "succeeded", listed.error
    assert [info.key for info in listed.outputs["objects"]] == ["in/a", "in/gone", "in/sub/b"]
    # the embedded AWS has no tags of a version below a delete marker
    copied = job.step(
        "s3.copy", **source, target="s3://archive/", source_role="reader", target_role="writer",
        tags={"t": "1"},
    )  # fmt: skip
    assert copied.status == "succeeded", copied.error
    assert job.keys("archive") == ["a", "gone", "sub/b"]
    assert body(job, "s3://archive/a") == "old a"
    one_role = job.step("s3.copy", **source, target="s3://archive/one/", role="writer")
    assert one_role.status == "succeeded", one_role.error
    assert body(job, "s3://archive/one/gone") == "gone"
    loaded = job.step("s3.download", role="reader", **source, target=f"{job.folder}/out/")
    assert loaded.status == "succeeded", loaded.error
    assert sorted(os.listdir(job.folder / "out")) == ["a", "gone", "sub"]
    single = {**source, "source": "s3://kept-bucket/in/gone"}
    loaded = job.step("s3.download", role="reader", **single, target=f"{job.folder}/one")
    assert (job.folder / "one").read_text() == "gone", loaded.error


def test_bucket_without_versions_is_an_error(job: Job) -> None:
    job.put("s3://landing/in/a")
    source = {"source": "s3://landing/in/", "as_of": "2199-01-01"}
    result = job.step("s3.copy", role="writer", **source, target="s3://archive/")
    assert result.error.type == "NoVersions"
    assert job.keys("archive") == []
    past = {**source, "as_of": "2020-01-01T00:00:00+02:00"}
    message = job.step("s3.copy", role="writer", **past, target="s3://archive/").error.message
    assert "without a version, so what it was at 2019-12-31T22:00:00Z is not known" in message


def test_one_version_is_copied_and_deleted(job: Job) -> None:
    job.put("s3://kept-bucket/a", "old")
    old = job.s3.head_object(Bucket="kept-bucket", Key="a")["VersionId"]
    job.put("s3://kept-bucket/a", "new")
    source = {"source": "s3://kept-bucket/a", "version": old, "role": "writer"}
    copied = job.step("s3.copy", **source, target="s3://archive/a")
    assert copied.status == "succeeded", copied.error
    assert body(job, "s3://archive/a") == "old"
    more = "s3:DeleteObject"  # which the embedded AWS asks for, and S3 does not
    deleted = job.step("s3.delete", **source, max_delete=1, more=more)
    assert deleted.status == "succeeded", deleted.error
    [left] = job.s3.list_object_versions(Bucket="kept-bucket")["Versions"]
    assert left["VersionId"] != old


def test_deleting_a_delete_marker_brings_the_object_back(job: Job) -> None:
    job.put("s3://kept-bucket/a", "text")
    marker = job.s3.delete_object(Bucket="kept-bucket", Key="a")["VersionId"]
    source = {"source": "s3://kept-bucket/a", "version": marker, "role": "writer"}
    deleted = job.step("s3.delete", **source, max_delete=1, more="s3:DeleteObject")
    assert deleted.status == "succeeded", deleted.error
    assert body(job, "s3://kept-bucket/a") == "text"


@pytest.mark.parametrize(
    ("action", "fields", "message"),
    [
        ("s3.list", {"as_of": "yesterday"}, "must be a moment such as 2026-01-31T00:00:00Z"),
        ("s3.list", {"as_of": "2026-01-31T10:00:00"}, "add its time zone"),
        ("s3.list", {"as_of": "2026-01-31", "versions": True}, "cannot be combined"),
        ("s3.copy", {"version": "v", "target": "s3://archive/"}, "that is one object"),
        (
            "s3.copy",
            {"as_of": "2026-01-31", "move": True, "target": "s3://archive/"},
            "'move' cannot delete what 'as_of' names",
        ),
        ("s3.copy", {"target": "s3://archive/", "backup": "s3://archive/old/"}, "'backup' lies"),
        ("s3.copy", {"target": "s3://archive/x/", "backup": "s3://archive/"}, "'target' lies"),
        ("s3.copy", {"target": "s3://archive/x/", "backup": "s3://landing/b"}, "ends with '/'"),
        ("s3.delete", {"max_delete": 1, "backup": "s3://landing/in/b/"}, "'backup' lies inside"),
        (
            "s3.delete",
            {"max_delete": 1, "backup": "s3://archive/", "versions": True},
            "'backup' keeps objects",
        ),
    ],
    ids=range(10),
)
def test_fields_that_do_not_go_together(
    job: Job, action: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        job.load(action, role="writer", source="s3://landing/in/", **fields)
    assert message in str(caught.value)


def test_backup_of_what_a_copy_overwrites(job: Job) -> None:
    for key in ("in/a", "in/sub/b", "in/c"):
        job.put(f"s3://landing/{key}", f"new {key}")
    job.put("s3://archive/out/a", "old a")
    job.put("s3://archive/out/c", "new in/c")
    fields = {
        "source": "s3://landing/in/", "target": "s3://archive/out/", "if_exists": "skip_same",
        "backup": "s3://ops-bucket/kept/", "source_role": "reader", "target_role": "writer",
    }  # fmt: skip
    result = job.step("s3.copy", **fields)
    assert result.status == "succeeded", result.error
    assert (result.outputs["count"], result.outputs["skipped"]) == (2, 1)
    assert job.keys("ops-bucket") == ["kept/a"]
    assert body(job, "s3://ops-bucket/kept/a") == "old a"
    assert body(job, "s3://archive/out/a") == "new in/a"


@pytest.mark.parametrize("role", [{"role": "writer"}])
def test_object_whose_backup_fails_is_not_overwritten(job: Job, role: dict[str, str]) -> None:
    for key in "ab":
        job.put(f"s3://landing/in/{key}", f"new {key}")
        job.put(f"s3://archive/out/{key}", f"old {key}")
    job.put("s3://ops-bucket/kept/a", "another backup")
    result = job.step(
        "s3.copy", source="s3://landing/in/", target="s3://archive/out/",
        backup="s3://ops-bucket/kept/", **role,
    )  # fmt: skip
    assert "s3://archive/out/a is left as it is: the backup" in result.error.message
    assert body(job, "s3://archive/out/a") == "old a"
    assert body(job, "s3://archive/out/b") == "new b"
    assert body(job, "s3://ops-bucket/kept/a") == "another backup"
    assert body(job, "s3://ops-bucket/kept/b") == "old b"


def test_mirror_and_upload_keep_what_they_delete(job: Job) -> None:
    (job.folder / "files").mkdir()
    (job.folder / "files/a").write_text("new")
    job.put("s3://archive/out/a", "old")
    job.put("s3://archive/out/x/extra", "extra")
    fields = {"target": "s3://archive/out/", "delete_extra": True, "max_delete": 1}
    result = job.step(
        "s3.upload", source=f"{job.folder}/files/", backup="s3://ops-bucket/1/",
        role="writer", **fields,
    )  # fmt: skip
    assert result.status == "succeeded", result.error
    assert (job.keys("ops-bucket"), job.keys("archive")) == (["1/a", "1/x/extra"], ["out/a"])
    job.put("s3://landing/in/b", "b")
    result = job.step(
        "s3.copy", source="s3://landing/in/", backup="s3://ops-bucket/2/", role="writer", **fields
    )
    assert result.status == "succeeded", result.error
    assert job.keys("ops-bucket") == ["1/a", "1/x/extra", "2/a"]
    assert job.keys("archive") == ["out/b"]


def test_deletion_keeps_what_it_deletes(job: Job) -> None:
    for key in ("in/a", "in/sub/b"):
        job.put(f"s3://landing/{key}", key)
    job.put("s3://ops-bucket/kept/a", "another backup")
    fields = {"role": "writer", "max_delete": 9, "backup": "s3://ops-bucket/kept/"}
    result = job.step("s3.delete", source="s3://landing/in/", max_failures=1, **fields)
    assert result.status == "warning", result.error
    assert job.keys("landing") == ["in/a"]
    assert body(job, "s3://ops-bucket/kept/sub/b") == "in/sub/b"
    (job.folder / "list").write_text("in/a\n")
    objects = {"from": str(job.folder / "list"), "prefix": "s3://landing/"}
    listed = job.step("s3.delete", objects=objects, **fields)
    assert listed.status == "succeeded", listed.error
    assert job.keys("landing") == []
    assert "kept/in/a" in job.keys("ops-bucket")
    job.put("s3://landing/one", "one")
    named = job.step("s3.delete", source="s3://landing/one", **fields)
    assert named.status == "succeeded", named.error
    assert body(job, "s3://ops-bucket/kept/one") == "one"


def test_object_is_never_its_own_backup(job: Job) -> None:
    job.put("s3://landing/in/a", "only")
    (job.folder / "list").write_text("in/a\n")
    where = {"objects": {"from": str(job.folder / "list"), "prefix": "s3://landing/in/"}}
    fields = {**where, "role": "writer", "max_delete": 1, "backup": "s3://landing/in/"}
    result = job.step("s3.delete", **fields)
    assert "s3://landing/in/a is left as it is" in result.error.message
    assert body(job, "s3://landing/in/a") == "only"
    with pytest.raises(SpecError, match="is the folder of 'source'"):
        job.load(
            "s3.delete", source="s3://landing/in/a", role="writer", max_delete=1,
            backup="s3://landing/in/",
        )  # fmt: skip


def test_move_of_compressed_copies_deletes_what_was_copied(job: Job) -> None:
    job.put("s3://landing/in/a", "text" * 100)
    result = job.step(
        "s3.copy", source="s3://landing/in/", target="s3://archive/", move=True,
        source_role="reader", target_role="writer", compress="gzip",
    )  # fmt: skip
    assert result.status == "succeeded", result.error
    assert job.keys("landing") == []
    assert job.keys("archive") == ["a.gz"]
