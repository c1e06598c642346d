"""Local files of a run: private folders, no writes through links, nothing left behind."""

import gzip
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.memory_aws import Store

ENGINES = pytest.mark.parametrize("engine", ["fast", "boto3"])
HEAD = """
version: 1
name: disk
engine: {engine}
on_failure: finish
roles: {{reader: "arn:aws:iam::444455556666:role/reader",
         writer: "arn:aws:iam::444455556666:role/writer"}}
steps:
"""
DOWN = (
    '  - {{id: down, action: s3.download, role: reader, source: "s3://landing/p/", '
    "target: out/{more}}}\n"
)
FIND = '  - {{id: find, action: s3.list, role: reader, source: "s3://landing/p/"}}\n'


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder for temporary files of runs."""
    path = tmp_path / "tmp"
    path.mkdir()
    return path


def begin(
    folder: Path, engine: str, steps: str, more: str = "", **environment: str
) -> "subprocess.Popen[bytes]":
    (folder / "spec.yaml").write_text((HEAD + steps).format(engine=engine, more=more))
    command = [
        sys.executable,
        "-m",
        "rolerunner",
        "run",
        "spec.yaml",
        "--result",
        "result.json",
        "--report",
        "report.html",
    ]
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), **environment}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def run(
    folder: Path, engine: str, steps: str, more: str = "", **environment: str
) -> dict[str, Any]:
    with begin(folder, engine, steps, more, **environment) as process:
        out, _ = process.communicate(timeout=100)
    assert b"Traceback" not in out
    return {
        "exit": process.returncode,
        "out": out.decode(),
        **json.loads((folder / "result.json").read_text()),
    }


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(".rolerunner-*"))


@ENGINES
def test_links_at_temporary_names_are_not_written_through(
    memory_aws: Store, tmp_path: Path, temporary: Path, engine: str
) -> None:
    private = tmp_path / "private"
    private.write_bytes(b"private")
    for number in range(200):
        memory_aws.put(
            "landing",
            f"p/{number}",
            gzip.compress(b"x") if number % 2 else b"y" * (300_000 if number == 0 else 10),
        )
    seen: set[str] = set()

    def plant(request: Any) -> None:
        if request.key and (tmp_path / "out").is_dir():
            with memory_aws.lock:
                seen.update(
                    name for name in os.listdir(tmp_path / "out") if name.startswith(".rolerunner-")
                )
                for name in seen:
                    if not os.path.lexists(tmp_path / "out" / name):
                        os.symlink(private, tmp_path / "out" / name)

    memory_aws.hook = plant
    result = run(tmp_path, engine, DOWN)
    assert private.read_bytes() == b"private"
    assert result["exit"] == 0 or "replaced" in result["out"]
    assert all(
        not path.is_symlink() for path in (tmp_path / "out").iterdir() if path.name.isdigit()
    )


@ENGINES
def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(
    memory_aws: Store, tmp_path: Path, temporary: Path, engine: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x").write_bytes(b"private")
    (tmp_path / "out/d").mkdir(parents=True)
    memory_aws.put("landing", "p/d/x", b"x")

    def swap(request: Any) -> None:
        if request.method == "GET" and request.key and not (tmp_path / "out/d").is_symlink():
            (tmp_path / "out/d").rename(tmp_path / "out/was")
            (tmp_path / "out/d").symlink_to(elsewhere)

    memory_aws.hook = swap
    result = run(tmp_path, engine, DOWN)
    assert [path.name for path in elsewhere.iterdir()] == ["x"]
    assert (elsewhere / "x").read_bytes() == b"private"
    if engine == "fast":  # it creates the file after the swap, the other engine before it
        assert result["steps"][0]["error"]["type"] == "UnsafeKey"


@ENGINES
def test_the_folder_of_a_run_goes_but_for_what_the_result_names(
    memory_aws: Store, tmp_path: Path, temporary: Path, engine: str
) -> None:
    (temporary / "rolerunner").write_bytes(b"of another user")
    for number in range(3):
        memory_aws.put("landing", f"p/{number}", b"x")
    assert run(tmp_path, engine, DOWN)["exit"] == 0
    assert [path.name for path in temporary.iterdir()] == ["rolerunner"]
    before = os.umask(0)
    try:
        result = run(tmp_path, engine, FIND + DOWN)
    finally:
        os.umask(before)
    manifest = Path(result["steps"][0]["outputs"]["objects"]["manifest"])
    folder = next(path for path in temporary.iterdir() if path.is_dir())
    assert [json.loads(line)["key"] for line in manifest.read_text().splitlines()] == [
        "p/0",
        "p/1",
        "p/2",
    ]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.rglob("*")) == [manifest]
    for path in (manifest, tmp_path / "result.json", tmp_path / "report.html"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@ENGINES
def test_the_lists_of_a_failed_step_stay_for_its_hint(
    memory_aws: Store, tmp_path: Path, temporary: Path, engine: str
) -> None:
    for number in range(3):
        memory_aws.put("landing", f"p/{number}", b"x")
    (tmp_path / "out/1").mkdir(parents=True)
    (tmp_path / "out/2").mkdir(parents=True)
    step = run(tmp_path, engine, DOWN)["steps"][0]
    assert step["status"] == "failed"
    manifest = Path(
        next(line for line in step["error"]["hint"].splitlines() if "/" in line).partition(" ")[0]
    )
    assert len(manifest.read_text().splitlines()) == 3


@ENGINES
def test_what_a_killed_run_left_goes_with_the_next_one(
    memory_aws: Store, tmp_path: Path, temporary: Path, engine: str
) -> None:
    memory_aws.put("landing", "p/d/large", b"x" * (20 << 20))
    memory_aws.put("landing", "p/d/larger", b"x" * (20 << 20))

    def slow(request: Any) -> None:
        if request.method == "GET" and request.key:
            time.sleep(1)

    memory_aws.hook = slow
    with begin(tmp_path, engine, DOWN) as process:
        while not leftovers(tmp_path / "out") and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert leftovers(tmp_path / "out")
    killed = [path for path in temporary.iterdir() if path.name.startswith("rolerunner-run-")]
    assert killed
    time.sleep(0.3)  # the processes that it forked see that it is gone
    memory_aws.hook = None
    user = tmp_path / "out/.rolerunner-notes"
    user.touch()
    assert run(tmp_path, engine, FIND)["exit"] == 0
    assert leftovers(tmp_path / "out") == [user]
    assert not any(path.exists() for path in killed)


@ENGINES
def test_a_try_that_was_left_behind_leaves_no_files(
    memory_aws: Store, tmp_path: Path, temporary: Path, engine: str
) -> None:
    memory_aws.put("landing", "p/d/large", b"x" * (20 << 20))

    def hang(request: Any) -> None:
        if request.method == "GET" and request.key:
            time.sleep(8)

    memory_aws.hook = hang
    result = run(tmp_path, engine, DOWN, ", timeout: 1s")
    assert result["steps"][0]["error"]["type"] == "Timeout"
    assert leftovers(tmp_path / "out") == []


@ENGINES
@pytest.mark.parametrize("body", [b"", gzip.compress(b"text" * 100, mtime=0)[:-9], b"text"])
def test_a_gzip_file_that_is_none_is_a_failure(
    memory_aws: Store, tmp_path: Path, temporary: Path, engine: str, body: bytes
) -> None:
    memory_aws.put("landing", "p/a.csv.gz", body)
    step = run(tmp_path, engine, DOWN, ", decompress: gzip")["steps"][0]
    assert (step["status"], step["error"]["type"]) == ("failed", "NotGzip")
    assert list((tmp_path / "out").rglob("*")) == []
