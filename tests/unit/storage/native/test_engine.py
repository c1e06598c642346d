"""Sizes at their exact bounds, in both engines."""

from __future__ import annotations

import bisect
import gc
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.credentials import Credentials

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import NotFound, ServiceFailed, StepError
from rolerunner.model import JOB, S3Uri
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.native.engine import open_native_engine
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import Get, ObjectInfo, Put
from rolerunner.storage.tuning import Tuning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.memory_aws import Store

URI = S3Uri("bucket", "key")
TUNING = Tuning(large=10, part=4)


@pytest.fixture(params=["boto3", "native"])
def engine(request: pytest.FixtureRequest, memory_aws: Store) -> Iterator[Any]:
    client = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    plain = BotoEngine(client, JOB, lambda: "", tuning=TUNING)
    if request.param == "boto3":
        yield plain
        return
    native = open_native_engine(plain, Credentials("k", "s"), SocketFactory(None, 5, 5))
    yield native


@pytest.mark.parametrize(("size", "uploads"), [(0, 0), (9, 0), (10, 1), (11, 1)])
def test_an_upload_goes_in_parts_from_the_bound_on(
    size: int, uploads: int, engine: Any, tmp_path: Path, memory_aws: Store
) -> None:
    (tmp_path / "file").write_bytes(b"0123456789a"[:size])
    (outcome,) = engine.put([Put(tmp_path / "file", URI)], Cancel())
    assert outcome.error is None
    assert memory_aws.bodies() == {"s3://bucket/key": b"0123456789a"[:size]}
    created = [each for each in memory_aws.requests_of("POST") if "uploads" in each.query]
    assert len(created) == uploads


@pytest.mark.parametrize(("size", "ranged"), [(0, False), (9, False), (10, True), (11, True)])
def test_a_download_goes_in_ranges_from_the_bound_on(
    size: int, ranged: bool, engine: Any, tmp_path: Path, memory_aws: Store
) -> None:
    entry = memory_aws.put("bucket", "key", b"0123456789a"[:size])
    info = ObjectInfo("key", size, entry.etag)
    (outcome,) = engine.get([Get(URI, tmp_path / "file", info)], Cancel())
    assert outcome.error is None
    assert (tmp_path / "file").read_bytes() == b"0123456789a"[:size]
    assert any("range" in each.headers for each in memory_aws.requests_of("GET")) is ranged


def test_an_object_is_read_up_to_the_limit(engine: Any, memory_aws: Store) -> None:
    memory_aws.put("bucket", "key", b"0123")
    assert engine.read(URI, 4) == b"0123"
    with pytest.raises(ServiceFailed, match="has 4 bytes, more than 3") as failed:
        engine.read(URI, 3)
    assert failed.value.type == "TooLarge"
    with pytest.raises(NotFound):
        engine.read(S3Uri("bucket", "other"), 4)


def test_a_range_is_of_the_object_that_was_listed(engine: Any, memory_aws: Store) -> None:
    info = ObjectInfo("key", 4, memory_aws.put("bucket", "key", b"0123").etag)
    assert engine.read_range(ObjectRange(URI, info, 1, 2)) == b"12"
    assert engine.read_range(ObjectRange(URI, info, 1, 3)) == b"123"
    sent = len(memory_aws.requests)
    assert engine.read_range(ObjectRange(URI, info, 4, 0)) == b""
    assert len(memory_aws.requests) == sent
    memory_aws.put("bucket", "key", b"4567")
    with pytest.raises(StepError):
        engine.read_range(ObjectRange(URI, info, 1, 2))


def test_ranges_share_a_connection_that_closes_with_the_engine(memory_aws: Store) -> None:
    client = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    plain = BotoEngine(client, JOB, lambda: "", tuning=TUNING)
    opened = []

    class Sockets(SocketFactory):
        def create_socket(self, endpoint: Any) -> Any:
            opened.append(super().create_socket(endpoint))
            return opened[-1]

    native = open_native_engine(plain, Credentials("k", "s"), Sockets(None, 5, 5))
    info = ObjectInfo("key", 4, memory_aws.put("bucket", "key", b"0123").etag)
    for start in range(4):
        assert native.read_range(ObjectRange(URI, info, start, 1)) == b"%d" % start
    (sock,) = opened
    assert sock.fileno() >= 0
    del native
    gc.collect()
    assert sock.fileno() == -1


def test_a_server_sends_each_key_once_to_a_parallel_listing(memory_aws: Store) -> None:
    client = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    plain = BotoEngine(client, JOB, lambda: "", tuning=TUNING)
    native = open_native_engine(plain, Credentials("k", "s"), SocketFactory(None, 5, 5))
    keys = [f"in/part-{number:06}.csv" for number in range(6000)]
    for key in keys:
        memory_aws.put("bucket", key, b"")
    memory_aws.hook = lambda _: time.sleep(0.03)  # far enough for pages in parallel
    found = [info.key for info in native.list(S3Uri("bucket", "in/"))]
    assert found == keys
    listings = [each.query for each in memory_aws.requests if "list-type" in each.query]
    assert any("start-after" in each for each in listings), "the listing was split"
    assert sum(_count_sent_keys(keys, each) for each in listings) < len(keys) + 100


def _count_sent_keys(keys: list[str], query: Mapping[str, str]) -> int:
    start = bisect.bisect_right(
        keys, query.get("continuation-token") or query.get("start-after", "")
    )
    return min(len(keys) - start, int(query.get("max-keys", "1000")))


def test_the_age_of_an_object_is_by_the_servers_clock(engine: Any, memory_aws: Store) -> None:
    memory_aws.put("bucket", "key", b"0123")
    age = engine.get_age(URI)
    assert age is not None
    assert 0 <= age < 60
