"""Buffers are used again, so that operations hold a fixed amount of memory."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from rolerunner.common.cancellation import Cancel
from rolerunner.model import S3Uri
from rolerunner.storage.boto import ordered_reads as boto_reads
from rolerunner.storage.buffers import BufferPool
from rolerunner.storage.native import ordered_reads
from rolerunner.storage.protocol import ObjectInfo
from tests.unit.storage.engines import PART, open_engine

if TYPE_CHECKING:
    from typing import Any

    import pytest

    from tests.memory_aws import Store


def count_new_buffers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Returns a list that gets the length of each buffer that is not used again."""
    made: list[int] = []
    acquire = BufferPool.acquire

    def counting(pool: BufferPool, length: int) -> bytearray:
        if not pool._kept or length != pool.size:
            made.append(length)
        return acquire(pool, length)

    monkeypatch.setattr(BufferPool, "acquire", counting)
    return made


def test_a_released_buffer_of_the_size_is_used_again() -> None:
    pool = BufferPool(4)
    buffer = pool.acquire(4)
    pool.release(buffer)
    assert pool.acquire(4) is buffer
    assert pool.acquire(4) is not buffer


def test_buffers_of_another_length_are_not_kept() -> None:
    pool = BufferPool(4)
    short = pool.acquire(3)
    pool.release(short)
    assert [len(pool.acquire(length)) for length in (3, 4)] == [3, 4]
    assert pool.acquire(3) is not short


def test_blocks_of_large_objects_share_their_memory(
    memory_aws: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boto_reads, "BLOCK", 1024)
    monkeypatch.setattr(ordered_reads, "BLOCK", 1024)
    window = ordered_reads._Window
    monkeypatch.setattr(ordered_reads, "_Window", lambda _: window(2048))
    made = count_new_buffers(monkeypatch)
    bodies = [bytes([65 + number]) * (40_000 + number) for number in range(5)]
    items = []
    for number, body in enumerate(bodies):
        entry = memory_aws.put("bucket", f"{number}", body)
        items.append((S3Uri("bucket", f"{number}"), ObjectInfo(f"{number}", len(body), entry.etag)))
    found = [bytearray() for _ in bodies]
    with closing(open_engine("native").read_in_order(items, Cancel())) as blocks:
        for block in blocks:
            found[int(block.uri.key)] += block.data
    assert found == bodies
    assert 1 <= made.count(1024) <= 5


def test_parts_of_an_upload_share_their_memory(
    engine: Any, memory_aws: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = count_new_buffers(monkeypatch)
    content = bytes(range(250)) * 4
    target = S3Uri("bucket", "target")
    with engine.open_upload(target, {}, len(content), Cancel()) as stream:
        for start in range(0, len(content), 7):
            stream.write(content[start : start + 7])
    assert memory_aws.bodies() == {str(target): content}
    assert len(made) < len(content) // PART // 2
