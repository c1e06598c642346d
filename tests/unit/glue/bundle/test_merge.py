"""Merged wheels: pip installs one, and finds nothing to look up; conflicts are named."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from rolerunner.errors import UsageError
from rolerunner.glue.bundle import archives, merge

TAG = "py3-none-linux_x86_64"
PLUGIN = archives.make_wheel(
    "my-plugin",
    "2.1",
    {"my_plugin/__init__.py": b"name = 'plugin'\n", "my_plugin/data, all.sql": b"select 1"},
    "Metadata-Version: 2.1\nName: my-plugin\nVersion: 2.1\nLicense: MIT\n"
    "Requires-Dist: absent>=9\n",
    "[rolerunner.actions]\nhello = my_plugin:name\n",
)
SPREAD = archives.make_wheel(
    "spread",
    "1.0",
    {
        "spread-1.0.data/purelib/spread.py": b"",
        "spread-1.0.data/scripts/spread-it": b"#!python\n",
        "spread/tool": b"#!/bin/sh\n",
    },
    executables={"spread/tool"},
)


def test_pip_installs_it_without_an_index_and_metadata_of_all_is_found(tmp_path: Path) -> None:
    name, data = merge.merge_wheels(dict([PLUGIN, SPREAD]), "0.2.0", TAG)
    assert name == f"rolerunner_bundle-0.2.0-{TAG}.whl"
    (tmp_path / name).write_bytes(data)
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "--no-index", f"--target={target}", str(tmp_path / name)], check=True)
    code = (
        "from importlib.metadata import distribution, entry_points, version\n"
        "found = distribution('my-plugin')\n"
        "entry, = (e for e in found.entry_points if e.group == 'rolerunner.actions')\n"
        "print(version('spread'), version('my-plugin'), found.metadata['License'], entry.load())\n"
        "print(found.requires, distribution('rolerunner-bundle').requires)\n"
        "print(all(file.locate().is_file() for file in found.files), len(found.files))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(target)},
    )
    assert ended.stdout.splitlines() == [
        "1.0 2.1 MIT plugin",
        "['absent>=9'] None",
        "True 6",
    ]
    assert (target / "spread.py").is_file()
    assert (target / "bin/spread-it").is_file()
    assert os.access(target / "spread/tool", os.X_OK)


def test_the_order_of_the_wheels_and_other_times_do_not_change_its_bytes() -> None:
    one = merge.merge_wheels(dict([PLUGIN, SPREAD]), "0.2.0", TAG)
    assert one == merge.merge_wheels(dict([SPREAD, PLUGIN]), "0.2.0", TAG)
    with zipfile.ZipFile(BytesIO(one[1])) as opened:
        assert {info.date_time for info in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        wheel = opened.read("rolerunner_bundle-0.2.0.dist-info/WHEEL").decode()
        assert "Root-Is-Purelib: false\n" in wheel
        assert f"Tag: {TAG}\n" in wheel


@pytest.mark.parametrize(
    ("mine", "theirs", "conflict"),
    [
        ({"a/x.py": b"1"}, {"a/x.py": b"2"}, "a/x.py"),
        ({"a.py": b"1"}, {"a/__init__.py": b"1"}, "a"),
        ({"a/more.py": b"1"}, {"a/__init__.py": b"1"}, "a"),
        ({"a/more.py": b"1"}, {"a.py": b"1"}, "a"),
        ({"a/__init__.py": b"1"}, {"a/more.py": b"1"}, None),
        ({"a/x.py": b"1"}, {"a/y.py": b"1"}, None),
        ({"a/x.py": b"1"}, {"a/x.py": b"1"}, None),
    ],
)
def test_files_of_two_wheels_that_differ_or_hide_one_another_are_named(
    mine: dict[str, bytes], theirs: dict[str, bytes], conflict: str | None
) -> None:
    code, data = archives.make_wheel("mine", "1", mine)
    wheels = dict([archives.make_wheel("theirs", "1", theirs), (code, data)])
    if conflict is None:
        merge.check_conflicts(wheels, [code])
        return
    with pytest.raises(UsageError, match=f"both contain '{conflict}'") as error:
        merge.check_conflicts(wheels, [code])
    assert all(name in str(error.value) for name in wheels)


def test_other_wheels_may_add_to_a_package() -> None:
    wheels = dict(
        [
            archives.make_wheel("base", "1", {"a/__init__.py": b""}),
            archives.make_wheel("plugin", "1", {"a/plugin.py": b""}),
        ]
    )
    merge.check_conflicts(wheels)


def test_what_is_no_wheel_is_named() -> None:
    with pytest.raises(UsageError, match=r"x-1\.whl is not a wheel"):
        merge.check_conflicts({"x-1.whl": archives.make_zip({"x.py": b""})})
