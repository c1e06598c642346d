"""The files of transfers: targets that are replaced, and full disks."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

import pytest

from rolerunner.common.new_files import NewFile
from rolerunner.errors import IntegrityFailed, LocalFileFailed, UnexpectedResponse
from rolerunner.model import S3Uri
from rolerunner.storage import hashing, integrity
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.transfer_files import (
    DownloadSink,
    RangeSink,
    SharedFile,
    check_range_headers,
    set_modified_time,
    verify_checksum,
    write_at,
)

if TYPE_CHECKING:
    from pathlib import Path

URI = S3Uri("bucket", "key")
DATA = b"0123456789"
INFO = ObjectInfo("key", len(DATA), "e")
SOURCE = ObjectRange(URI, INFO, 2, 4)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


def crc32(data: bytes) -> str:
    return hashing.encode_base64(zlib.crc32(data).to_bytes(4, "big"))


def test_a_download_appears_when_it_is_committed(tmp_path: Path) -> None:
    moved: list[int] = []
    sink = DownloadSink(tmp_path / "target", moved.append, len(DATA))
    headers = {"content-length": "10", "x-amz-checksum-crc32": crc32(DATA)}
    sink.begin(200, headers)
    sink.write(b"wrong")
    sink.begin(200, headers)
    sink.write(DATA[:4])
    sink.write(DATA[4:])
    assert sink.running is not None
    assert sink.running.matches(), "of the last response alone"
    assert not (tmp_path / "target").exists()
    sink.commit()
    sink.discard()
    assert (tmp_path / "target").read_bytes() == DATA
    assert moved == [5, 4, 6]


def test_a_discarded_download_leaves_nothing(tmp_path: Path) -> None:
    sink = DownloadSink(tmp_path / "target", lambda _: None, len(DATA))
    sink.write_all(DATA)
    sink.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_response_without_a_length_is_bounded_by_the_listed_size(tmp_path: Path) -> None:
    sink = DownloadSink(tmp_path / "target", lambda _: None, len(DATA))
    sink.begin(200, {})
    sink.write(DATA)
    with pytest.raises(IntegrityFailed, match="more than the 10 bytes of the object"):
        sink.write(b"x")
    sink.begin(200, {"content-length": "11"})
    sink.write(DATA + b"x")
    sink.discard()


def test_a_checksum_of_parts_is_not_that_of_the_bytes(tmp_path: Path) -> None:
    sink = DownloadSink(tmp_path / "target", lambda _: None, len(DATA))
    sink.begin(200, {"content-length": "10", "x-amz-checksum-crc32": f"{crc32(DATA)}-2"})
    assert sink.running is None
    sink.discard()


def test_a_shared_file_is_opened_by_its_path(tmp_path: Path) -> None:
    new = NewFile(tmp_path / "target")
    new.open()
    shared = SharedFile.of(new)
    with shared.writable() as descriptor:
        os.write(descriptor, DATA)
    new.commit()
    assert (tmp_path / "target").read_bytes() == DATA
    with pytest.raises(LocalFileFailed), shared.writable():
        pass


@pytest.mark.parametrize("is_link", [False, True])
def test_another_file_in_the_place_of_a_shared_one_is_not_written(
    tmp_path: Path, file: Path, is_link: bool
) -> None:
    new = NewFile(tmp_path / "target")
    new.open()
    shared = SharedFile.of(new)
    os.unlink(shared.path)
    if is_link:
        os.symlink(file, shared.path)
    else:
        os.rename(file, shared.path)
    with pytest.raises(LocalFileFailed), shared.writable():
        pass
    new.discard()


def range_headers(text: str = "bytes 2-5/10", **more: str) -> dict[str, str]:
    told = {"content-range": text} if text else {}
    return {
        "etag": '"e"',
        **told,
        **{name.replace("_", "-"): value for name, value in more.items()},
    }


def test_a_range_is_written_to_its_place(file: Path) -> None:
    moved: list[int] = []
    descriptor = os.open(file, os.O_RDWR)
    sink = RangeSink(file, descriptor, SOURCE, lambda: hashing.create_hash("CRC32"), moved.append)
    sink.begin(206, range_headers())
    sink.write(b"x")
    sink.begin(206, range_headers())
    sink.write(b"ab")
    sink.write(memoryview(b"cd"))
    assert file.read_bytes() == b"01abcd6789"
    assert sink.crc == zlib.crc32(b"abcd").to_bytes(4, "big")
    with pytest.raises(IntegrityFailed, match="more bytes than requested"):
        sink.write(b"e")
    assert file.read_bytes() == b"01abcd6789"
    assert moved == [1, 2, 2]
    os.close(descriptor)


def test_a_range_without_a_checksum_has_none(file: Path) -> None:
    descriptor = os.open(file, os.O_RDWR)
    sink = RangeSink(file, descriptor, SOURCE, None, lambda _: None)
    sink.begin(206, range_headers())
    sink.write(b"abcd")
    assert sink.crc == b""
    os.close(descriptor)


@pytest.mark.parametrize(
    ("status", "headers", "start", "is_right"),
    [
        (206, range_headers(), 2, True),
        (206, range_headers(""), 2, True),
        (200, range_headers("", content_length="4"), 0, True),
        (200, range_headers("", content_length="10"), 0, False),
        (200, range_headers("", content_length="4"), 2, False),
        (206, range_headers("bytes 3-5/10"), 2, False),
        (206, range_headers("bytes 2-50/100"), 2, False),
        (206, range_headers("bytes 0-3/10"), 2, False),
    ],
)
def test_another_range_is_refused(
    status: int, headers: dict[str, str], start: int, is_right: bool
) -> None:
    source = ObjectRange(URI, INFO, start, 4)
    if is_right:
        check_range_headers(status, headers, source)
        return
    with pytest.raises(IntegrityFailed, match=f"requested bytes {start}-{start + 3}, received"):
        check_range_headers(status, headers, source)


def test_a_range_of_another_object_is_refused() -> None:
    with pytest.raises(IntegrityFailed, match="changed while its ranges were read"):
        check_range_headers(206, {**range_headers(), "etag": '"f"'}, SOURCE)
    with pytest.raises(UnexpectedResponse, match="S3 returned 206 to a range without an ETag"):
        check_range_headers(206, {**range_headers(), "etag": ""}, SOURCE)


def test_a_full_disk_is_an_error_of_the_file(tmp_path: Path) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(LocalFileFailed, match=r"target: .*[Nn]o space left"):
        write_at(tmp_path / "target", descriptor, DATA, 0)
    os.close(descriptor)


def test_all_is_written_however_little_the_disk_takes(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, data[:3], at))
    descriptor = os.open(file, os.O_RDWR)
    write_at(file, descriptor, b"abcdefgh", 1)
    os.close(descriptor)
    assert file.read_bytes() == b"0abcdefgh9"


def test_the_time_of_the_object_is_set_if_it_has_one(tmp_path: Path) -> None:
    new = NewFile(tmp_path / "target")
    new.open()
    before = os.fstat(new.descriptor).st_mtime_ns
    set_modified_time(new, INFO)
    assert os.fstat(new.descriptor).st_mtime_ns == before
    set_modified_time(new, ObjectInfo("key", 1, "e", "2026-01-31T12:00:00Z"))
    assert os.fstat(new.descriptor).st_mtime == 1769860800
    new.discard()


def test_received_bytes_have_the_checksum_of_the_object() -> None:
    info = ObjectInfo("key", 10, "e", checksum=f"CRC32:{crc32(DATA)}")
    expected = integrity.ExpectedChecksum.of(info.checksum)
    assert expected is not None
    verify_checksum(URI, info, None)
    running = expected.start(10, lambda: 0)
    assert running is not None
    running.update(DATA[:5])
    with pytest.raises(
        IntegrityFailed, match="checksum mismatch: the received bytes are not CRC32:"
    ):
        verify_checksum(URI, info, running)
    running.update(DATA[5:])
    verify_checksum(URI, info, running)
