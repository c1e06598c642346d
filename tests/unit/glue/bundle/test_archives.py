"""Tests zips and wheels whose bytes depend on their content alone."""

from __future__ import annotations

import base64
import csv
import hashlib
import zipfile
from io import BytesIO

import rolerunner
from rolerunner.glue.bundle import archives


def test_our_own_wheel_is_whole_however_we_are_installed() -> None:
    name, data = archives.make_own_wheel()
    assert name == f"rolerunner-{rolerunner.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(BytesIO(data)) as opened:
        info = name.replace("-py3-none-any.whl", ".dist-info")
        listed = {
            row[0]: row[1:]
            for row in csv.reader(opened.read(f"{info}/RECORD").decode().splitlines())
        }
        assert set(listed) == set(opened.namelist())
        for path, (digest, size) in listed.items():
            if digest:
                found = (
                    base64.urlsafe_b64encode(hashlib.sha256(opened.read(path)).digest())
                    .rstrip(b"=")
                    .decode()
                )
                assert (digest, size) == (f"sha256={found}", str(len(opened.read(path))))
        assert {
            "rolerunner/glue/bundle/locks/cp39.txt",
            "rolerunner/glue/bundle/runtimes/pythonshell.txt",
            "rolerunner/schema.json",
            "rolerunner/template/job.yaml",
            f"{info}/entry_points.txt",
        } <= set(listed)
        assert not [path for path in listed if "__pycache__" in path]


def test_the_unpacked_size_does_not_depend_on_compression() -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a", b"x" * 1000)
        opened.writestr("b/c", b"yy")
    assert archives.measure_unpacked(buffer.getvalue()) == 1002
