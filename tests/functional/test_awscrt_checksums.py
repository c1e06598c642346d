"""Checksums that need awscrt: computed whole and in pieces, and verified on transfers.

The development environment has no awscrt, so that everything else is tested without it; one test
runs the others in an environment that has it.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import zlib
from functools import reduce
from importlib.metadata import requires
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolerunner.common.cancellation import Cancel
from rolerunner.model import S3Uri
from rolerunner.storage import crc_combiner, hashing
from rolerunner.storage.crc_combiner import CrcCombiner
from rolerunner.storage.hashing import compute_digest, create_hash
from rolerunner.storage.protocol import Get, Put
from rolerunner.storage.tuning import Tuning
from tests.conftest import ROOT
from tests.fake_s3 import Request, Response, start_fake_s3
from tests.functional.test_hostile_servers import storage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once
with_awscrt = pytest.mark.skipif(find_spec("awscrt") is None, reason="awscrt is not installed")
CRCS = ["CRC32", "CRC32C", "CRC64NVME"]


@pytest.mark.slow
@pytest.mark.release
def test_all_of_it_where_awscrt_is_installed(tmp_path: Path) -> None:
    (expected,) = (
        each.partition(";")[0].strip()
        for each in requires("rolerunner") or ()
        if each.endswith('extra == "crt"')
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for version in (expected, expected.replace(">=", "==")):
        target = tmp_path / version
        subprocess.run([*pip, "--no-deps", "--target", str(target), version], check=True)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "not slow",
            "-p",
            "no:cacheprovider",
            __file__,
        ]
        completed = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(target)},
            check=False,
            capture_output=True,
            text=True,
        )
        assert completed.returncode == 0, completed.stdout
        assert "skipped" not in completed.stdout


@pytest.fixture
def old_zlib(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So that awscrt computes the CRC32, too."""
    monkeypatch.setattr(hashing, "zlib_version", lambda: (1, 2, 11))
    monkeypatch.setattr(hashing, "find_crc32", lambda: zlib.crc32)
    hashing._find_factory.cache_clear()
    yield
    hashing._find_factory.cache_clear()


def defined(algorithm: str, data: bytes) -> bytes:
    """Bit by bit."""
    width, polynomial = crc_combiner._CRCS[algorithm]
    ones = (1 << width) - 1

    def step(value: int, byte: int) -> int:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        return value

    return (reduce(step, data, ones) ^ ones).to_bytes(width // 8, "big")


def in_hypothesis_time(test: Any) -> Any:
    return settings(deadline=None, max_examples=30)(test)


@with_awscrt
@pytest.mark.usefixtures("old_zlib")
@pytest.mark.parametrize("algorithm", CRCS)
def test_awscrt_computes_what_is_defined_however_bytes_come(algorithm: str) -> None:
    @in_hypothesis_time
    @given(st.lists(st.binary(max_size=100), max_size=4))
    def same(blocks: list[bytes]) -> None:
        data, hashed = b"".join(blocks), create_hash(algorithm)
        for block in blocks:
            hashed.update(
                memoryview(bytearray(block))
            )  # as ranges come, from a buffer that is used again
        assert hashed.digest() == hashed.copy().digest() == defined(algorithm, data)
        assert compute_digest(algorithm, data) == base64.b64encode(hashed.digest()).decode()
        if algorithm == "CRC32":
            assert int.from_bytes(hashed.digest(), "big") == zlib.crc32(data)

    assert create_hash(algorithm)._function.__module__ == "awscrt.checksums"  # type: ignore[attr-defined]
    same()


@with_awscrt
@pytest.mark.usefixtures("old_zlib")
@pytest.mark.parametrize("algorithm", CRCS)
def test_ranges_are_put_together(algorithm: str) -> None:
    @in_hypothesis_time
    @given(st.binary(min_size=1, max_size=300), st.integers(1, 100), st.randoms())
    def together(data: bytes, part: int, order: Any) -> None:
        pieces = CrcCombiner.of(f"{algorithm}:{compute_digest(algorithm, data)}")
        assert pieces is not None
        starts = list(range(0, len(data), part))
        order.shuffle(starts)
        for start in starts:
            hashed = create_hash(pieces.algorithm)
            hashed.update(data[start : start + part])
            pieces.add(start, len(data[start : start + part]), hashed.digest())
        assert pieces.matches()

    together()


DATA = bytes(range(256)) * 8
SMALL_PARTS = Tuning(large=1024, part=512)


@with_awscrt
@pytest.mark.parametrize("engine", ["boto3", "fast"])
@pytest.mark.parametrize("tuning", [Tuning(), SMALL_PARTS], ids=["whole", "ranges"])
@pytest.mark.parametrize("algorithm", ["CRC32C", "CRC64NVME"])
def test_an_object_is_held_against_such_a_checksum(
    algorithm: str, tuning: Tuning, engine: str, tmp_path: Path
) -> None:
    def respond(request: Request) -> Response:
        told = {
            "ETag": '"e-3"',
            f"x-amz-checksum-{algorithm.lower()}": right
            if request.key == "right"
            else compute_digest(algorithm, b"another"),
        }
        if request.operation == "HEAD":
            return Response(
                headers={
                    **told,
                    "x-amz-checksum-type": "FULL_OBJECT",
                    "Content-Length": str(len(DATA)),
                }
            )
        if "range" not in request.headers:
            return Response(DATA, headers={**told, "x-amz-checksum-type": "FULL_OBJECT"})
        start, end = map(int, request.headers["range"][6:].split("-"))
        return Response(
            DATA[start : end + 1],
            206,
            {"ETag": '"e-3"', "Content-Range": f"bytes {start}-{end}/{len(DATA)}"},
        )

    right = compute_digest(algorithm, DATA)
    with start_fake_s3(respond) as (client, _):
        gets = [Get(S3Uri("bucket", key), tmp_path / key) for key in ("right", "wrong")]
        outcomes = {
            outcome.uri.key: outcome
            for outcome in storage(engine, client, tuning).get(gets, Cancel())
        }
    assert (outcomes["right"].error, (tmp_path / "right").read_bytes()) == (None, DATA)
    assert outcomes["wrong"].error is not None
    assert not (tmp_path / "wrong").exists()


@with_awscrt
@pytest.mark.parametrize("tuning", [Tuning(), SMALL_PARTS], ids=["whole", "parts"])
@pytest.mark.parametrize("algorithm", ["CRC32C", "CRC64NVME"])
def test_an_upload_tells_such_a_checksum(algorithm: str, tuning: Tuning, tmp_path: Path) -> None:
    def respond(request: Request) -> Response:
        if request.operation == "POST [uploads]":
            return Response(
                b"<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                b"</InitiateMultipartUploadResult>"
            )
        if request.operation == "POST [uploadId]":
            return Response(
                b"<CompleteMultipartUploadResult><ETag>done</ETag></CompleteMultipartUploadResult>"
            )
        return Response(headers={"ETag": '"p"'})

    (tmp_path / "f").write_bytes(DATA)
    with start_fake_s3(respond) as (client, requests):
        (outcome,) = storage("fast", client, tuning).put(
            [Put(tmp_path / "f", S3Uri("bucket", "to"), {"ChecksumAlgorithm": algorithm})], Cancel()
        )
    assert outcome.error is None
    sent = [each for each in requests if each.operation in ("PUT", "PUT [uploadId]")]
    assert b"".join(each.body for each in sent) == DATA
    assert [each.headers[f"x-amz-checksum-{algorithm.lower()}"] for each in sent] == [
        compute_digest(algorithm, each.body) for each in sent
    ]
