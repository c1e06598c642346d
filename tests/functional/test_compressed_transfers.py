"""Objects are compressed as they are stored, and decompressed as they are downloaded."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import sys
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import SpecError, UsageError
from rolerunner.storage import compression
from rolerunner.storage.compression import Compression, compress_bytes
from rolerunner.storage.decompression import DecompressionBounds, decompress_blocks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rolerunner.model import StepResult
    from tests.memory_aws import Store

READER, WRITER = "arn:aws:iam::111122223333:role/reader", "arn:aws:iam::444455556666:role/writer"
LARGE = b"".join(os.urandom(50) + bytes(950) for _ in range(18_000))
PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": (".gz", gzip.compress),
    "bz2": (".bz2", bz2.compress),
    "xz": (".xz", lzma.compress),
    "zstd": (".zst", lambda data: compress_bytes(data, Compression.of("zstd"))),
}


@pytest.fixture(params=["fast", "boto3"])
def run(
    request: pytest.FixtureRequest, memory_aws: Store, tmp_path: Path
) -> Callable[..., StepResult]:
    """Runs one step and returns its result."""

    def run_step(action: str, **fields: Any) -> StepResult:
        path = tmp_path / "job.yaml"
        step = {"id": "it", "action": action, **fields}
        path.write_text(
            json.dumps({"version": 1, "name": "t", "engine": request.param, "steps": [step]})
        )
        return api.run(api.load(path)).steps[0]

    return run_step


@cache
def large_of(codec: str) -> bytes:
    """More than one range, of the codecs that are fast enough."""
    more = os.urandom(16_000_000) if codec in ("gzip", "zstd") else b""
    return PACKERS[codec][1](LARGE[:1_000_000] + more)


@cache
def bomb_of(codec: str) -> bytes:
    return PACKERS[codec][1](bytes(30_000_000))


def plain(codec: str, data: bytes) -> bytes:
    if codec == "gzip":
        return gzip.decompress(data)
    return b"".join(decompress_blocks([data], codec, DecompressionBounds("it")))


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
@pytest.mark.parametrize("way", ["suffix", "content_encoding"])
def test_files_are_compressed_and_downloaded_as_they_were(
    codec: str, way: str, run: Callable[..., StepResult], memory_aws: Store, tmp_path: Path
) -> None:
    content = {"small.csv": b"a,b" * 1000, "empty": b"", "large": LARGE}
    (tmp_path / "in").mkdir()
    for name, data in content.items():
        (tmp_path / "in" / name).write_bytes(data)
    fields = {"role": WRITER, "compress": codec, "compress_as": way}
    done = run("s3.upload", source=f"{tmp_path}/in/", target="s3://box/out/", **fields)
    assert done.status == "succeeded", done.error
    suffix = PACKERS[codec][0] if way == "suffix" else ""
    stored = {uri: body for uri, body in memory_aws.bodies().items() if "/out/" in uri}
    assert set(stored) == {f"s3://box/out/{name}{suffix}" for name in content}
    for name, data in content.items():
        assert plain(codec, stored[f"s3://box/out/{name}{suffix}"]) == data
    assert done.outputs["bytes"] == sum(map(len, stored.values())) < len(LARGE) // 4
    headers = memory_aws.objects["box", f"out/small.csv{suffix}"].headers
    if way == "suffix":
        assert headers["content-type"] == f"application/{codec}"
    else:
        assert headers["content-type"] == "text/csv"
        assert headers["content-encoding"].split(",")[0] == codec
    run("s3.upload", source=f"{tmp_path}/in/", target="s3://box/out/", **fields)
    again = {uri: body for uri, body in memory_aws.bodies().items() if "/out/" in uri}
    assert again == stored  # the same bytes each time
    back = {"source": "s3://box/out/", "target": f"{tmp_path}/back/", "decompress": "auto"}
    done = run("s3.download", role=READER, **back)
    assert done.status == "succeeded", done.error
    assert {n: (tmp_path / "back" / n).read_bytes() for n in content} == content


@pytest.mark.parametrize(
    "roles", [{"source_role": READER, "target_role": WRITER}, {"role": READER}]
)
def test_a_copy_compresses_and_a_move_deletes_what_was_proved(
    roles: dict[str, str], run: Callable[..., StepResult], memory_aws: Store
) -> None:
    content = {"in/small": b"x" * 5000, "in/large": LARGE}
    for key, data in content.items():
        memory_aws.put("landing", key, data, headers={"content-type": "text/csv"})
    fields = {"source": "s3://landing/in/", "compress": "gzip", **roles}
    done = run("s3.copy", target="s3://publish/out/", **fields)
    assert done.status == "succeeded", done.error
    bodies = memory_aws.bodies()
    assert gzip.decompress(bodies["s3://publish/out/small.gz"]) == content["in/small"]
    assert gzip.decompress(bodies["s3://publish/out/large.gz"]) == LARGE
    done = run("s3.copy", target="s3://publish/enc/", compress_as="content_encoding", **fields)
    assert done.status == "succeeded", done.error
    headers = memory_aws.objects["publish", "enc/small"].headers
    assert (headers["content-encoding"].split(",")[0], headers["content-type"]) == (
        "gzip",
        "text/csv",
    )
    again = {**fields, "source": "s3://publish/enc/"}
    done = run("s3.copy", target="s3://publish/b/", compress_as="content_encoding", **again)
    assert done.error is not None
    assert done.error.type == "AlreadyEncoded"
    done = run("s3.copy", target="s3://publish/moved/", move=True, **fields)
    assert done.status == "succeeded", done.error
    bodies = memory_aws.bodies()
    assert gzip.decompress(bodies["s3://publish/moved/large.gz"]) == LARGE
    assert not [uri for uri in bodies if uri.startswith("s3://landing/")]


def test_a_compressed_copy_never_overwrites_a_source(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    place = "s3://lake/in/"
    fields = {"role": WRITER, "source": place, "target": place, "compress": "gzip"}
    memory_aws.put("lake", "in/a", "1")
    assert run("s3.copy", **fields).error is None
    before = memory_aws.bodies()
    done = run("s3.copy", **fields)
    assert done.error is not None
    assert (done.error.type, memory_aws.bodies()) == ("TargetInSource", before)
    assert run("s3.copy", **fields, exclude=["*.gz"]).error is None


def test_a_single_object_keeps_its_name_if_it_has_the_suffix(
    run: Callable[..., StepResult], memory_aws: Store, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(b"x")
    for target in ("s3://box/a.csv", "s3://box/b.csv.gz"):
        run("s3.upload", role=WRITER, source=f"{tmp_path}/a.csv", target=target, compress="gzip")
    assert set(memory_aws.bodies()) == {"s3://box/a.csv.gz", "s3://box/b.csv.gz"}


@pytest.mark.parametrize("codec", PACKERS)
def test_every_codec_is_decompressed_members_after_one_another_included(
    codec: str, run: Callable[..., StepResult], memory_aws: Store, tmp_path: Path
) -> None:
    suffix, pack = PACKERS[codec]
    memory_aws.put("box", f"in/a.csv{suffix}", pack(b"one") + pack(b"") + pack(b"two"))
    memory_aws.put("box", f"in/large{suffix}", large_of(codec))
    memory_aws.put("box", "in/plain.csv", b"plain")
    for chosen in (codec, "auto"):
        target = f"{tmp_path}/{chosen}/"
        done = run(
            "s3.download", role=READER, source="s3://box/in/", target=target, decompress=chosen
        )
        assert done.status == "succeeded", done.error
        assert sorted(os.listdir(target)) == ["a.csv", "large", "plain.csv"]
        assert (tmp_path / chosen / "a.csv").read_bytes() == b"onetwo"
        assert (tmp_path / chosen / "large").read_bytes()[:1_000_000] == LARGE[:1_000_000]


@pytest.mark.parametrize("codec", PACKERS)
def test_damaged_content_and_bombs_leave_no_file(
    codec: str, run: Callable[..., StepResult], memory_aws: Store, tmp_path: Path
) -> None:
    suffix, pack = PACKERS[codec]
    data = pack(os.urandom(1000))
    broken = {
        "cut": data[:-3],
        "half": data[: len(data) // 2],
        "empty": b"",
        "behind": data + b"junk",
        "other": b"no such format at all",
        "bomb": bomb_of(codec),
    }
    for name, body in broken.items():
        memory_aws.put("box", f"in/{name}{suffix}", body)
    done = run(
        "s3.download",
        role=READER,
        source="s3://box/in/",
        target=f"{tmp_path}/out/",
        decompress="auto",
        max_failures=len(broken),
    )
    assert done.status == "warning"
    assert done.outputs["count"] == 0
    assert not [name for _, _, names in os.walk(tmp_path / "out") for name in names]
    for fields in ({"max_ratio": 10_000_000}, {"max_ratio": 10_000_000, "max_bytes": "20MB"}):
        done = run(
            "s3.download",
            role=READER,
            source=f"s3://box/in/bomb{suffix}",
            target=f"{tmp_path}/{len(fields)}/",
            decompress=codec,
            **fields,
        )
        assert done.status == ("succeeded" if len(fields) == 1 else "failed")


def test_zstd_that_is_not_installed_is_named(
    run: Callable[..., StepResult],
    memory_aws: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "a").write_bytes(b"x")
    upload = {"role": WRITER, "source": f"{tmp_path}/a", "target": "s3://box/"}
    with pytest.raises(UsageError, match=r"step '\w+' needs .*pip install 'rolerunner\[zstd\]'"):
        run("s3.upload", **upload, compress="zstd")
    memory_aws.put("box", "a.zst", b"x")
    done = run(
        "s3.download",
        role=WRITER,
        source="s3://box/a.zst",
        target=f"{tmp_path}/b",
        decompress="auto",
    )  # which the keys decide
    assert done.error is not None
    assert done.error.type == "MissingPackage"
    assert "pip install 'rolerunner[zstd]'" in (done.error.hint or "")


@pytest.mark.parametrize("level", [0, 1, 6, 9])
@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 2 << 20, 5_000_001])
def test_gzip_is_one_member_the_same_in_threads_and_without(level: int, size: int) -> None:
    data = (os.urandom(3000) + b"text" * 3000)[:13_000] * (size // 13_000 + 1)
    data = data[:size]
    chosen = Compression("gzip", level)
    whole = compress_bytes(data, chosen)
    pieces = [data[at : at + 70_001] for at in range(0, size, 70_001)]
    assert b"".join(compression.compress_blocks(pieces, chosen, 1 << 30)) == whole
    reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert reader.decompress(whole) == data
    assert (reader.eof, reader.unused_data) == (True, b"")
    assert len(whole) <= chosen.bound(size)


@pytest.mark.parametrize(
    ("action", "fields", "message"),
    [
        ("s3.upload", {"compress": "gzip", "if_exists": "skip_same"}, "cannot compare compressed"),
        ("s3.copy", {"compress": "gzip", "if_exists": "skip_same"}, "cannot compare compressed"),
        ("s3.upload", {"compress": "zstd", "compress_level": 30}, "must be at most 22"),
        ("s3.upload", {"compress": "gzip", "compress_level": 12}, "of gzip is 0 to 9"),
        ("s3.copy", {"compress_level": 1}, "need 'compress'"),
        (
            "s3.upload",
            {"compress": "gzip", "delete_extra": True, "max_delete": 1},
            "changes the keys",
        ),
        ("s3.download", {"decompress": "xz", "if_exists": "skip_same"}, "cannot compare decomp"),
        ("s3.download", {"max_ratio": 3}, "need 'decompress'"),
    ],
)
def test_validate_refuses(
    action: str, fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    source = f"{tmp_path}/" if action == "s3.upload" else "s3://landing/in/"
    target = f"{tmp_path}/" if action == "s3.download" else "s3://box/out/"
    step = {"id": "it", "action": action, "role": READER, "source": source, "target": target}
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps({"version": 1, "name": "t", "steps": [{**step, **fields}]}))
    with pytest.raises(SpecError, match=message.replace("'", ".")):
        api.load(path)
