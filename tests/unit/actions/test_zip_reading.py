"""The members of zip archives, as their central directories list them."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.actions.archive_formats import FORMATS
from rolerunner.actions.archive_reading import PackedArchive
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import IntegrityFailed
from rolerunner.model import S3Uri
from rolerunner.storage.decompression import DecompressionBounds
from rolerunner.storage.protocol import ObjectInfo
from tests.unit.storage.engines import open_engine

if TYPE_CHECKING:
    from tests.memory_aws import Store


def count_members(store: Store, data: bytes) -> int:
    """Returns how many members an archive in S3 has."""
    entry = store.put("landing", "it.zip", data)
    uri, info = S3Uri("landing", "it.zip"), ObjectInfo("it.zip", len(data), entry.etag)
    archive = PackedArchive(uri, info, FORMATS["zip"], open_engine("native"), Cancel())
    return sum(1 for _ in archive.members(DecompressionBounds(str(uri))))


def repeat_entry(count: int, claimed: int) -> bytes:
    """Returns a zip whose directory names a member so often, with an end of 32 bits."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("it", b"1")
    data = target.getvalue()
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    directory = data[start:end] * count
    sizes = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, claimed, claimed, len(directory), start, 0)
    return data[:start] + directory + sizes


@pytest.mark.parametrize("count", [1, 3, 65_536, 65_600])
def test_all_members_are_read_however_they_are_counted(count: int, memory_aws: Store) -> None:
    assert count_members(memory_aws, repeat_entry(count, count % 65_536)) == count


@pytest.mark.parametrize(("count", "claimed"), [(3, 2), (65_600, 63), (2, 0)])
def test_entries_that_are_not_claimed_are_refused(
    count: int, claimed: int, memory_aws: Store
) -> None:
    with pytest.raises(IntegrityFailed, match=f"entries, and claims {claimed}"):
        count_members(memory_aws, repeat_entry(count, claimed))


ENTRY, END = "<4s4B4HL2L5H2L", "<4s4H2LH"
"""The forms of an entry of the central directory and of the archive's end (APPNOTE 4.3)."""
FULL = 0xFFFFFFFF
"""Stands for a number that an entry has in 64 bits."""
OTHER_EXTRA = struct.pack("<HHB", 0x5455, 1, 0)


def read_members(store: Store, data: bytes) -> dict[str, bytes]:
    """Returns the content of each member of an archive in S3."""
    entry = store.put("landing", "it.zip", data)
    uri, info = S3Uri("landing", "it.zip"), ObjectInfo("it.zip", len(data), entry.etag)
    archive = PackedArchive(uri, info, FORMATS["zip"], open_engine("native"), Cancel())
    bounds = DecompressionBounds(str(uri))
    return {each.name: b"".join(map(bytes, each.blocks)) for each in archive.members(bounds)}


def split_zip(name: str = "it") -> tuple[bytes, list[Any], bytes]:
    """Returns the parts of a zip of one member: what is before, its entry, and the name."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(name, b"content")
    data = target.getvalue()
    start = data.index(b"PK\1\2")
    values = list(struct.unpack_from(ENTRY, data, start))
    return data[:start], values, name.encode()


def join_zip(before: bytes, values: list[Any], rest: bytes) -> bytes:
    """Returns an archive of one entry, with an end of 32 bits."""
    directory = struct.pack(ENTRY, *values) + rest
    end = struct.pack(END, b"PK\5\6", 0, 0, 1, 1, len(directory), len(before), 0)
    return before + directory + end


def widen(values: list[Any], extra: bytes) -> list[Any]:
    """Returns an entry whose sizes and start are in ``extra``."""
    values[10] = values[11] = values[18] = FULL
    values[13] = len(extra)
    return values


def test_numbers_of_64_bits_are_read(memory_aws: Store) -> None:
    before, values, name = split_zip()
    wide = struct.pack("<HHQQQ", 1, 24, values[11], values[10], values[18])
    extra = OTHER_EXTRA + wide
    directory = struct.pack(ENTRY, *widen(values, extra)) + name + extra
    sizes = (1, 1, len(directory), len(before))
    wide_end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, *sizes)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(before) + len(directory), 1)
    end = struct.pack(END, b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, FULL, FULL, 0)
    data = before + directory + wide_end + locator + end
    assert read_members(memory_aws, data) == {"it": b"content"}


def test_an_archive_behind_a_program_is_read(memory_aws: Store) -> None:
    before, values, name = split_zip()
    data = b"#!/bin/sh\nexit\n" + join_zip(before, values, name)
    assert read_members(memory_aws, data) == {"it": b"content"}


def test_a_number_of_64_bits_that_is_cut_short_is_refused(memory_aws: Store) -> None:
    before, values, name = split_zip()
    extra = struct.pack("<HHL", 1, 4, 7)
    with pytest.raises(IntegrityFailed, match="the entry of b'it' is damaged"):
        read_members(memory_aws, join_zip(before, widen(values, extra), name + extra))


def test_a_name_that_is_not_the_utf_8_it_claims_is_refused(memory_aws: Store) -> None:
    before, values, _ = split_zip()
    values[5] |= 0x800
    with pytest.raises(IntegrityFailed, match="is damaged"):
        read_members(memory_aws, join_zip(before, values, b"\xff\xfe"))


def test_an_entry_that_goes_beyond_the_archive_is_refused(memory_aws: Store) -> None:
    before, values, name = split_zip()
    values[12] = 60_000
    with pytest.raises(IntegrityFailed, match="its central directory is cut short"):
        read_members(memory_aws, join_zip(before, values, name))


@pytest.mark.parametrize(("count", "size", "start"), [(1, 10_000, 0), (1, 46, 10_000), (9, 46, 0)])
def test_a_directory_that_cannot_be_where_it_is_said_is_refused(
    count: int, size: int, start: int, memory_aws: Store
) -> None:
    before, values, name = split_zip()
    directory = struct.pack(ENTRY, *values) + name
    end = struct.pack(END, b"PK\5\6", 0, 0, count, count, size, start, 0)
    with pytest.raises(IntegrityFailed, match="its central directory lies outside of it"):
        read_members(memory_aws, before + directory + end)


@pytest.mark.parametrize(
    "data",
    [
        b"no zip",
        bytes(100),
        struct.pack("<4sLQL", b"PK\6\7", 0, 0, 9) + struct.pack(END, b"PK\5\6", *[0] * 7),
    ],
    ids=["short", "zeros", "of several disks"],
)
def test_what_is_no_archive_is_refused(data: bytes, memory_aws: Store) -> None:
    with pytest.raises(IntegrityFailed, match="it is no zip archive"):
        read_members(memory_aws, data)
