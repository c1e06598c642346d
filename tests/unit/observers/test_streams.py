"""Standard streams that never fail: closed readers, full pipes, characters without a code."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from rolerunner.observers import streams

SCRIPT = """
import sys
from rolerunner.observers.streams import protect_standard_streams, stop_waiting_for_readers
protect_standard_streams()
"""


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("a", b"a"),
        ("\xe9", b"\\u00e9"),
        ("\U0001f600", b"\\ud83d\\ude00"),
        ("\ud83d", b"\\ud83d"),
        ("\udcff", b"\\udcff"),
        ("\xe9\xe8b", b"\\u00e9\\u00e8b"),
    ],
)
def test_characters_are_escaped_as_in_json(text: str, encoded: bytes) -> None:
    assert text.encode("ascii", streams.ESCAPE) == encoded


def test_only_encoding_is_escaped() -> None:
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", streams.ESCAPE)


def run(code: str, stdout: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT + code],
        check=False,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=60,
    )


def test_a_closed_reader_does_not_fail_the_process() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run("print('x' * 100_000)\nsys.stdout.flush()\nsys.exit(7)", stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (7, b"")


def test_a_full_disk_does_not_fail_the_process() -> None:
    with open("/dev/full", "wb") as full:
        done = run("print('x' * 100_000)\nsys.stdout.flush()\nsys.exit(7)", stdout=full)
    assert (done.returncode, done.stderr) == (7, b"")


def test_closed_descriptors_are_opened_so_that_no_file_takes_them(tmp_path: object) -> None:
    code = "print('lost')\nfile = open(sys.argv[1], 'w')\nsys.exit(file.fileno())"
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -c "$1" "$2" >&-', sys.executable, SCRIPT + code,
         f"{tmp_path}/file"],
        check=False, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode > 2
    assert done.stderr == b""


def test_a_stalled_reader_is_waited_for_one_second_once_the_run_stops() -> None:
    reader, writer = os.pipe()
    try:
        began = time.monotonic()
        done = run(
            "stop_waiting_for_readers()\nprint('x' * 1_000_000)\nsys.stdout.flush()\nsys.exit(7)",
            stdout=writer,
        )
        assert done.returncode == 7
        assert time.monotonic() - began > 1
        assert len(os.read(reader, 1 << 20)) >= 4096, "what fitted was written"
    finally:
        os.close(reader)
        os.close(writer)


def test_streams_without_a_descriptor_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    memory, kept = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", memory)
    monkeypatch.setattr(sys, "stderr", kept)
    streams.protect_standard_streams()
    streams.stop_waiting_for_readers()
    assert (sys.stdout, sys.stderr) == (memory, kept)


def test_all_output_arrives_and_a_second_protection_changes_nothing() -> None:
    code = (
        "a = sys.stdout\nprotect_standard_streams()\nassert a is sys.stdout\nprint('x' * 200_000)"
    )
    done = run(code, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"x" * 200_000 + b"\n"
