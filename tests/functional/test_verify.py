"""``s3.verify`` finds what is missing, extra and different, and claims no more than is proved."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.actions.builtin.s3_verify import S3Verify
from tests import object_steps
from tests.object_steps import HERE, THERE, run_step, run_steps, survey_step

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.sandbox import Sandbox

WORLD = object_steps.WORLD
ENGINES = pytest.mark.parametrize("engine", ["fast", "boto3"])
TWO_ROLES = {"source_role": "ours", "target_role": "theirs"}
MIB = 1 << 20


@pytest.fixture(scope="module")
def s3(aws: Sandbox) -> dict[str, Any]:
    """Clients of the buckets ``ours`` and ``theirs``."""
    return {"ours": aws.client("s3", HERE), "theirs": aws.client("s3", THERE)}


def put(s3: dict[str, Any], bucket: str, objects: dict[str, bytes], **more: Any) -> None:
    for key, body in objects.items():
        s3[bucket].put_object(Bucket=bucket, Key=key, Body=body, **more)


def put_parts(s3: dict[str, Any], bucket: str, key: str, *parts: bytes) -> None:
    client, place = s3[bucket], {"Bucket": bucket, "Key": key}
    upload = client.create_multipart_upload(**place)["UploadId"]
    etags = [
        client.upload_part(**place, UploadId=upload, PartNumber=number, Body=part)["ETag"]
        for number, part in enumerate(parts, 1)
    ]
    listed = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": listed})


def keys(objects: Any) -> list[str]:
    return [info.key for info in objects]


@ENGINES
def test_two_prefixes_under_two_roles(
    aws: Sandbox, s3: dict[str, Any], tmp_path: Path, engine: str
) -> None:
    one, other = f"{engine}/one/", f"{engine}/other/"
    put(s3, "ours", {one + "a": b"1", one + "b": b"2", one + "d/e": b"5", one + "ü": b"6"})
    put(s3, "theirs", {other + "a": b"1", other + "b": b"X", other + "c": b"3", other + "ü": b"66"})
    fields = {
        "source": f"s3://ours/{one}", "target": f"s3://theirs/{other}", **TWO_ROLES,
    }  # fmt: skip
    failed = run_step(aws, tmp_path, "s3.verify", engine=engine, **fields)
    assert failed.error is not None
    assert failed.error.type == "Difference"
    assert (
        "1 missing ('d/e'); 1 extra ('c'); 2 different ('b', 'ü')"
        in failed.error.message.replace("('ü', 'b')", "('b', 'ü')")
    )
    report = tmp_path / "report.csv"
    found = run_step(
        aws,
        tmp_path,
        "s3.verify",
        engine=engine,
        on_difference="warn",
        report=str(report),
        **fields,
    )
    assert found.status == "warning"
    outputs = found.outputs
    assert (outputs["same"], outputs["differences"], outputs["bytes"]) == (1, 4, 1)
    assert keys(outputs["missing"]) == [one + "d/e"]
    assert keys(outputs["extra"]) == [other + "c"]
    assert sorted(keys(outputs["different"])) == [one + "b", one + "ü"]
    with report.open(encoding="utf-8", newline="") as file:
        rows = {row["key"]: row for row in csv.DictReader(file)}
    assert rows["ü"]["reason"] == "1 bytes, not 2"
    assert rows["b"]["status"] == "different"
    assert (rows["c"]["source_size"], rows["c"]["target_size"]) == ("", "1")
    seen = survey_step(aws, tmp_path, "s3.verify", **fields)
    assert seen == {"same": 1, "missing": 1, "extra": 1, "different": 1, "undecided": 1}
    size = run_step(aws, tmp_path, "s3.verify", compare="size", on_difference="ok", **fields)
    assert (size.status, size.outputs["different_count"]) == ("succeeded", 1)


def test_what_is_missing_can_be_copied(aws: Sandbox, s3: dict[str, Any], tmp_path: Path) -> None:
    put(s3, "ours", {"gap/one/a": b"1", "gap/one/b": b"2", "gap/other/a": b"1"})
    verify = {
        "action": "s3.verify",
        "source": "s3://ours/gap/one/",
        "target": "s3://ours/gap/other/",
    }
    results = run_steps(
        aws,
        tmp_path,
        {"id": "find", "on_difference": "ok", **verify},
        {
            "action": "s3.copy",
            "objects": "${{ steps.find.missing }}",
            "target": "s3://ours/gap/other/",
        },
        verify,
    )
    assert [step.error for step in results] == [None, None, None]
    assert (results[1].outputs["count"], results[2].outputs["same"]) == (1, 2)


@ENGINES
def test_etags_of_other_parts_prove_nothing(
    aws: Sandbox, s3: dict[str, Any], tmp_path: Path, engine: str
) -> None:
    first, last = os.urandom(5 * MIB), b"end"
    put_parts(s3, "ours", "parts/a", first, last)
    put_parts(s3, "ours", "same/a", first, last)
    put_parts(s3, "ours", "whole/a", first + last)
    put_parts(s3, "ours", "changed/a", first + b"END")

    def verify(target: str, **more: Any) -> Any:
        return run_step(
            aws, tmp_path, "s3.verify", engine=engine, source="s3://ours/parts/",
            target=f"s3://ours/{target}/", on_difference="warn", **more,
        ).outputs  # fmt: skip

    assert verify("same")["same"] == 1
    assert verify("whole")["unproven_count"] == 1
    assert verify("whole", read=True)["same"] == 1
    assert verify("changed")["same"] == 0
    assert verify("changed", read=True)["different_count"] == 1


@ENGINES
def test_a_folder(aws: Sandbox, s3: dict[str, Any], tmp_path: Path, engine: str) -> None:
    folder = tmp_path / "files"
    (folder / "sub").mkdir(parents=True)
    large = os.urandom(5 * MIB) + b"end"
    bodies = {"a": b"1", "b": b"2", "sub/c": b"", "large": large}
    for name, body in bodies.items():
        (folder / name).write_bytes(body)
    prefix = f"{engine}/folder/"
    put(s3, "ours", {prefix + name: body for name, body in bodies.items() if name != "large"})
    put(s3, "ours", {prefix + "sub/": b""})  # the mark of a folder is no file
    put_parts(s3, "ours", prefix + "large", large[: 5 * MIB], large[5 * MIB :])
    fields: dict[str, Any] = {
        "source": f"s3://ours/{prefix}", "folder": str(folder), "engine": engine,
    }  # fmt: skip
    same = run_step(aws, tmp_path, "s3.verify", **fields)
    assert same.error is None
    assert (same.outputs["same"], same.outputs["bytes"]) == (4, len(large) + 2)
    (folder / "b").write_bytes(b"X")
    (folder / "extra").write_bytes(b"")
    (folder / "sub/c").unlink()
    changed = run_step(aws, tmp_path, "s3.verify", on_difference="ok", **fields)
    assert keys(changed.outputs["missing"]) == [prefix + "sub/c"]
    assert keys(changed.outputs["different"]) == [prefix + "b"]
    assert (changed.outputs["extra_count"], keys(changed.outputs["extra"])) == (1, [])
    chosen = run_step(aws, tmp_path, "s3.verify", include=["a"], **fields)
    assert chosen.outputs["same"] == 1


def test_a_named_pipe_and_a_hostile_name_fail_the_step(
    aws: Sandbox, s3: dict[str, Any], tmp_path: Path
) -> None:
    put(s3, "ours", {"pipe/a": b"1"})
    folder = tmp_path / "files"
    folder.mkdir()
    os.mkfifo(folder / "a")
    fields: dict[str, Any] = {"source": "s3://ours/pipe/", "folder": str(folder)}
    piped = run_step(aws, tmp_path, "s3.verify", **fields)
    assert piped.error is not None
    assert "pipe" in piped.error.message
    (folder / "a").unlink()
    (tmp_path / os.fsdecode(b"files/\xff")).write_bytes(b"")
    named = run_step(aws, tmp_path, "s3.verify", **fields)
    assert named.error is not None
    assert "is not UTF-8" in named.error.message


NAMES = ["a", "b c", "back\\slash", "cr\rx", "ü/é"]


@ENGINES
def test_checksums_are_those_of_coreutils(
    aws: Sandbox, s3: dict[str, Any], tmp_path: Path, engine: str
) -> None:
    prefix, folder = f"{engine}/sums/", tmp_path / "files"
    for name in NAMES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        put(s3, "ours", {prefix + name: name.encode()})
    source = f"s3://ours/{prefix}"
    listed = folder / "SHA256SUMS"
    written = run_step(
        aws, tmp_path, "s3.verify", source=source, write_checksums=str(listed), engine=engine
    )
    assert written.error is None
    assert written.outputs["same"] == len(NAMES)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", listed], cwd=folder, check=True)
    s3["ours"].upload_file(str(listed), "ours", prefix + "SHA256SUMS")
    check: dict[str, Any] = {
        "source": source, "checksums": f"{source}SHA256SUMS", "engine": engine,
    }  # fmt: skip
    same = run_step(aws, tmp_path, "s3.verify", read=True, **check)
    assert (same.error, same.outputs.get("same")) == (None, len(NAMES))
    unread = run_step(aws, tmp_path, "s3.verify", on_difference="ok", **check)
    assert unread.outputs["unproven_count"] == len(NAMES)
    put(s3, "ours", {prefix + "a": b"other", prefix + "new": b""})
    changed = run_step(aws, tmp_path, "s3.verify", read=True, on_difference="ok", **check)
    assert keys(changed.outputs["different"]) == [prefix + "a"]
    assert keys(changed.outputs["missing"]) == [prefix + "new"]


def test_md5sums_need_no_bytes(aws: Sandbox, s3: dict[str, Any], tmp_path: Path) -> None:
    put(s3, "ours", {"md5/a": b"1", "md5/b": b"2"})
    listed = tmp_path / "MD5SUMS"
    listed.write_text(
        f"{hashlib.md5(b'1').hexdigest()} *./a\nMD5 (b) = {hashlib.md5(b'2').hexdigest()}\n"
        f"{hashlib.md5(b'').hexdigest()}  gone\n"
    )
    found = run_step(
        aws, tmp_path, "s3.verify", source="s3://ours/md5/", checksums=str(listed),
        on_difference="ok",
    )  # fmt: skip
    assert found.error is None
    assert (found.outputs["same"], found.outputs["extra_count"]) == (2, 1)
    listed.write_text("nothing\n")
    wrong = run_step(aws, tmp_path, "s3.verify", source="s3://ours/md5/", checksums=str(listed))
    assert wrong.error is not None
    assert "MD5SUMS: line 1 is no checksum" in wrong.error.message


def test_single_objects_and_lists(aws: Sandbox, s3: dict[str, Any], tmp_path: Path) -> None:
    put(s3, "ours", {"single/a": b"1", "single/b": b"1", "single/c": b"2"})
    fields = {"source": "s3://ours/single/a"}
    same = run_step(aws, tmp_path, "s3.verify", target="s3://ours/single/b", **fields)
    assert (same.error, same.outputs.get("same")) == (None, 1)
    other = run_step(aws, tmp_path, "s3.verify", target="s3://ours/single/c", **fields)
    assert other.error is not None
    _, listed = run_steps(
        aws,
        tmp_path,
        {"id": "find", "action": "s3.list", "source": "s3://ours/single/", "sort": "size"},
        {
            "action": "s3.verify",
            "objects": "${{ steps.find.objects }}",
            "target": "s3://ours/single/",
        },
    )
    assert (listed.error, listed.outputs.get("same")) == (None, 3)
    (tmp_path / "keys.txt").write_text("single/c\nsingle/a\n")
    for objects in (
        ["s3://ours/single/c", "s3://ours/single/a"],
        {"from": str(tmp_path / "keys.txt"), "prefix": "s3://ours/"},
    ):
        named = run_step(
            aws, tmp_path, "s3.verify", objects=objects, target="s3://ours/single/",
            on_difference="ok",
        )  # fmt: skip
        assert named.error is None
    nothing = run_step(
        aws, tmp_path, "s3.verify", source="s3://ours/none/", target="s3://ours/nil/"
    )
    assert nothing.error is not None
    assert nothing.error.type == "EmptySource"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "s3://box/"}, "takes one of"),
        ({"source": "s3://box/", "target": "s3://box/", "folder": "/x"}, "takes one of"),
        ({"source": "s3://box/a", "target": "s3://box/b/"}, "an object with an object"),
        ({"source": "s3://box/a", "folder": "/x"}, "an object with an object"),
        ({"source": "s3://box/", "folder": "/x", "report": "/x.txt"}, "must end with"),
        ({"source": "s3://box/", "checksums": "/x", "compare": "size"}, "no sizes"),
    ],
)
def test_fields_that_do_not_fit_are_mistakes(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        S3Verify.model_validate(fields)


def test_the_json_report_has_a_line_for_each_difference(
    aws: Sandbox, s3: dict[str, Any], tmp_path: Path
) -> None:
    put(s3, "ours", {"json/a": b"1"})
    report = tmp_path / "r.jsonl"
    failed = run_step(
        aws, tmp_path, "s3.verify", source="s3://ours/json/", target="s3://ours/nil/",
        report=str(report),
    )  # fmt: skip
    assert failed.error is not None
    assert str(report) in failed.error.hint
    assert [json.loads(line) for line in report.read_text().splitlines()] == [
        {"key": "a", "status": "missing", "source_size": 1, "target_size": None, "reason": ""}
    ]
