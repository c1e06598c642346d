"""The files of transfers: sources that change, targets that are replaced, and full disks."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.common.new_files import NewFile
from rolerunner.errors import IntegrityFailed, LocalFileFailed, StepError
from rolerunner.model import S3Uri
from rolerunner.storage import hashing, integrity
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.transfer_files import (
    DownloadSink,
    RangeSink,
    SharedFile,
    UploadSource,
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


def test_ranges_of_a_source_are_read(file: Path) -> None:
    source = UploadSource.of(file)
    assert source(0, 10) == DATA
    assert source(2, 4) == b"2345"
    assert b"".join(source.read_blocks(Cancel())) == DATA


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(DATA[:-1]),
        lambda path: path.write_bytes(DATA + b"x"),
        lambda path: os.utime(path, ns=(1, 1)),
        lambda path: (path.unlink(), path.write_bytes(DATA)),
    ],
    ids=["shorter", "longer", "another time", "another file"],
)
def test_a_source_that_changed_is_not_uploaded(file: Path, change: Any) -> None:
    source = UploadSource.of(file)
    change(file)
    with pytest.raises(LocalFileFailed, match="changed while it was read") as failed:
        source(0, 10)
    assert failed.value.type == "FileChanged"
    assert failed.value.hint == "upload it when it is no longer being written"


def test_a_source_that_is_cut_off_is_not_uploaded(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system may return less than the size that it states."""
    source = UploadSource.of(file)
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, at: read(fd, min(count, 4 - at), at))
    with pytest.raises(LocalFileFailed, match="changed while it was read"):
        source(0, 10)


def test_a_source_that_is_read_in_pieces_is_whole(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = UploadSource.of(file)
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, at: read(fd, min(count, 3), at))
    assert source(1, 9) == DATA[1:]


def test_a_source_without_a_size_is_not_read() -> None:
    source = UploadSource.of("/proc/self/status")
    with pytest.raises(LocalFileFailed, match="has content but no size") as failed:
        source(0, 0)
    assert failed.value.type == "NotAFile"


def test_an_empty_source_is_read(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    source = UploadSource.of(tmp_path / "empty")
    assert source(0, 0) == b""
    assert list(source.read_blocks(Cancel())) == [b""]


def test_what_is_no_file_is_refused(tmp_path: Path, file: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LocalFileFailed, match="is a named pipe"):
        UploadSource.of(tmp_path / "pipe")
    with pytest.raises(LocalFileFailed, match="No such file"):
        UploadSource.of(tmp_path / "none")
    (tmp_path / "link").symlink_to(file)
    assert UploadSource.of(tmp_path / "link")(0, 10) == DATA
    with pytest.raises(LocalFileFailed, match="is no regular file"):
        UploadSource.of(tmp_path / "link", follow=False)


def test_a_link_that_takes_the_place_of_a_source_is_not_followed(
    tmp_path: Path, file: Path
) -> None:
    source = UploadSource.of(file, follow=False)
    file.rename(tmp_path / "moved")
    file.symlink_to(tmp_path / "moved")
    with pytest.raises(LocalFileFailed):
        source(0, 10)


def test_a_source_is_not_read_on_after_cancellation(file: Path) -> None:
    cancel = Cancel()
    cancel.set()
    with pytest.raises(StepError, match="stopped"):
        list(UploadSource.of(file).read_blocks(cancel))


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
