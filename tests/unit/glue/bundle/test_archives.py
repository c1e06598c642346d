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
            "rolerunner/schema.json",
            "rolerunner/template/job.yaml",
            f"{info}/entry_points.txt",
        } <= set(listed)
        assert not [path for path in listed if "__pycache__" in path]
