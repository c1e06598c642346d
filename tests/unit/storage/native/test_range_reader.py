"""Ranges and small objects are read whole, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.credentials import Credentials

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import IntegrityFailed, NotFound, StepError
from rolerunner.model import S3Uri
from rolerunner.storage import hashing
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.native import range_reader
from rolerunner.storage.native.engine import open_native_engine
from rolerunner.storage.native.range_reader import RangeReader
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import ObjectInfo
from tests import memory_aws as aws
from tests.unit.storage.engines import open_boto_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

URI = S3Uri("bucket", "key")
DATA = b"0123456789"


@pytest.fixture
def ranges(memory_aws: aws.Store) -> Iterator[RangeReader]:
    del memory_aws
    engine = open_native_engine(
        open_boto_engine(), Credentials("k", "s"), SocketFactory(None, 5, 5)
    )
    yield engine.transport.ranges
    engine.client.connections.close()


@pytest.fixture
def info(memory_aws: aws.Store) -> ObjectInfo:
    """The object that is read."""
    entry = memory_aws.put("bucket", "key", DATA)
    return ObjectInfo("key", len(DATA), entry.etag)


def test_a_range_fills_memory_and_has_its_digests(ranges: RangeReader, info: ObjectInfo) -> None:
    data = bytearray(4)
    source = ObjectRange(URI, info, 2, 4)
    digests = ranges.read_into_memory(memoryview(data), source, ["CRC32", "SHA256"], Cancel())
    assert data == b"2345"
    assert {name: hashing.encode_base64(each) for name, each in digests.items()} == {
        name: hashing.compute_digest(name, b"2345") for name in ("CRC32", "SHA256")
    }


@pytest.mark.usefixtures("_no_pauses")
def test_a_range_of_an_object_that_changed_is_not_read(
    ranges: RangeReader, info: ObjectInfo, memory_aws: aws.Store
) -> None:
    memory_aws.put("bucket", "key", b"abcdefghij")
    with pytest.raises(StepError, match="s3://bucket/key"):
        ranges.read_range(ObjectRange(URI, info, 2, 4))
    with pytest.raises(StepError, match="s3://bucket/key"):
        list(ranges.iterate_range(ObjectRange(URI, info, 2, 4), Cancel()))
    with pytest.raises(StepError, match="s3://bucket/key"):
        ranges.read_object(ObjectRange(URI, info, 0, 10), Cancel())


def test_a_missing_object_is_named(ranges: RangeReader) -> None:
    source = ObjectRange(S3Uri("bucket", "none"), ObjectInfo("none", 10, "e"), 2, 4)
    for read in (
        lambda: ranges.read_range(source),
        lambda: list(ranges.iterate_range(source, Cancel())),
        lambda: ranges.read_object(source, Cancel()),
    ):
        with pytest.raises(NotFound, match="s3://bucket/none"):
            read()


def test_an_object_is_verified(
    ranges: RangeReader, info: ObjectInfo, memory_aws: aws.Store
) -> None:
    source = ObjectRange(URI, info, 0, 10)
    assert ranges.read_object(source, Cancel()) == DATA
    checksum = hashing.compute_digest("CRC32", b"other")
    memory_aws.objects["bucket", "key"].headers["x-amz-checksum-crc32"] = checksum
    with pytest.raises(IntegrityFailed):
        ranges.read_object(source, Cancel())


def test_a_range_comes_in_blocks(ranges: RangeReader, info: ObjectInfo) -> None:
    blocks = ranges.iterate_range(ObjectRange(URI, info, 2, 8), Cancel())
    assert b"".join(blocks) == b"23456789"


def test_a_range_waits_while_the_step_is_slowed_down(
    ranges: RangeReader, info: ObjectInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = iter([0.5, 0.0])
    waited: list[float] = []
    monkeypatch.setattr(ranges._requests.pacer.throttle, "wait", lambda: next(waits))
    cancel = Cancel()
    monkeypatch.setattr(cancel, "wait", waited.append)
    assert list(ranges.iterate_range(ObjectRange(URI, info, 0, 1), cancel)) == [b"0"]
    assert waited == [0.5]


def test_fewer_bytes_than_the_range_are_an_error() -> None:
    source = ObjectRange(URI, ObjectInfo("key", 10_000, "e"), 0, 2000)
    range_reader._check_received(source, 2000)
    with pytest.raises(IntegrityFailed, match="received 1,000 of 2,000 bytes"):
        range_reader._check_received(source, 1000)


def test_a_range_that_ends_early_is_an_error(
    ranges: RangeReader, info: ObjectInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short:
        def __init__(self, *_: Any) -> None:
            """Stands for a client whose server closes the connection early."""

        def stream(self, _: Any) -> Iterator[bytes]:
            yield b"0"

    monkeypatch.setattr(range_reader, "BlockingClient", Short)
    with pytest.raises(IntegrityFailed, match="received 1 of 2 bytes"):
        list(ranges.iterate_range(ObjectRange(URI, info, 0, 2), Cancel()))
