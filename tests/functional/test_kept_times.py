"""``keep_times`` stores modification times as metadata, in rclone's form, and reads them."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.memory_aws import Store

READER, WRITER = "arn:aws:iam::111122223333:role/reader", "arn:aws:iam::444455556666:role/writer"
ONE, TWO = {"role": WRITER}, {"source_role": READER, "target_role": WRITER}
NANOSECONDS = 1_600_000_000_123_456_789
MTIME = "1600000000.123456789"
MODIFIED = datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
LARGE = 17 << 20
COPIES: dict[str, dict[str, Any]] = {
    "one role": ONE,
    "one role, in parts": {**ONE, "multipart_above": "5MiB"},
    "two roles": TWO,
    "two roles, compressed": {**TWO, "compress": "gzip", "compress_as": "content_encoding"},
}


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Any]:
    """Loads a spec with one step."""

    def load_step(action: str, engine: str = "fast", **fields: Any) -> Any:
        step = {"id": "it", "action": action, "keep_times": True, **fields}
        (tmp_path / "job.yaml").write_text(
            json.dumps({"version": 1, "name": "t", "engine": engine, "steps": [step]})
        )
        return api.load(tmp_path / "job.yaml")

    return load_step


@pytest.fixture(params=["fast", "boto3"])
def run(request: pytest.FixtureRequest, memory_aws: Store, load: Any) -> Callable[..., Any]:
    """Runs one step and returns its result."""

    def run_step(action: str, **fields: Any) -> Any:
        (step,) = api.run(load(action, request.param, **fields)).steps
        assert step.status == "succeeded", step.error
        return step

    return run_step


@pytest.mark.parametrize("more", [{}, {"compress": "gzip", "compress_as": "content_encoding"}])
def test_an_upload_stores_the_times_of_files(
    more: Any, run: Any, memory_aws: Store, tmp_path: Path
) -> None:
    for name, size in (("small", 1), ("large", LARGE)):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(size))
        os.utime(path, ns=(NANOSECONDS, NANOSECONDS))
    metadata = {"who": "me"}
    run(
        "s3.upload",
        role=WRITER,
        source=f"{tmp_path}/in/",
        target="s3://publish/",
        metadata=metadata,
        **more,
    )
    for name in ("small", "large"):
        stored = memory_aws.objects["publish", name].headers
        assert (stored["x-amz-meta-mtime"], stored["x-amz-meta-who"]) == (MTIME, "me")


@pytest.mark.parametrize(
    ("mtime", "expected", "size"),
    [
        (MTIME, NANOSECONDS, 1),
        (MTIME, NANOSECONDS, LARGE),
        ("1600000000", 1_600_000_000_000_000_000, 1),
        ("-1.5", -1_500_000_000, 1),
        ("9" * 30, None, 1),
        ("nan", None, 1),
        ("../x", None, 1),
        ("", None, 1),
        ("", None, LARGE),
    ],
)
def test_a_download_reads_them_or_takes_those_of_s3(
    mtime: str, expected: Any, size: int, run: Any, memory_aws: Store, tmp_path: Path
) -> None:
    headers = {"x-amz-meta-mtime": mtime} if mtime else {}
    memory_aws.put("landing", "a", bytes(size), headers=headers, modified=MODIFIED)
    run("s3.download", role=READER, source="s3://landing/a", target=f"{tmp_path}/out/")
    found = (tmp_path / "out/a").stat().st_mtime_ns
    assert found == (expected or int(MODIFIED.timestamp()) * 1_000_000_000)


def test_a_file_with_the_kept_time_is_the_same(run: Any, memory_aws: Store, tmp_path: Path) -> None:
    memory_aws.put("landing", "a", "a", headers={"x-amz-meta-mtime": MTIME})
    fields = {"role": READER, "source": "s3://landing/", "target": f"{tmp_path}/out/"}
    same = {"if_exists": "skip_same", "compare": "size_mtime"}
    assert run("s3.download", **fields).outputs["count"] == 1
    assert run("s3.download", **fields, **same).outputs["skipped"] == 1
    memory_aws.put("landing", "a", "b", headers={"x-amz-meta-mtime": "1700000000"})
    assert run("s3.download", **fields, **same).outputs["count"] == 1
    assert (tmp_path / "out/a").read_text() == "b"


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("mtime", [MTIME, ""])
@pytest.mark.parametrize("metadata", [None, {"who": "me"}])
def test_a_copy_keeps_or_stores_them(
    metadata: Any, mtime: str, way: str, run: Any, memory_aws: Store
) -> None:
    headers = {"x-amz-meta-own": "1", "cache-control": "no-store"}
    if mtime:
        headers["x-amz-meta-mtime"] = mtime
    body = bytes(6 << 20) if "parts" in way else b"a"
    memory_aws.put("landing", "a", body, headers=headers, modified=MODIFIED)
    more = {"metadata": metadata} if metadata else {}
    run("s3.copy", source="s3://landing/a", target="s3://publish/", **COPIES[way], **more)
    stored = memory_aws.objects["publish", "a"].headers
    assert stored["x-amz-meta-mtime"] == (mtime or f"{int(MODIFIED.timestamp())}")
    assert stored["cache-control"] == "no-store"
    assert stored.get("x-amz-meta-who", stored.get("x-amz-meta-own")) == ("me" if metadata else "1")


@pytest.mark.parametrize("action", ["s3.upload", "s3.copy"])
def test_a_time_is_set_once(action: str, load: Any, tmp_path: Path) -> None:
    source = f"{tmp_path}/a" if action == "s3.upload" else "s3://landing/a"
    with pytest.raises(SpecError, match="'keep_times' sets the metadata 'mtime'"):
        load(action, role=WRITER, source=source, target="s3://publish/", metadata={"Mtime": "1"})
