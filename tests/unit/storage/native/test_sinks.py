"""Ranges that are collected in memory."""

from __future__ import annotations

import zlib

import pytest

from rolerunner.errors import IntegrityFailed
from rolerunner.model import S3Uri
from rolerunner.storage.native.sinks import MemorySink, PassingSink
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import ObjectInfo

SOURCE = ObjectRange(S3Uri("bucket", "key"), ObjectInfo("key", 9, "e"), 2, 4)
HEADERS = {"etag": '"e"', "content-range": "bytes 2-5/9"}


def test_a_range_that_begins_again_is_collected_anew() -> None:
    data = bytearray(4)
    sink = MemorySink(SOURCE, memoryview(data), ["CRC32"])
    sink.begin(206, HEADERS)
    sink.write(b"xx")
    sink.begin(206, HEADERS)
    sink.room(4)[:2] = b"bo"
    sink.write(sink.room(2))
    sink.write(b"dy")
    assert (bytes(data), sink.received) == (b"body", 4)
    assert sink.hashes["CRC32"].digest() == zlib.crc32(b"body").to_bytes(4, "big")


def test_more_bytes_than_requested_are_refused() -> None:
    sink = MemorySink(SOURCE, memoryview(bytearray(4)), ())
    with pytest.raises(IntegrityFailed, match="more bytes than requested"):
        sink.write(b"12345")
    sink.write(b"1234")
    with pytest.raises(
        IntegrityFailed, match="s3://bucket/key: received more bytes than requested"
    ):
        sink.room(1)


@pytest.mark.parametrize(
    "headers", [{**HEADERS, "etag": '"f"'}, {**HEADERS, "content-range": "bytes 0-3/9"}]
)
def test_another_range_or_object_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(IntegrityFailed):
        PassingSink(SOURCE).begin(206, headers)


def test_bytes_of_another_buffer_are_copied() -> None:
    data = bytearray(4)
    sink = MemorySink(SOURCE, memoryview(data), ())
    sink.write(memoryview(b"body"))
    assert (bytes(data), sink.received) == (b"body", 4)
