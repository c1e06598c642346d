"""The S3 actions on the embedded AWS with IAM enforced: effects, and no data lost on refusal."""

from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from tests.conftest import identity_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.model import RunResult, StepResult

HERE, THERE = "111122223333", "444455556666"
WORLD = f"""
version: 1
job_role: arn:aws:iam::{HERE}:role/job
roles:
  - arn: arn:aws:iam::{HERE}:role/job
    permissions: [{{Effect: Allow, Action: ["s3:*", "sts:AssumeRole"], Resource: "*"}}]
  - arn: arn:aws:iam::{THERE}:role/other
    trust: [{{Effect: Allow, Principal: {{AWS: "arn:aws:iam::{HERE}:role/job"}},
            Action: sts:AssumeRole}}]
    permissions: [{{Effect: Allow, Action: "s3:*",
                  Resource: ["arn:aws:s3:::theirs", "arn:aws:s3:::theirs/*"]}}]
buckets:
  - {{name: ours, account: "{HERE}"}}
  - {{name: ours-too, account: "{HERE}"}}
  - {{name: theirs, account: "{THERE}"}}
"""
OTHER = f"arn:aws:iam::{THERE}:role/other"


@pytest.fixture(autouse=True)
def _empty(aws: sandbox.Sandbox) -> None:
    for bucket, account in (("ours", HERE), ("ours-too", HERE), ("theirs", THERE)):
        s3 = aws.client("s3", account)
        told = s3.list_object_versions(Bucket=bucket)
        to_delete = [
            {"Key": each["Key"], "VersionId": each["VersionId"]}
            for each in (*told.get("Versions", ()), *told.get("DeleteMarkers", ()))
        ]
        if to_delete:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": to_delete})


@pytest.fixture(params=["fast", pytest.param("boto3", marks=pytest.mark.slow)])
def step(
    request: pytest.FixtureRequest, aws: sandbox.Sandbox, tmp_path: Path
) -> Callable[..., StepResult]:
    """Run one step and give its result."""

    def run(action: str, role: str = "job", *, before: str = "", **fields: Any) -> StepResult:
        return steps(
            before + json.dumps({"id": "it", "action": action, "role": role, **fields})
        ).steps[-1]

    def steps(text: str) -> RunResult:
        path = tmp_path / "job.yaml"
        lines = "\n".join(f"  - {line}" for line in text.splitlines())
        path.write_text(
            f"version: 1\nname: t\nengine: {request.param}\nmax_parallel: 1\nsteps:\n{lines}\n"
        )
        return api.run(api.load(path), identity=identity_of(aws))

    run.steps = steps  # type: ignore[attr-defined]
    return run


@pytest.fixture
def put(aws: sandbox.Sandbox) -> Callable[..., None]:
    def store(key: str, text: Any = "x", bucket: str = "ours", **options: Any) -> None:
        account = THERE if bucket == "theirs" else HERE
        aws.client("s3", account).put_object(
            Bucket=bucket,
            Key=key,
            Body=text if isinstance(text, bytes) else text.encode(),
            **options,
        )

    return store


def keys(aws: sandbox.Sandbox, bucket: str = "ours") -> list[str]:
    s3 = aws.client("s3", THERE if bucket == "theirs" else HERE)
    return [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


def body(aws: sandbox.Sandbox, key: str, bucket: str = "ours") -> bytes:
    return bytes(
        aws.client("s3", THERE if bucket == "theirs" else HERE)
        .get_object(Bucket=bucket, Key=key)["Body"]
        .read()
    )


def read_tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def error(result: StepResult) -> tuple[str, str]:
    assert result.error is not None, result
    return result.error.type, result.error.message


STRANGE = [
    "a b+c%20.txt",
    "ünï/çödé.txt",
    "new\nline",
    "back\\slash",
    "q?x=1&y#z",
    "'\"<>&.txt",
    "...dots",
    "~tilde",
    "emoji-\U0001f600",
]


# list


def test_list_filters_sorts_and_limits(step: Any, put: Any) -> None:
    for key, size in (
        ("in/a.csv", 3),
        ("in/b.csv", 1),
        ("in/deep/c.csv", 5),
        ("in/d.txt", 2),
        ("in/empty.csv", 0),
    ):
        put(key, "x" * size)
    found = step(
        "s3.list",
        source="s3://ours/in/",
        include=["**/*.csv"],
        min_size="1B",
        sort="size",
        descending=True,
    )
    assert [info.key for info in found.outputs["objects"]] == [
        "in/deep/c.csv",
        "in/a.csv",
        "in/b.csv",
    ]
    assert (found.outputs["count"], found.outputs["bytes"]) == (3, 9)
    assert [
        info.key for info in step("s3.list", source="s3://ours/in/", limit=2).outputs["objects"]
    ] == ["in/a.csv", "in/b.csv"]
    top = step("s3.list", source="s3://ours/in/", limit=1, sort="size", descending=True)
    assert [info.key for info in top.outputs["objects"]] == ["in/deep/c.csv"]
    flat = step("s3.list", source="s3://ours/in/", recursive=False, max_size="2B")
    assert [info.key for info in flat.outputs["objects"]] == [
        "in/b.csv",
        "in/d.txt",
        "in/empty.csv",
    ]
    assert flat.outputs["folders"] == ["s3://ours/in/deep/"]
    assert error(step("s3.list", source="s3://ours/in/", min_age="1h"))[0] == "EmptySource"
    assert step("s3.list", source="s3://ours/in/", max_age="1h").outputs["count"] == 5
    assert error(step("s3.list", source="s3://nowhere-at-all/in/")) == (
        "NoSuchBucket",
        "there is no bucket 'nowhere-at-all'",
    )


def test_keys_of_any_characters_go_there_and_back(
    step: Any, put: Any, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    for key in STRANGE:
        put(f"in/{key}", key)
    assert step("s3.download", source="s3://ours/in/", target=f"{tmp_path}/out/").outputs[
        "count"
    ] == len(STRANGE)
    assert {
        path.relative_to(tmp_path / "out").as_posix()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    } == set(STRANGE)
    assert step("s3.upload", source=f"{tmp_path}/out/", target="s3://ours/back/").outputs[
        "count"
    ] == len(STRANGE)
    assert step("s3.copy", source="s3://ours/back/", target="s3://ours-too/copy/").outputs[
        "count"
    ] == len(STRANGE)
    assert sorted(keys(aws, "ours-too")) == sorted(f"copy/{key}" for key in STRANGE)
    assert body(aws, "copy/new\nline", "ours-too") == b"new\nline"
    # the emulator's '*' in a resource does not match a new line
    relay = {"source": "s3://ours-too/copy/", "target": "s3://theirs/", "exclude": ["new\nline"]}
    relayed = step("s3.copy", None, **relay, source_role="job", target_role=OTHER)
    assert relayed.outputs["count"] == len(STRANGE) - 1
    assert sorted(keys(aws, "theirs")) == sorted(set(STRANGE) - {"new\nline"})
    assert step("s3.delete", source="s3://ours/back/", max_delete=100).outputs["count"] == len(
        STRANGE
    )
    assert sorted(keys(aws)) == sorted(f"in/{key}" for key in STRANGE)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_inventory_file(form: str, step: Any, put: Any, tmp_path: Path) -> None:
    put("in/a,b.txt", "abc")
    assert (
        step("s3.list", source="s3://ours/in/", inventory=f"{tmp_path}/list.{form}").status
        == "succeeded"
    )
    text = (tmp_path / f"list.{form}").read_text()
    assert ("s3://ours/in/a,b.txt" in text, '"size": 3' in text or ",3," in text) == (True, True)


def test_versions(step: Any, put: Any, aws: sandbox.Sandbox, tmp_path: Path) -> None:
    s3 = aws.client("s3", HERE)
    s3.put_bucket_versioning(Bucket="ours-too", VersioningConfiguration={"Status": "Enabled"})
    for text in ("one", "two"):
        put("v/a.txt", text, "ours-too")
    s3.delete_object(Bucket="ours-too", Key="v/a.txt")
    found = step("s3.list", source="s3://ours-too/v/", versions=True)
    infos = list(found.outputs["objects"])
    assert (len(infos), sum(info.deleted for info in infos)) == (3, 1)
    oldest = min(
        (info for info in infos if not info.deleted),
        key=lambda info: (info.modified, info.size, info.etag),
    )
    fetched = step(
        "s3.download",
        source="s3://ours-too/v/a.txt",
        version=oldest.version,
        target=f"{tmp_path}/old.txt",
    )
    assert fetched.status == "succeeded"
    assert (tmp_path / "old.txt").read_text() in ("one", "two")
    assert (
        step("s3.read", source="s3://ours-too/v/a.txt", version=oldest.version).outputs["text"]
        == (tmp_path / "old.txt").read_text()
    )
    assert (
        step("s3.delete", source="s3://ours-too/v/", versions=True, max_delete=10).outputs["count"]
        == 3
    )
    assert not s3.list_object_versions(Bucket="ours-too").get("Versions")
    s3.put_bucket_versioning(Bucket="ours-too", VersioningConfiguration={"Status": "Suspended"})


@pytest.mark.parametrize(
    "meant",
    [
        {"source": "s3://ours-too/v/a.txt"},
        {"objects": ["s3://ours-too/v/a.txt"]},
        {"source": "s3://ours-too/v/"},
    ],
)
def test_a_deleted_object_leaves_the_versions_that_its_bucket_keeps(
    meant: Any, step: Any, put: Any, aws: sandbox.Sandbox
) -> None:
    s3 = aws.client("s3", HERE)
    s3.put_bucket_versioning(Bucket="ours-too", VersioningConfiguration={"Status": "Enabled"})
    put("v/a.txt", "one", "ours-too")
    assert step("s3.delete", **meant, max_delete=1).outputs["count"] == 1
    told = s3.list_object_versions(Bucket="ours-too")
    assert (len(told["Versions"]), len(told["DeleteMarkers"])) == (1, 1)
    s3.put_bucket_versioning(Bucket="ours-too", VersioningConfiguration={"Status": "Suspended"})


# download


def test_what_a_file_that_is_there_means(step: Any, put: Any, tmp_path: Path) -> None:
    put("in/same.txt", "same")
    put("in/other.txt", "new content")
    out = tmp_path / "out"

    def prepare() -> None:
        out.mkdir(exist_ok=True)
        (out / "same.txt").write_text("same")
        (out / "other.txt").write_text("old content")

    def fetch(**fields: Any) -> tuple[int, int, str]:
        prepare()
        result = step("s3.download", source="s3://ours/in/", target=f"{out}/", **fields)
        return (
            result.outputs.get("count", -1),
            result.outputs.get("skipped", -1),
            (out / "other.txt").read_text(),
        )

    assert fetch() == (2, 0, "new content")
    assert fetch(if_exists="skip") == (0, 2, "old content")
    assert fetch(if_exists="skip_same") == (1, 1, "new content")
    assert fetch(if_exists="skip_same", compare="etag") == (1, 1, "new content")
    assert fetch(if_exists="skip_same", compare="size") == (0, 2, "old content")
    assert fetch(if_exists="skip_same", compare="mtime") == (0, 2, "old content")
    assert fetch(if_exists="fail")[2] == "old content"
    assert fetch(if_exists="fail_different")[2] == "old content"
    prepare()
    for path in out.iterdir():
        os.utime(path, (0, 0))
    older = step(
        "s3.download",
        source="s3://ours/in/",
        target=f"{out}/",
        if_exists="skip_same",
        compare="size_mtime",
    )
    assert older.outputs["count"] == 2, "files older than the objects are fetched"


@pytest.mark.parametrize("action", ["s3.copy", "s3.download", "s3.upload"])
def test_what_differs_fails_and_the_rest_is_done(
    action: str, step: Any, put: Any, tmp_path: Path, aws: sandbox.Sandbox
) -> None:
    for folder in ("from", "to"):
        (tmp_path / folder).mkdir()
    for name, there in {"same": "same", "other": "older", "new": None}.items():
        put(f"im/{name}", name)
        (tmp_path / "from" / name).write_text(name)
        if there:
            put(f"im-to/{name}", there)
            (tmp_path / "to" / name).write_text(there)
    source = f"{tmp_path}/from/" if action == "s3.upload" else "s3://ours/im/"
    target = f"{tmp_path}/to/" if action == "s3.download" else "s3://ours/im-to/"
    found = step(action, source=source, target=target, if_exists="fail_different", max_failures=1)
    assert (found.status, found.outputs["count"], found.outputs["skipped"]) == ("warning", 1, 1)
    s3 = aws.client("s3", HERE)

    def read(name: str) -> bytes:
        if action == "s3.download":
            return (tmp_path / "to" / name).read_bytes()
        return bytes(s3.get_object(Bucket="ours", Key=f"im-to/{name}")["Body"].read())

    assert [read(each) for each in ("same", "other", "new")] == [b"same", b"older", b"new"]
    assert (
        "already exists and differs"
        in error(step(action, source=source, target=target, if_exists="fail_different"))[1]
    )


def test_extra_files_are_deleted_within_bounds_only(step: Any, put: Any, tmp_path: Path) -> None:
    put("in/a.txt", "a")
    out = tmp_path / "out"
    (out / "deep").mkdir(parents=True)
    for name in ("x.txt", "deep/y.txt", "keep.log"):
        (out / name).write_text("extra")
    fields = {
        "source": "s3://ours/in/",
        "target": f"{out}/",
        "include": ["**/*.txt"],
        "delete_extra": True,
    }
    assert error(step("s3.download", **fields, max_delete=1)) == (
        "MaxDelete",
        f"2 files below {out} would be deleted, but 'max_delete' is 1; nothing was deleted",
    )
    assert sorted(read_tree(out)) == ["deep/y.txt", "keep.log", "x.txt"]
    empty = step(
        "s3.download", **{**fields, "source": "s3://ours/none/"}, max_delete=9, on_empty="ok"
    )
    assert empty.status == "succeeded"
    assert sorted(read_tree(out)) == ["deep/y.txt", "keep.log", "x.txt"], (
        "an empty listing deletes nothing"
    )
    assert step("s3.download", **fields, max_delete=2).outputs["deleted"] == 2
    assert sorted(read_tree(out)) == ["a.txt", "keep.log"], "what the globs leave out stays"


def test_unpacking_and_times(step: Any, put: Any, tmp_path: Path) -> None:
    put("in/a.csv.gz", gzip.compress(b"packed"))
    put("in/plain.txt", "plain")
    assert (
        step(
            "s3.download",
            source="s3://ours/in/",
            target=f"{tmp_path}/o/",
            decompress="gzip",
            keep_times=True,
        ).outputs["count"]
        == 2
    )
    assert read_tree(tmp_path / "o") == {"a.csv": "packed", "plain.txt": "plain"}
    assert abs((tmp_path / "o/plain.txt").stat().st_mtime - time.time()) < 60
    put("in/broken.gz", "not gzip")
    broken = step(
        "s3.download", source="s3://ours/in/broken.gz", target=f"{tmp_path}/o/", decompress="gzip"
    )
    assert error(broken)[0] == "NotGzip"
    assert sorted(os.listdir(tmp_path / "o")) == ["a.csv", "plain.txt"]


def test_a_large_object_goes_in_ranges_and_parts(
    step: Any, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    data = os.urandom(1 << 20) * 40 + b"end"
    (tmp_path / "large.bin").write_bytes(data)
    assert (
        step(
            "s3.upload",
            source=f"{tmp_path}/large.bin",
            target="s3://ours/large.bin",
            tags={"a": "b c"},
            metadata={"m": "1"},
        ).status
        == "succeeded"
    )
    assert (
        aws.client("s3", HERE).head_object(Bucket="ours", Key="large.bin")["ETag"].endswith('-3"')
    )
    assert (
        step("s3.download", source="s3://ours/large.bin", target=f"{tmp_path}/back.bin").status
        == "succeeded"
    )
    assert (tmp_path / "back.bin").read_bytes() == data
    again = step(
        "s3.download",
        source="s3://ours/large.bin",
        target=f"{tmp_path}/back.bin",
        if_exists="skip_same",
    )
    assert again.outputs["skipped"] == 1, "an ETag of parts is held against the file's own parts"
    assert (
        step(
            "s3.upload",
            source=f"{tmp_path}/large.bin",
            target="s3://ours/large.bin",
            if_exists="skip_same",
        ).outputs["skipped"]
        == 1
    )
    copied = step(
        "s3.copy",
        source="s3://ours/large.bin",
        target="s3://ours-too/copy.bin",
        multipart_above="10MiB",
        part_size="8MiB",
    )
    assert copied.status == "succeeded", copied.error
    told = aws.client("s3", HERE).head_object(Bucket="ours-too", Key="copy.bin")
    assert (told["ETag"].endswith('-6"'), told["Metadata"]) == (True, {"m": "1"})
    assert body(aws, "copy.bin", "ours-too") == data
    relayed = step(
        "s3.copy",
        None,
        source="s3://ours/large.bin",
        target="s3://theirs/l.bin",
        source_role="job",
        target_role=OTHER,
    )
    assert relayed.status == "succeeded", relayed.error
    assert body(aws, "l.bin", "theirs") == data
    assert aws.client("s3", THERE).head_object(Bucket="theirs", Key="l.bin")["Metadata"] == {
        "m": "1"
    }


def test_keys_cannot_leave_the_folder_or_share_a_file(
    step: Any, put: Any, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "link").symlink_to(tmp_path)
    long = "n" * 256
    for key in (
        "in/ok.txt",
        "in/../up.txt",
        "in//abs.txt",
        "in/link/through.txt",
        f"in/{long}",
        "in/a",
        "in/a/b",
        "in/folder/",
    ):
        put(key, "" if key.endswith("/") else "x")
    result = step("s3.download", source="s3://ours/in/", target=f"{out}/", max_failures="100%")
    assert result.status == "warning"
    files = {
        path.relative_to(out).as_posix()
        for path in out.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    assert files - {"a", "a/b"} == {"ok.txt"}
    assert len(files) == 2, "of a file and a folder of one name, one can be there"
    assert not (tmp_path / "through.txt").exists()
    assert not (tmp_path / "up.txt").exists()
    manifest = [
        json.loads(line)
        for line in Path(result.error.hint.partition(" has a line")[0]).read_text().splitlines()
    ]
    assert sum(line["status"] == "failed" for line in manifest) == 5
    put("in2/x/same.txt")
    put("in2/y/same.txt")
    twins = step(
        "s3.download",
        objects=["s3://ours/in2/x/same.txt", "s3://ours/in2/y/same.txt"],
        target=f"{tmp_path}/twins/",
    )
    assert error(twins)[0] == "SameFile"


# upload


def test_upload_gives_what_was_asked_for(step: Any, aws: sandbox.Sandbox, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2")
    completed = step(
        "s3.upload",
        source=f"{tmp_path}/a.csv",
        target="s3://ours/a.csv",
        metadata={"k": "v"},
        tags={"t": "a+b @=/c"},
        cache_control="no-cache",
        storage_class="STANDARD_IA",
        checksum="SHA256",
        encryption={"type": "AES256"},
        acl="bucket-owner-full-control",
        expected_bucket_owner=HERE,
    )
    assert completed.status == "succeeded", completed.error
    told = aws.client("s3", HERE).head_object(Bucket="ours", Key="a.csv", ChecksumMode="ENABLED")
    assert (told["ContentType"], told["CacheControl"], told["Metadata"], told["StorageClass"]) == (
        "text/csv",
        "no-cache",
        {"k": "v"},
        "STANDARD_IA",
    )
    assert told["ServerSideEncryption"] == "AES256"
    assert told["ChecksumSHA256"]
    assert aws.client("s3", HERE).get_object_tagging(Bucket="ours", Key="a.csv")["TagSet"] == [
        {"Key": "t", "Value": "a+b @=/c"}
    ]


def test_upload_never_overwrites_where_that_is_said(
    step: Any, put: Any, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    put("t/a.txt", "theirs")
    (tmp_path / "s").mkdir()
    (tmp_path / "s/a.txt").write_text("mine")
    (tmp_path / "s/b.txt").write_text("b")
    for fields in ({"if_exists": "fail"}, {"if_none_match": True}):
        kind, message = error(
            step(
                "s3.upload",
                source=f"{tmp_path}/s/",
                target="s3://ours/t/",
                include=["a.txt"],
                **fields,
            )
        )
        assert (kind, message) == (
            "AlreadyThere",
            "s3://ours/t/a.txt: already exists, or is not the expected object",
        )
    assert body(aws, "t/a.txt") == b"theirs"
    skipped = step("s3.upload", source=f"{tmp_path}/s/", target="s3://ours/t/", if_exists="skip")
    assert (skipped.outputs["count"], skipped.outputs["skipped"], body(aws, "t/a.txt")) == (
        1,
        1,
        b"theirs",
    )
    same = step("s3.upload", source=f"{tmp_path}/s/", target="s3://ours/t/", if_exists="skip_same")
    assert (same.outputs["count"], same.outputs["skipped"], body(aws, "t/a.txt")) == (1, 1, b"mine")


def test_upload_deletes_extra_objects_within_bounds_only(
    step: Any, put: Any, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    for key in ("t/old1", "t/old2", "elsewhere"):
        put(key)
    (tmp_path / "s").mkdir()
    fields = {"source": f"{tmp_path}/s/", "target": "s3://ours/t/", "delete_extra": True}
    assert step("s3.upload", **fields, max_delete=5, on_empty="ok").status == "succeeded"
    assert len(keys(aws)) == 3, "an empty source deletes nothing"
    (tmp_path / "s/new").write_text("n")
    assert error(step("s3.upload", **fields, max_delete=1))[0] == "MaxDelete"
    assert keys(aws) == ["elsewhere", "t/old1", "t/old2"]
    assert step("s3.upload", **fields, max_delete=2).outputs["deleted"] == 2
    assert keys(aws) == ["elsewhere", "t/new"]


def test_links_changing_files_and_twins(step: Any, aws: sandbox.Sandbox, tmp_path: Path) -> None:
    source = tmp_path / "s"
    (source / "d").mkdir(parents=True)
    (source / "d/f.txt").write_text("f")
    (source / "link").symlink_to(source / "d/f.txt")
    assert step("s3.upload", source=f"{source}/", target="s3://ours/follow/").outputs["count"] == 2
    assert (
        step("s3.upload", source=f"{source}/", target="s3://ours/skip/", symlinks="skip").outputs[
            "count"
        ]
        == 1
    )
    assert (
        "is a link"
        in error(
            step("s3.upload", source=f"{source}/", target="s3://ours/error/", symlinks="error")
        )[1]
    )
    (source / "d/loop").symlink_to(source)
    assert (
        "leads back" in error(step("s3.upload", source=f"{source}/", target="s3://ours/loop/"))[1]
    )
    (source / "d/loop").unlink()
    twins = step(
        "s3.upload",
        source=[f"{source}/d/f.txt", f"{source}/link", f"{source}/d/../d/f.txt"],
        target="s3://ours/twins/",
    )
    assert error(twins)[0] == "SameKey"
    assert not [key for key in keys(aws) if key.startswith("error/")]
    assert [key for key in keys(aws) if key.startswith("loop/")] == [
        "loop/d/f.txt",
        "loop/link",
    ]  # one file's failure


def test_nothing_to_upload_and_missing_files(step: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert (
        error(step("s3.upload", source=f"{tmp_path}/empty/", target="s3://ours/x/"))[0]
        == "EmptySource"
    )
    assert (
        "No such file"
        in error(step("s3.upload", source=f"{tmp_path}/none", target="s3://ours/x/"))[1]
    )


# copy


def test_copy_keeps_or_replaces_what_objects_have(
    step: Any, put: Any, aws: sandbox.Sandbox
) -> None:
    put(
        "in/a.txt",
        "a",
        ContentType="text/x",
        Metadata={"m": "1"},
        Tagging="t=1",
        CacheControl="no-store",
    )
    s3 = aws.client("s3", HERE)

    def told(key: str) -> tuple[Any, ...]:
        head = s3.head_object(Bucket="ours-too", Key=key)
        tags = s3.get_object_tagging(Bucket="ours-too", Key=key)["TagSet"]
        return (
            head["ContentType"],
            head["Metadata"],
            head.get("CacheControl"),
            [each["Value"] for each in tags],
        )

    assert (
        step("s3.copy", source="s3://ours/in/a.txt", target="s3://ours-too/kept").status
        == "succeeded"
    )
    assert told("kept") == ("text/x", {"m": "1"}, "no-store", ["1"])
    assert (
        step(
            "s3.copy",
            source="s3://ours/in/a.txt",
            target="s3://ours-too/replaced",
            metadata={"n": "2"},
            tags={"t": "2"},
        ).status
        == "succeeded"
    )
    assert told("replaced") == ("text/x", {"n": "2"}, "no-store", ["2"]), (
        "headers that the step does not speak of stay"
    )
    relayed = step(
        "s3.copy",
        None,
        source="s3://ours/in/a.txt",
        target="s3://theirs/relayed",
        source_role="job",
        target_role=OTHER,
    )
    assert relayed.status == "succeeded", relayed.error
    head = aws.client("s3", THERE).head_object(Bucket="theirs", Key="relayed")
    assert (head["ContentType"], head["Metadata"], head["CacheControl"]) == (
        "text/x",
        {"m": "1"},
        "no-store",
    )


def test_a_move_deletes_what_was_copied_alone(step: Any, put: Any, aws: sandbox.Sandbox) -> None:
    for number in range(5):
        put(f"in/{number}", str(number))
    moved = step("s3.copy", source="s3://ours/in/", target="s3://ours-too/out/", move=True)
    assert (moved.outputs["count"], keys(aws), len(keys(aws, "ours-too"))) == (5, [], 5)
    back = step(
        "s3.copy",
        None,
        source="s3://ours-too/out/",
        target="s3://theirs/in/",
        move=True,
        source_role="job",
        target_role=OTHER,
    )
    assert (back.outputs["count"], keys(aws, "ours-too"), len(keys(aws, "theirs"))) == (5, [], 5)
    put("again/a", "same")
    put("again/a", "same", "ours-too")
    put("again/b", "mine")
    put("again/b", "other", "ours-too")
    kept = step(
        "s3.copy",
        source="s3://ours/again/",
        target="s3://ours-too/again/",
        move=True,
        if_exists="skip",
    )
    assert (kept.outputs["skipped"], keys(aws)) == (2, ["again/a", "again/b"]), (
        "what was not compared is not deleted"
    )
    completed = step(
        "s3.copy",
        source="s3://ours/again/",
        target="s3://ours-too/again/",
        move=True,
        if_exists="skip_same",
    )
    assert (completed.outputs["skipped"], completed.outputs["count"], keys(aws)) == (1, 1, [])
    put("in/a")
    same = step("s3.copy", objects=["s3://ours/in/a"], target="s3://ours/in/", move=True)
    assert error(same)[0] == "MoveOntoItself"
    assert keys(aws) == ["in/a"]
    twins = step(
        "s3.copy", objects=["s3://ours/in/a", "s3://theirs/in/a"], target="s3://ours-too/x/"
    )
    assert twins.status == "failed"


def test_a_copy_skips_what_is_the_same(step: Any, put: Any, aws: sandbox.Sandbox) -> None:
    for number in range(40):
        put(f"in/{number:02}", str(number))
    assert (
        step("s3.copy", source="s3://ours/in/", target="s3://ours-too/out/").outputs["count"] == 40
    )
    put("in/07", "changed")
    again = step(
        "s3.copy", source="s3://ours/in/", target="s3://ours-too/out/", if_exists="skip_same"
    )
    assert (again.outputs["count"], again.outputs["skipped"], body(aws, "out/07", "ours-too")) == (
        1,
        39,
        b"changed",
    )
    put("in/99", "new")
    put("in/07", "changed again")
    skipped = step("s3.copy", source="s3://ours/in/", target="s3://ours-too/out/", if_exists="skip")
    assert (
        skipped.outputs["count"],
        skipped.outputs["skipped"],
        body(aws, "out/07", "ours-too"),
    ) == (1, 40, b"changed")
    fails = step(
        "s3.copy",
        None,
        source="s3://ours/in/",
        target="s3://theirs/out/",
        source_role="job",
        target_role=OTHER,
        if_exists="fail",
    )
    assert fails.outputs["count"] == 41
    fails = step(
        "s3.copy",
        None,
        source="s3://ours/in/00",
        target="s3://theirs/out/",
        source_role="job",
        target_role=OTHER,
        if_exists="fail",
    )
    assert error(fails)[0] == "AlreadyThere"


def test_outputs_of_a_copy_go_to_the_next_step(step: Any, put: Any, aws: sandbox.Sandbox) -> None:
    for number in range(3):
        put(f"in/{number}")
    result = step.steps(
        "{id: list, action: s3.list, role: job, source: s3://ours/in/}\n"
        "{id: copy, action: s3.copy, role: job, objects: '${{ steps.list.objects }}', "
        "target: s3://ours-too/out/}\n"
        "{id: tidy, action: s3.delete, role: job, objects: '${{ steps.list.objects }}', "
        "max_delete: 3}\n"
        "{id: drop, action: s3.delete, role: job, objects: '${{ steps.copy.objects }}', "
        "max_delete: 3}\n"
    )
    assert result.status == "succeeded", result.steps
    assert (keys(aws), keys(aws, "ours-too")) == ([], [])


# delete


def test_delete_is_bounded(step: Any, put: Any, aws: sandbox.Sandbox) -> None:
    for number in range(6):
        put(f"in/{number}.tmp" if number % 2 else f"in/{number}.csv")
    assert error(step("s3.delete", source="s3://ours/in/", max_delete=5)) == (
        "MaxDelete",
        "6 objects would be deleted, but 'max_delete' is 5; nothing was deleted",
    )
    assert len(keys(aws)) == 6
    assert (
        step("s3.delete", source="s3://ours/in/", include=["*.tmp"], max_delete=5).outputs["count"]
        == 3
    )
    assert error(step("s3.delete", source="s3://ours/none/", max_delete=5))[0] == "EmptySource"
    assert error(step("s3.delete", objects=["s3://ours/in/none"], max_delete=5))[0] == "NoSuchKey"
    assert (
        step("s3.delete", source="s3://ours/", allow_all=True, max_delete=5).outputs["count"] == 3
    )
    assert keys(aws) == []


def test_delete_goes_in_batches(step: Any, put: Any, aws: sandbox.Sandbox) -> None:
    s3 = aws.client("s3", HERE)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda number: s3.put_object(Bucket="ours", Key=f"in/{number}", Body=b""),
                range(1100),
            )
        )
    before = sum(
        "delete=" in str(each) or "DeleteObjects" in str(each) for each in aws.requests("s3")
    )
    completed = step(
        "s3.delete", source="s3://ours/in/", max_delete=2000, max_requests_per_second=1000
    )
    assert (completed.outputs["count"], keys(aws), before) == (1100, [], before)


# wait, read, write


def test_wait_until_objects_are_there(step: Any, put: Any) -> None:
    import threading

    threading.Timer(1.0, lambda: (put("w/a", "12345"), put("v/b", "12345"))).start()
    started_at = time.monotonic()
    completed = step(
        "s3.wait",
        source=["s3://ours/w/", "s3://ours/v/"],
        min_bytes="5B",
        interval=0.2,
        max_wait=20,
    )
    assert (completed.outputs["count"], completed.outputs["bytes"]) == (2, 10)
    assert 0.5 < time.monotonic() - started_at < 15
    late = step("s3.wait", source="s3://ours/w/", min_count=2, interval=0.1, max_wait=0.3)
    assert error(late) == (
        "WaitTimeout",
        "not complete after 0.3 s: s3://ours/w/ has 1 of 2 objects",
    )
    young = step("s3.wait", source="s3://ours/w/", min_age="1h", interval=0.1, max_wait=0.3)
    assert error(young)[0] == "WaitTimeout"
    assert step("s3.wait", source="s3://ours/w/a", max_wait=1).outputs["count"] == 1


def test_read_and_write(step: Any, put: Any, aws: sandbox.Sandbox) -> None:
    put("r/a.json", '{"n": [1, 2]}')
    put("r/b.txt", b"\xff\xfe")
    assert step("s3.read", source="s3://ours/r/a.json").outputs["json"] == {"n": [1, 2]}
    assert step("s3.read", source="s3://ours/r/a.json", format="text").outputs["json"] is None
    assert error(step("s3.read", source="s3://ours/r/b.txt"))[0] == "NotText"
    assert error(step("s3.read", source="s3://ours/r/a.json", max_bytes=3))[0] == "TooLarge"
    written = step("s3.write", target="s3://ours/w.txt", text="one", if_none_match=True)
    assert written.status == "succeeded"
    assert (
        error(step("s3.write", target="s3://ours/w.txt", text="two", if_none_match=True))[0]
        == "AlreadyThere"
    )
    assert (
        error(step("s3.write", target="s3://ours/w.txt", text="two", if_match="0" * 32))[0]
        == "AlreadyThere"
    )
    assert (
        step(
            "s3.write", target="s3://ours/w.txt", text="two", if_match=written.outputs["etag"]
        ).status
        == "succeeded"
    )
    assert body(aws, "w.txt") == b"two"


# many objects, some of which fail


def test_a_few_of_many_fail(step: Any, put: Any, aws: sandbox.Sandbox, tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for number in range(300):
        (source / f"{number:04}").write_text("x")
    for name in (b"bad\xff1", b"bad\xff2", b"bad\xff3"):
        (source / os.fsdecode(name)).write_text("x")
    failed = step("s3.upload", source=f"{source}/", target="s3://ours/many/")
    kind, message = error(failed)
    assert kind == "UnsafeKey"
    assert message.startswith("3 of 303 objects failed: ")
    assert message.count("the name is not UTF-8") == 3
    assert len(keys(aws)) == 300, "the others are done"
    warned = step("s3.upload", source=f"{source}/", target="s3://ours/many/", max_failures=3)
    assert (warned.status, warned.outputs["count"]) == ("warning", 300)
    assert (
        step("s3.upload", source=f"{source}/", target="s3://ours/many/", max_failures="1%").status
        == "warning"
    )
    assert (
        step("s3.upload", source=f"{source}/", target="s3://ours/many/", max_failures=2).status
        == "failed"
    )


def test_what_is_refused_every_time_is_given_up(
    step: Any, tmp_path: Path, aws: sandbox.Sandbox
) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for number in range(400):
        (source / f"{number:04}").write_text("x")
    before = len(aws.requests("s3"))
    refused = step("s3.upload", OTHER, source=f"{source}/", target="s3://ours/many/")
    kind, message = error(refused)
    assert (kind, "none succeeded, so no more were tried" in message) == ("AccessDenied", True)
    assert len(aws.requests("s3")) - before < 300


def test_bandwidth_and_requests_are_paced(step: Any, tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for number in range(20):
        (source / str(number)).write_text("x" * 10_000)
    started_at = time.monotonic()
    assert (
        step("s3.upload", source=f"{source}/", target="s3://ours/a/", bandwidth="200KB/s").status
        == "succeeded"
    )
    assert time.monotonic() - started_at > 0.7
    started_at = time.monotonic()
    assert (
        step(
            "s3.upload", source=f"{source}/", target="s3://ours/b/", max_requests_per_second=20
        ).status
        == "succeeded"
    )
    assert time.monotonic() - started_at > 0.7
