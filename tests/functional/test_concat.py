"""``s3.concat`` stores what the sources are in a row, whichever way each part takes."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests import object_steps
from tests.object_steps import HERE, THERE, run_step, run_steps, survey_step

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.sandbox import Sandbox

WORLD = object_steps.WORLD
ENGINES = pytest.mark.parametrize("engine", ["fast", "boto3"])
MIB = 1 << 20
SIZES = [3, 0, 7 * MIB, 1, 5 * MIB, 6 * MIB + 1, 2]


@pytest.fixture(scope="module")
def bodies(aws: Sandbox) -> list[bytes]:
    """The objects below ``in/``, small and large ones, in the order of keys."""
    client = aws.client("s3", HERE)
    found = [os.urandom(size) for size in SIZES]
    for number, body in enumerate(found):
        client.put_object(Bucket="ours", Key=f"in/{number}", Body=body)
    return found


def read(aws: Sandbox, bucket: str, key: str) -> bytes:
    client = aws.client("s3", THERE if bucket == "theirs" else HERE)
    body: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


@ENGINES
@pytest.mark.parametrize("roles", [{}, {"source_role": "ours", "target_role": "theirs"}])
def test_the_bytes_are_those_of_the_sources_in_a_row(
    aws: Sandbox, bodies: list[bytes], tmp_path: Path, engine: str, roles: dict[str, str]
) -> None:
    bucket = "theirs" if roles else "ours"
    done = run_step(
        aws,
        tmp_path,
        "s3.concat",
        source="s3://ours/in/",
        target=f"s3://{bucket}/{engine}/whole",
        separator="--",
        content_type="text/x",
        engine=engine,
        **roles,
    )
    assert done.error is None
    assert (done.outputs["count"], done.outputs["bytes"]) == (7, sum(SIZES) + 12)
    assert read(aws, bucket, f"{engine}/whole") == b"--".join(bodies)
    client = aws.client("s3", THERE if roles else HERE)
    head = client.head_object(Bucket=bucket, Key=f"{engine}/whole")
    assert (head["ContentType"], head["ETag"].strip('"')) == ("text/x", done.outputs["etag"])
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


@ENGINES
def test_small_objects_in_the_order_of_a_list(aws: Sandbox, tmp_path: Path, engine: str) -> None:
    client = aws.client("s3", HERE)
    texts = ["c\n", "a\n", "b\n"]
    for text in texts:
        client.put_object(Bucket="ours", Key=f"zip/{text[0]}", Body=gzip.compress(text.encode()))
    listed = run_step(
        aws,
        tmp_path,
        "s3.concat",
        objects=[f"s3://ours/zip/{text[0]}" for text in texts],
        target="s3://ours/all.gz",
        engine=engine,
    )
    assert listed.error is None
    assert gzip.decompress(read(aws, "ours", "all.gz")) == b"c\na\nb\n"
    (tmp_path / "keys.txt").write_text("zip/b\nzip/a\n")
    lines = run_step(
        aws, tmp_path, "s3.concat", target="s3://ours/lines.gz", engine=engine,
        objects={"from": str(tmp_path / "keys.txt"), "prefix": "s3://ours/"},
    )  # fmt: skip
    assert lines.error is None
    assert gzip.decompress(read(aws, "ours", "lines.gz")) == b"b\na\n"
    _, descending = run_steps(
        aws,
        tmp_path,
        {"id": "find", "action": "s3.list", "source": "s3://ours/zip/", "sort": "key",
         "descending": True},
        {"action": "s3.concat", "objects": "${{ steps.find.objects }}",
         "target": "s3://ours/down.gz"},
        engine=engine,
    )  # fmt: skip
    assert descending.error is None
    assert gzip.decompress(read(aws, "ours", "down.gz")) == b"c\nb\na\n"


def test_the_target_is_no_source_and_is_not_replaced(
    aws: Sandbox, bodies: list[bytes], tmp_path: Path
) -> None:
    inside: dict[str, Any] = {"source": "s3://ours/in/", "include": ["0", "3", "z"]}
    first = run_step(aws, tmp_path, "s3.concat", target="s3://ours/in/z", **inside)
    assert (first.error, first.outputs["count"]) == (None, 2)
    again = run_step(aws, tmp_path, "s3.concat", target="s3://ours/in/z", **inside)
    assert again.error is not None
    assert again.error.type == "TargetInSource"
    assert read(aws, "ours", "in/z") == bodies[0] + bodies[3]
    aws.client("s3", HERE).delete_object(Bucket="ours", Key="in/z")
    fields: dict[str, Any] = {"target": "s3://ours/once", "if_none_match": True}
    for source in ("s3://ours/in/", "s3://ours/in/0"):  # in parts, and in one request
        once = run_step(aws, tmp_path, "s3.concat", source=source, **fields)
        twice = run_step(aws, tmp_path, "s3.concat", source=source, **fields)
        assert once.error is None
        assert twice.error is not None
        assert twice.error.type == "AlreadyThere"
        aws.client("s3", HERE).delete_object(Bucket="ours", Key="once")


def test_nothing_is_stored_of_nothing(aws: Sandbox, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"source": "s3://ours/none/", "target": "s3://ours/empty"}
    failed = run_step(aws, tmp_path, "s3.concat", **fields)
    assert failed.error is not None
    assert failed.error.type == "EmptySource"
    done = run_step(aws, tmp_path, "s3.concat", on_empty="ok", **fields)
    assert (done.error, done.outputs["object"]) == (None, "")
    missing = run_step(
        aws, tmp_path, "s3.concat", objects=["s3://ours/none/a"], target="s3://ours/empty"
    )
    assert missing.error is not None
    assert missing.error.type == "NoSuchKey"


def test_the_survey_counts(aws: Sandbox, bodies: list[bytes], tmp_path: Path) -> None:
    seen = survey_step(aws, tmp_path, "s3.concat", source="s3://ours/in/", target="s3://ours/whole")
    assert seen == {"count": 7, "bytes": sum(SIZES)}
