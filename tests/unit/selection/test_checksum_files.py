"""Lists of checksums: every form that coreutils writes, and lines that are none."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolerunner.errors import LocalFileFailed, StepError
from rolerunner.selection.checksum_files import format_checksum, read_checksums

if TYPE_CHECKING:
    from pathlib import Path

MD5, SHA1, SHA256 = "0" * 32, "a" * 40, "F" * 64


def read(folder: Path, content: bytes) -> list[tuple[str, str, str]]:
    path = folder / "SUMS"
    path.write_bytes(content)
    return [(each.name, each.algorithm, each.digest) for each in read_checksums(path)]


def test_all_forms(tmp_path: Path) -> None:
    content = (
        f"# made by hand\n\n{MD5}  a\n{SHA1} *./b c\r\n{SHA256}   d\nSHA256 (e (1)) = {SHA256}\n"
        f"\\{MD5}  f\\n\\\\g\n{MD5}  back\\slash"
    )
    assert read(tmp_path, content.encode()) == [
        ("a", "MD5", MD5),
        ("b c", "SHA1", SHA1),
        (" d", "SHA256", SHA256.lower()),
        ("e (1)", "SHA256", SHA256.lower()),
        ("f\n\\g", "MD5", MD5),
        ("back\\slash", "MD5", MD5),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"x  a", "line 2 is no checksum"),
        (b"0" * 33 + b"  a", "line 2 is no checksum"),
        (b"0" * 32 + b"  ", "line 2 is no checksum"),
        (b"\\" + b"0" * 32 + b"  a\\t", "line 2 has the unknown escape"),
        (b"\\" + b"0" * 32 + b"  a\\", "line 2 has the unknown escape"),
        (b"0" * 32 + b"  \xff", "line 2 is not UTF-8"),
        (b"0" * 20_000, "line 2 has more than 16,384 bytes"),
    ],
)
def test_a_line_that_is_no_checksum_is_told_with_its_number(
    tmp_path: Path, line: bytes, message: str
) -> None:
    with pytest.raises(StepError, match=message):
        read(tmp_path, f"{MD5}  a\n".encode() + line + b"\n")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LocalFileFailed):
        list(read_checksums(tmp_path / "none"))


def test_coreutils_reads_what_is_written(tmp_path: Path) -> None:
    names = ["a", "line\nbreak", "back\\slash", " *", "cr\rend\r"]
    for name in names:
        (tmp_path / name).write_text(name)
    lines = [format_checksum(name, hashlib.sha256(name.encode()).hexdigest()) for name in names]
    (tmp_path / "SUMS").write_bytes("".join(lines).encode())
    command = ["sha256sum", "--check", "--strict", "--quiet", "SUMS"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    written = subprocess.run(
        ["sha256sum", *names], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    path = tmp_path / "WRITTEN"
    path.write_bytes(written)
    assert [each.name for each in read_checksums(path)] == names


@given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_what_is_written_is_read(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    if name.startswith("./"):
        return
    folder = tmp_path_factory.getbasetemp()
    assert read(folder, format_checksum(name, MD5).encode()) == [(name, "MD5", MD5)]
