"""A signal stops a run within five seconds, with its result and the signal's exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.memory_aws import Request, Store

HEAD = """
version: 1
name: signals
roles:
  reader: arn:aws:iam::444455556666:role/reader
  writer: arn:aws:iam::444455556666:role/writer
"""
WRITE = "steps: [{id: work, action: s3.write, role: writer, target: 's3://bucket/end', text: x}]"
STATE = "state: {location: 's3://bucket/state/', role: writer}\n"
CALL = "steps: [{id: work, action: python.call, function: 'job.py:run'}]"
WAIT = CALL.replace("job.py:run", "job.py:wait")
FAILURE = """
steps:
  - {id: first, action: python.call, function: "job.py:fail"}
  - {id: work, action: s3.write, role: writer, when: on_failure, target: "s3://bucket/end", text: x}
"""
UPLOAD = (
    "steps: [{id: work, action: s3.upload, role: writer, source: big.bin, "
    "target: 's3://bucket/end'}]"
)
LIST = "steps: [{id: work, action: s3.list, role: reader, source: 's3://bucket/p/'}]"
ITEMS = """
steps:
  - id: work
    action: python.call
    function: job.py:run
    for_each: {items: [1, 2, 3, 4, 5, 6, 7, 8], max_parallel: 2}
    arguments: {x: "${{ item }}"}
"""
HANGS: dict[str, tuple[str, Any]] = {
    "who the job is": (WRITE, lambda r: r.query.get("Action") == "GetCallerIdentity"),
    "who the job is, beside workers": (
        UPLOAD,
        lambda r: r.query.get("Action") == "GetCallerIdentity",
    ),
    "assuming a role": (WRITE, lambda r: r.query.get("Action") == "AssumeRole"),
    "assuming a role lazily": ("assume: lazily\n" + WRITE, lambda r: r.service == "sts"),
    "reading the state": (STATE + WRITE, lambda r: r.key.startswith("state/")),
    "writing the state": (
        STATE + WRITE,
        lambda r: r.key.startswith("state/") and r.method == "PUT" and b'"work"' in r.body,
    ),
    "a write": (WRITE, lambda r: r.method == "PUT"),
    "a part of an upload": (UPLOAD, lambda r: "partNumber" in r.query),
    "a listing": (LIST, lambda r: "list-type" in r.query),
    "a step for failures": (FAILURE, lambda r: r.method == "PUT"),
    "a function": (CALL, None),
    "items": (ITEMS, None),
}
JOB = """
import ctypes, pathlib, subprocess, time

def run(context, x=0):
    pathlib.Path("hangs").touch()
    ctypes.CDLL(None).sleep(60)

def fail(context):
    raise RuntimeError

def wait(context):
    pathlib.Path("hangs").touch()
    context.cancel.wait(60)
    context.cancel.stop_if_set()

def run_child(context):
    subprocess.run(["false"], check=True)
"""


@pytest.fixture
def hang(memory_aws: Store, tmp_path: Path) -> Iterator[Callable[[Any], None]]:
    """Requests that hang until the test has ended."""
    over = threading.Event()

    def hang_on(matches: Any) -> None:
        def hook(request: Request) -> None:
            if matches(request):
                (tmp_path / "hangs").touch()
                over.wait(60)

        memory_aws.hook = hook

    yield hang_on
    over.set()


def start(tmp_path: Path, spec: str, *launcher: str) -> subprocess.Popen[bytes]:
    if spec:
        (tmp_path / "spec.yaml").write_text(HEAD + spec)
    (tmp_path / "job.py").write_text(JOB)
    command = [
        *launcher,
        sys.executable,
        "-m",
        "rolerunner",
        "run",
        "spec.yaml",
        "--result",
        "r.json",
        "--log-format",
        "json",
    ]
    return subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )


def wait_for_file(path: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 40
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("name", HANGS)
@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_a_signal_stops_what_hangs(
    engine: str, name: str, tmp_path: Path, hang: Callable[[Any], None]
) -> None:
    spec, matches = HANGS[name]
    if engine == "boto3" and matches is None:
        pytest.skip("no objects are moved")
    if matches is not None:
        hang(matches)
    with (tmp_path / "big.bin").open("wb") as file:
        file.truncate(40 << 20)
    number = signal.SIGINT if engine == "boto3" else signal.SIGTERM
    process = start(tmp_path, f"engine: {engine}\n{spec}")
    wait_for_file(tmp_path / "hangs", process)
    started_at = time.monotonic()
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    took = time.monotonic() - started_at
    assert process.returncode == 128 + number, out
    assert b"Traceback" not in out
    read = json.loads((tmp_path / "r.json").read_text())
    assert read["status"] == "stopped"
    assert {step["id"]: step["status"] for step in read["steps"]}["work"] in ("not_run", "failed")
    assert read["seconds"] < 60
    assert took < 5 + 2.5  # the limit, and what a loaded machine adds


def test_a_signal_stops_a_credential_process_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    script = tmp_path / "hang.sh"
    script.write_text(f"touch {tmp_path}/hangs; exec sleep 10\n")
    (tmp_path / "config").write_text(f"[profile slow]\ncredential_process = sh {script}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "slow")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    process = start(tmp_path, UPLOAD)
    wait_for_file(tmp_path / "hangs", process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=7.5)
    assert process.returncode == 143
    assert json.loads((tmp_path / "r.json").read_text())["status"] == "stopped"


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path, memory_aws: Store) -> None:
    process = start(tmp_path, CALL)
    wait_for_file(tmp_path / "hangs", process)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=2.5)
    assert process.returncode == 143


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_run_begins_is_in_its_result(number: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "spec.yaml")
    process = start(tmp_path, "")
    writer = os.open(tmp_path / "spec.yaml", os.O_WRONLY)  # once the command reads its spec
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    os.close(writer)
    assert process.returncode == 128 + number, out
    assert b"Traceback" not in out
    read = json.loads((tmp_path / "r.json").read_text())
    assert (read["status"], read["error"]["type"]) == ("stopped", "Stopped")
    assert signal.Signals(number).name in read["error"]["message"]


def test_a_signal_that_a_launcher_forwards_counts_once(tmp_path: Path, memory_aws: Store) -> None:
    process = start(tmp_path, WAIT)
    wait_for_file(tmp_path / "hangs", process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert json.loads((tmp_path / "r.json").read_text())["status"] == "stopped"


LAUNCHERS = {
    "nohup": ("signal(SIGHUP, SIG_IGN)", signal.SIGHUP),
    "a script's &": ("signal(SIGINT, SIG_IGN)", signal.SIGINT),
    "ignores SIGTERM": ("signal(SIGTERM, SIG_IGN)", None),
    "blocks signals": ("pthread_sigmask(SIG_BLOCK, {SIGTERM})", None),
}
"""Maps what a launcher did to how it did it, and to a signal that the run ignores then."""


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_run_stops_under_every_launcher(launcher: str, tmp_path: Path, memory_aws: Store) -> None:
    done, ignored = LAUNCHERS[launcher]
    code = f"import os, sys; from signal import *; {done}; os.execv(sys.argv[1], sys.argv[1:])"
    process = start(tmp_path, WAIT, sys.executable, "-c", code)
    wait_for_file(tmp_path / "hangs", process)
    if ignored is not None:
        process.send_signal(ignored)
        time.sleep(0.4)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 143
    assert json.loads((tmp_path / "r.json").read_text())["status"] == "stopped"


def test_a_child_that_fails_is_no_success_where_sigchld_was_ignored(
    tmp_path: Path, memory_aws: Store
) -> None:
    code = "import os, sys; from signal import *; signal(SIGCHLD, SIG_IGN)"
    code += "; os.execv(sys.argv[1], sys.argv[1:])"
    spec = CALL.replace("job.py:run", "job.py:run_child")
    process = start(tmp_path, spec, sys.executable, "-c", code)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 4, out
    assert b"CalledProcessError" in out
