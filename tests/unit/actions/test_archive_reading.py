"""Tar archives in blocks of any size: members, kinds, times, and every way to be damaged."""

from __future__ import annotations

import gzip
import io
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

import pytest

from rolerunner.actions.archive_formats import FORMATS
from rolerunner.actions.archive_reading import PackedArchive, name_unix_type
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import IntegrityFailed
from rolerunner.model import S3Uri
from rolerunner.storage.decompression import DecompressionBounds
from rolerunner.storage.protocol import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

URI = S3Uri("landing", "it.tar")
BLOCK = 512


@dataclass
class Block:
    data: bytes
    error: Optional[Exception] = None


@dataclass
class Blocks:
    """A storage that gives an archive in blocks of a size, and counts those that were taken."""

    data: bytes
    size: int
    taken: int = 0
    closed: bool = False

    def read_in_order(self, items: Any, cancel: object, within: object) -> Iterator[Block]:
        del items, cancel, within
        try:
            for start in range(0, len(self.data), self.size):
                self.taken += 1
                yield Block(self.data[start : start + self.size])
        finally:
            self.closed = True


def pack(*members: tuple[str, bytes], **changes: Any) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_769_817_600
            for key, value in changes.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return target.getvalue()


def open_archive(data: bytes, size: int = 100, form: str = "tar") -> tuple[PackedArchive, Blocks]:
    storage = Blocks(data, size)
    info = ObjectInfo(URI.key, len(data))
    return PackedArchive(URI, info, FORMATS[form], storage, Cancel()), storage  # type: ignore[arg-type]


def read(data: bytes, size: int = 100, form: str = "tar") -> list[tuple[str, bytes]]:
    archive, _ = open_archive(data, size, form)
    members = archive.members(DecompressionBounds(str(URI)))
    return [(each.name, b"".join(each.blocks)) for each in members]


@contextmanager
def damaged(reason: str) -> Iterator[None]:
    with pytest.raises(IntegrityFailed) as failed:
        yield
    assert reason in failed.value.message
    assert failed.value.type == "DamagedArchive"


MEMBERS = [("a", b"x" * 700), ("empty", b""), ("long/" + "n" * 300, b"y"), ("\xe9", b"z" * 513)]


@pytest.mark.parametrize("size", [1, 7, 512, 1000, 1 << 20])
@pytest.mark.parametrize("form", ["tar", "tar.gz"])
def test_members_are_the_same_in_blocks_of_any_size(size: int, form: str) -> None:
    data = pack(*MEMBERS)
    assert read(gzip.compress(data) if form == "tar.gz" else data, size, form) == MEMBERS


def test_content_that_is_not_read_is_passed_over() -> None:
    archive, storage = open_archive(pack(*MEMBERS))
    names = [each.name for each in archive.members(DecompressionBounds(str(URI)))]
    assert names == [name for name, _ in MEMBERS]
    assert storage.closed


def test_reading_ends_where_its_caller_ends_it() -> None:
    archive, storage = open_archive(pack(*MEMBERS))
    members = archive.members(DecompressionBounds(str(URI)))
    assert next(members).name == "a"
    members.close()
    assert (storage.closed, storage.taken) == (True, 6)


@pytest.mark.parametrize(
    ("mtime", "time"),
    [
        (1_769_817_600.9, "2026-01-31T00:00:00Z"),
        (-5, "1970-01-01T00:00:00Z"),
        (float("nan"), "1970-01-01T00:00:00Z"),
        (float("inf"), "1970-01-01T00:00:00Z"),
        (1e300, "9999-12-31T23:59:59Z"),
    ],
)
def test_any_time_is_a_time(mtime: float, time: str) -> None:
    data = pack(("a", b""), mtime=0, pax_headers={"mtime": str(mtime)})
    archive, _ = open_archive(data)
    (member,) = archive.members(DecompressionBounds(str(URI)))
    assert member.modified == time


@pytest.mark.parametrize(
    ("kind", "special"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.FIFOTYPE, "a device or pipe"),
        (tarfile.CHRTYPE, "a device or pipe"),
        (b"9", "of an unknown type"),
        (tarfile.REGTYPE, ""),
        (tarfile.AREGTYPE, ""),
    ],
)
def test_what_is_neither_file_nor_folder_says_what_it_is(kind: bytes, special: str) -> None:
    archive, _ = open_archive(pack(("it", b""), type=kind, linkname="there"))
    (member,) = archive.members(DecompressionBounds(str(URI)))
    assert member.special == special


@pytest.mark.parametrize(
    ("mode", "special"),
    [
        (0o100644, ""),
        (0o644, ""),
        (0o120777, "a symbolic link"),
        (0o010644, "a device or pipe"),
        (0o140755, "a device or pipe"),
    ],
)
def test_the_kind_of_a_mode(mode: int, special: str) -> None:
    assert name_unix_type(mode) == special


def test_folders_are_left_out() -> None:
    assert read(pack(("folder", b""), type=tarfile.DIRTYPE)) == []


@pytest.mark.parametrize("kept", [BLOCK + 100, BLOCK + 700])
def test_a_member_that_is_cut_short(kept: int) -> None:
    with damaged("before the member does"):
        read(pack(("a", b"x" * 2000))[:kept])


def test_an_archive_without_its_end_is_cut_short() -> None:
    with damaged("the archive is cut short: it has no end"):
        read(pack(("a", b"x"))[: 2 * BLOCK])


def test_a_header_that_is_damaged_is_not_the_end() -> None:
    data = bytearray(pack(("a", b"x"), ("b", b"y")))
    data[2 * BLOCK + 5] ^= 1
    archive, _ = open_archive(bytes(data))
    members = archive.members(DecompressionBounds(str(URI)))
    assert next(members).name == "a"
    with damaged("the next header cannot be read"):
        next(members)


def test_data_after_the_end_is_refused_and_zeros_are_not() -> None:
    data = pack(("a", b"x"))
    assert read(data + bytes(50_000)) == [("a", b"x")]
    with damaged("other data follows its end"):
        read(data + bytes(5000) + b"x")


@pytest.mark.parametrize("data", [b"x" * 600, b"", b"PK\3\4" + bytes(600)])
def test_another_file_is_no_archive(data: bytes) -> None:
    with damaged(""):
        read(data)


def test_headers_cannot_fill_the_memory() -> None:
    data = pack(("a", b""), pax_headers={"comment": "c" * (2 << 20)})
    with damaged("has more than 1,048,576 bytes"):
        read(data, 1 << 16)


def test_a_size_that_leads_back_is_refused() -> None:
    data = pack(("a", b""), pax_headers={"size": "-1024"})
    with damaged(""):
        read(data)
