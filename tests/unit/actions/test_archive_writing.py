"""Archives written without seeking: their sizes, times and central directory."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from rolerunner.actions.archive_formats import FORMATS
from rolerunner.actions.archive_writing import Member, bound_size, open_archive
from rolerunner.storage import compression

if TYPE_CHECKING:
    from pathlib import Path

LONG = "\u4e2d" * 300
MODIFIED = "2026-01-31T06:07:08Z"


def write(kind: str, members: list[Member], folder: Path) -> bytes:
    target = io.BytesIO()
    with open_archive(FORMATS[kind], target, None, folder) as archive:
        for member in members:
            archive.begin(member)
            archive.write(bytes(member.size))
            archive.end()
    return target.getvalue()


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.zst", "zip"])
def test_no_archive_is_larger_than_its_bound(kind: str, tmp_path: Path) -> None:
    members = [Member(LONG + str(number), number, MODIFIED) for number in range(50)]
    names = sum(len(member.name.encode()) for member in members)
    size = bound_size(len(members), sum(member.size for member in members), names)
    assert len(write(kind, members, tmp_path)) <= size


def test_times_are_those_of_the_objects(tmp_path: Path) -> None:
    members = [Member("a", 1, MODIFIED), Member("unknown", 1, "")]
    with tarfile.open(fileobj=io.BytesIO(write("tar", members, tmp_path))) as tar:
        assert [member.mtime for member in tar] == [1769839628, 0]
    with zipfile.ZipFile(io.BytesIO(write("zip", members, tmp_path))) as archive:
        times = [member.date_time for member in archive.infolist()]
    assert times == [(2026, 1, 31, 6, 7, 8), (1980, 1, 1, 0, 0, 0)]


def test_a_large_member_of_a_zip_is_the_same_in_threads_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"".join(b"%d," % number for number in range(600_000)) + bytes(1 << 20)
    members = {"large": content, "small": content[:5000], "empty": b""}
    written = set()
    for cpus in (1, 2, 4):
        monkeypatch.setattr(compression, "count_cpus", lambda cpus=cpus: cpus)
        target = io.BytesIO()
        with open_archive(FORMATS["zip"], target, None, tmp_path) as archive:
            for name, body in members.items():
                archive.begin(Member(name, len(body), MODIFIED))
                for start in range(0, len(body), 700_000):
                    archive.write(body[start : start + 700_000])
                archive.end()
        written.add(target.getvalue())
    (data,) = written
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == members
    assert len(data) < len(content) // 3


@pytest.mark.slow
def test_more_members_than_16_bits_count(tmp_path: Path) -> None:
    count = 65_540
    target = io.BytesIO()
    with open_archive(FORMATS["zip"], target, 0, tmp_path) as archive:
        for number in range(count):
            archive.begin(Member(f"{number}", 0, ""))
            archive.end()
    with zipfile.ZipFile(target) as archive_read:
        assert len(archive_read.infolist()) == count
    assert not list(tmp_path.iterdir())
