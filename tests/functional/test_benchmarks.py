"""The benchmarks run, and write their results and charts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(
        not shutil.which("cc") or not os.path.exists("/usr/include/openssl/ssl.h"),
        reason="the null server is written in C",
    ),
]


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "bench/run.py"), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def test_works_are_measured_and_proved(tmp_path: Path) -> None:
    chosen = [
        word
        for name in ("download-small", "list", "relay-small", "delete")
        for word in ("--only", name)
    ]
    completed = bench(
        "--quick",
        *chosen,
        "--setting",
        "tls",
        "--tool",
        "rolerunner",
        "--out",
        tmp_path,
        "--cache",
        tmp_path,
    )
    assert completed.returncode == 0, completed.stderr
    measured = json.loads((tmp_path / "benchmarks.json").read_text())["series"]
    assert [(each["work"], each["why"], len(each["costs"])) for each in measured] == [
        ("download-small", "", 1),
        ("list", "", 1),
        ("relay-small", "", 1),
        ("delete", "", 1),
    ]
    assert all(
        0 < cost["cpu"] < 30 and 20 < cost["peak"] < 250
        for each in measured
        for cost in each["costs"]
    )
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| download 500 x 16 KiB | TLS |" in page
    assert ET.parse(tmp_path / "benchmarks.svg").getroot().tag.endswith("svg")
    again = bench("--page-only", "--out", tmp_path, "--cache", tmp_path)
    assert (again.returncode, (tmp_path / "benchmarks.md").read_text()) == (0, page)
    added = bench(
        "--quick",
        "--only",
        "copy",
        "--only",
        "list",
        "--setting",
        "tls",
        "--tool",
        "rolerunner",
        "--add",
        "--out",
        tmp_path,
        "--cache",
        tmp_path,
    )
    assert added.returncode == 0, added.stderr
    now = {
        each["work"]: each
        for each in json.loads((tmp_path / "benchmarks.json").read_text())["series"]
    }
    assert list(now) == ["download-small", "list", "copy", "relay-small", "delete"]
    kept, new = now["delete"], now["list"]
    assert kept == {**measured[3], "measured": kept["measured"]}
    assert (kept["measured"][:2], new["measured"], new["costs"] != measured[1]["costs"]) == (
        "20",
        "",
        True,
    )


@pytest.mark.slow
def test_the_workloads_of_awss_suite_are_measured_beside_the_limit(tmp_path: Path) -> None:
    tools = ["--tool", "rolerunner", "--tool", "yardstick"]
    places = ["--out", tmp_path, "--cache", tmp_path]
    works = ["download-5GiB-1x", "upload-5GiB-1x", "download-Caltech256"]
    chosen = [word for name in works for word in ("--only", name)]
    completed = bench("--quick", *chosen, *tools, *places)
    assert completed.returncode == 0, completed.stderr
    measured = json.loads((tmp_path / "benchmarks.json").read_text())["series"]
    assert not [each for each in measured if each["why"]]
    ours, limit = (
        {each["work"] for each in measured if each["tool"] == tool and each["costs"]}
        for tool in ("rolerunner", "yardstick")
    )
    assert (ours, limit) == (set(works), {"download-5GiB-1x", "upload-5GiB-1x"})
    page = (tmp_path / "benchmarks.md").read_text()
    assert (
        "| download 1,530 x 38 KiB on average | workloads of AWS's benchmark suite, TLS |" in page
    )
    assert "objects of 512 MiB, since 50 GiB do not fit here" in page
