"""Plans of parts: every byte once and in order, and no part that S3 would refuse."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rolerunner.model import S3Uri
from rolerunner.storage.concatenation import (
    MAX_COPIED,
    MIN_PART,
    Concatenation,
    PlannedPart,
    Segment,
    plan_parts,
)
from rolerunner.storage.protocol import ObjectInfo

MIB = 1 << 20
SIZES = st.lists(
    st.one_of(st.integers(0, 3), st.integers(4 * MIB, 6 * MIB), st.integers(250 * MIB, 600 * MIB)),
    max_size=12,
)


def plan(sizes: list[int], *, within_s3: bool, separator: bytes = b"") -> list[PlannedPart]:
    segments: list[Segment] = []
    for number, size in enumerate(sizes):
        if separator and segments:
            segments.append(Segment(0, len(separator), data=separator))
        key = str(number)
        segments.append(Segment(0, size, S3Uri("box", key), ObjectInfo(key, size)))
    total = sum(segment.length for segment in segments)
    target = S3Uri("box", "target")
    return list(plan_parts(Concatenation(target, lambda: segments, total, {}, within_s3)))


@given(sizes=SIZES, within_s3=st.booleans(), separator=st.sampled_from([b"", b"\n"]))
def test_every_byte_comes_once_in_parts_that_s3_takes(
    sizes: list[int], within_s3: bool, separator: bytes
) -> None:
    parts = plan(sizes, within_s3=within_s3, separator=separator)
    at = 0
    walked: list[Segment] = []
    for part in parts:
        assert part.start == at
        at += part.length
        walked += part.segments
        if part.is_copied:
            assert within_s3
            assert len(part.segments) == 1
            assert part.segments[0].info is not None
            assert part.length <= MAX_COPIED
    assert all(part.length >= MIN_PART for part in parts[:-1])
    ends: dict[str, int] = {}
    for segment in walked:
        if segment.info is not None:
            assert segment.start == ends.get(segment.info.key, 0)
            ends[segment.info.key] = segment.start + segment.length
    assert ends == {str(number): size for number, size in enumerate(sizes) if size}
    names = [segment.info.key for segment in walked if segment.info is not None]
    assert names == sorted(names, key=int)


def test_s3_copies_large_objects_and_what_is_small_goes_with_the_next() -> None:
    parts = plan([3, 20 * MIB, 1, 8 * MIB], within_s3=True)
    assert [(part.is_copied, len(part.segments)) for part in parts] == [
        (False, 2),  # 3 bytes, and as much of the next as makes 5 MiB
        (True, 1),
        (False, 2),
        (True, 1),
    ]


def test_there_are_never_more_than_10_000_parts() -> None:
    parts = plan([6 * MIB] * 12_000, within_s3=True)
    assert len(parts) <= 10_000
    assert min(part.length for part in parts[:-1]) > MIN_PART
