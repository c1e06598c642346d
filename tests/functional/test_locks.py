"""Run-key locks: live holders keep them, dead ones lose them, a failed renewal stops the run."""

from __future__ import annotations

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import StateHeld, UsageError
from tests import memory_aws as memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.memory_aws import Store

FUNCTIONS = """
import os, time
from pathlib import Path

def say(context, value=None):
    return {"value": value}

def wait(context, path):
    Path(path).write_text("began")
    context.cancel.wait(30)
    Path(path + ".stopped").write_text(str(time.monotonic()))

def die(context, path):
    with Path(path).open("a") as file:
        file.write("x")
    os.kill(os.getpid(), 9)

def raises(context, path, kind):
    with Path(path).open("a") as file:
        file.write("x")
    if kind:
        raise type(kind, (Exception,), {})("no")
"""


@pytest.fixture(autouse=True)
def _functions(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "lock_code.py").write_text(FUNCTIONS)
    yield
    sys.modules.pop("lock_code", None)


def write(
    tmp_path: Path,
    where: str,
    function: str,
    stale_after: str = "60s",
    more: str = "",
    **arguments: Any,
) -> Path:
    place = (
        f"location: {tmp_path}/state"
        if where == "folder"
        else "location: 's3://ops/state/', role: job"
    )
    path = tmp_path / "job.yaml"
    path.write_text(
        f"version: 1\nname: t\nstate: {{{place}, stale_after: {stale_after}}}\n"
        "steps:\n"
        f"  - {{id: a, action: python.call, function: 'lock_code:{function}', "
        f"arguments: {json.dumps(arguments)}{more}}}\n"
    )
    return path


def start(tmp_path: Path, *before: str) -> subprocess.Popen[str]:
    """Starts a run in its own process, by the command ``before``, and waits for its step."""
    process = subprocess.Popen(
        [
            *before,
            sys.executable,
            "-m",
            "rolerunner",
            "run",
            "job.yaml",
            "--run-key",
            "k",
            "--result",
            "r.json",
        ],
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "step").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def kill_group(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def run(path: Path, **more: Any) -> Any:
    return api.run(api.load(path), run_key="k", **more)


def wait_for_lock(path: Path, seconds: float) -> None:
    """Wait until a run gets the key, which it must within some seconds."""
    started_at = time.monotonic()
    while True:
        try:
            assert run(path).status == "succeeded"
            return
        except StateHeld:
            assert time.monotonic() - started_at < seconds
            time.sleep(0.1)


UNSHARE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def may_unshare() -> bool:
    return (
        shutil.which("unshare") is not None
        and subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode == 0
    )


needs_unshare = pytest.mark.skipif(
    not may_unshare(), reason="this user may not make pid namespaces, or there is no unshare"
)
LIBRARY = next(iter(sorted(glob.glob("/usr/lib/*/faketime/libfaketime.so.1"))), "")
needs_faketime = pytest.mark.skipif(
    not LIBRARY, reason="there is no libfaketime: apt-get install faketime"
)


@needs_unshare
@pytest.mark.parametrize("where", ["folder", "s3"])
def test_a_pid_of_another_namespace_does_not_count(
    where: str, tmp_path: Path, memory_aws: Store
) -> None:
    """A holder in a container has pid 1 or 2, which is another process, or none, elsewhere."""
    path = write(tmp_path, where, "wait", stale_after="4s", path=str(tmp_path / "step"))
    process = start(tmp_path, *UNSHARE)
    try:
        with pytest.raises(StateHeld):
            run(path)
    finally:
        kill_group(process)
    write(tmp_path, where, "say", stale_after="4s")
    with pytest.raises(StateHeld):  # that it is dead is known from its age alone
        run(path)
    wait_for_lock(path, 60)


@needs_unshare
def test_a_holder_outside_lives_for_those_in_a_namespace(tmp_path: Path) -> None:
    path = write(tmp_path, "folder", "wait", stale_after="60s", path=str(tmp_path / "step"))
    process = start(tmp_path)
    try:
        command = [*UNSHARE, sys.executable, "-m", "rolerunner", "run", str(path), "--run-key", "k"]
        second = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
        assert (second.returncode, "is held by run" in second.stderr) == (2, True), second.stderr
    finally:
        kill_group(process)
    write(tmp_path, "folder", "say", stale_after="60s")
    assert run(path).status == "succeeded", (
        "and in its own namespace a dead process is known at once"
    )


@needs_faketime
@needs_unshare
@pytest.mark.parametrize("skew", ["+20m", "-20m"])
@pytest.mark.parametrize("where", ["folder", "s3"])
@pytest.mark.slow
def test_a_machine_whose_clock_is_wrong_neither_steals_nor_blocks(
    where: str, skew: str, tmp_path: Path, memory_aws: Store
) -> None:
    path = write(tmp_path, where, "wait", stale_after="4s", path=str(tmp_path / "step"))
    # not the command faketime: it shares memory with its child under a name made of its pid, which
    # is small in a namespace
    process = start(
        tmp_path,
        *UNSHARE,
        "env",
        f"LD_PRELOAD={LIBRARY}",
        f"FAKETIME={skew}",
        "DONT_FAKE_MONOTONIC=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    )
    try:
        with pytest.raises(StateHeld) as raised:
            run(path)
        renewed = datetime.fromisoformat(str(raised.value).split("last renewed ")[1].split(";")[0])
        assert abs(renewed - datetime.now(timezone.utc)) > timedelta(minutes=15), (
            "its clock is wrong"
        )
    finally:
        kill_group(process)
    write(tmp_path, where, "say", stale_after="4s")
    wait_for_lock(path, 60)


def render_held_document(renewed: datetime) -> bytes:
    holder = {
        "run_id": "r",
        "host": "elsewhere",
        "pid": 1,
        "since": renewed.isoformat(),
        "renewed": renewed.isoformat(),
        "stale_after": 120.0,
    }
    started = "2026-01-01T00:00:00.000+00:00"
    return json.dumps(
        {"version": 1, "job": "t", "key": "k", "started": started, "holder": holder, "steps": {}}
    ).encode()


@pytest.mark.parametrize("where", ["folder", "s3"])
@pytest.mark.parametrize("says", [-3600, 3600])
@pytest.mark.parametrize("age", [0, 600])
def test_ages_are_those_of_the_place(
    age: int, says: int, where: str, tmp_path: Path, memory_aws: Store
) -> None:
    """A lock's age is that of its document by the server's clock, not the time written in it."""
    now = datetime.now(timezone.utc)
    document = render_held_document(now + timedelta(seconds=says))
    if where == "folder":
        path = tmp_path / "state/t/k.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(document)
        os.utime(path, (time.time() - age, time.time() - age))
    else:
        memory_aws.put("ops", "state/t/k.json", document, modified=now - timedelta(seconds=age))
    spec = write(tmp_path, where, "say")
    if age:
        assert run(spec).status == "succeeded"
    else:
        with pytest.raises(StateHeld):
            run(spec)


# a holder that cannot renew


class Outage:
    """A state bucket that answers as usual until ``begin``."""

    def __init__(self, store: Store, kind: str) -> None:
        self._store, self._kind = store, kind
        self._over = threading.Event()
        self._on = False
        self.last_write = 0.0
        store.hook, store.after = self._fail_state_requests, self._note_write

    def begin(self) -> None:
        self._on = True

    def end(self) -> None:
        self._over.set()

    def _fail_state_requests(self, request: memory.Request) -> memory.Outcome:
        if not self._on or request.bucket != "ops":
            return None
        if self._kind == "503":
            return memory.error(503, "SlowDown")
        self._over.wait(60)
        return memory.DROP

    def _note_write(self, request: memory.Request) -> None:
        if request.bucket == "ops" and request.method == "PUT":
            self.last_write = time.monotonic()


@pytest.fixture(params=["503", "hang"])
def outage(request: pytest.FixtureRequest, memory_aws: Store) -> Iterator[Outage]:
    s3_outage = Outage(memory_aws, request.param)
    yield s3_outage
    s3_outage.end()


def wait_until(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_a_run_that_cannot_renew_its_lock_stops_before_it_ends(
    engine: str, outage: Outage, tmp_path: Path
) -> None:
    step = tmp_path / "step"
    path = write(tmp_path, "s3", "wait", stale_after="8s", path=str(step))
    path.write_text(path.read_text() + f"engine: {engine}\n")

    def fail_during_step() -> None:
        wait_until(step.exists)
        outage.begin()

    threading.Thread(target=fail_during_step, daemon=True).start()
    result = run(path)
    assert (result.status, result.steps[0].status) == ("failed", "failed")
    assert result.error is not None
    assert result.steps[0].error is not None
    assert (result.error.type, result.steps[0].error.type) == ("LockNotRenewed", "LockNotRenewed")
    assert "could not be renewed" in result.error.message
    stopped = float((tmp_path / "step.stopped").read_text())
    assert stopped < outage.last_write + 8, "the step stopped before another run might take the key"


@pytest.mark.parametrize("moment", ["before", "while the step runs"])
def test_a_signal_ends_a_run_whose_state_hangs(
    moment: str, tmp_path: Path, memory_aws: Store
) -> None:
    outage = Outage(memory_aws, "hang")
    step = tmp_path / "step"
    write(tmp_path, "s3", "wait", stale_after="600s", path=str(step))
    if moment == "before":
        outage.begin()
        asked = [request for request in memory_aws.requests if request.bucket == "ops"]
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "rolerunner",
                "run",
                "job.yaml",
                "--run-key",
                "k",
                "--result",
                "r.json",
            ],
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        wait_until(
            lambda: (
                [request for request in memory_aws.requests if request.bucket == "ops"] != asked
            ),
            60,
        )
    else:
        process = start(tmp_path)
        outage.begin()
    started_at = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert time.monotonic() - started_at < 5
    outage.end()
    assert process.returncode == 143, out
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["status"] == "stopped"


@pytest.mark.parametrize("key", ["new", "there"])
def test_a_server_that_keeps_no_conditions_is_refused(
    key: str, tmp_path: Path, memory_aws: Store
) -> None:
    path = write(tmp_path, "s3", "say", stale_after="60s")
    if key == "there":
        assert run(path).status == "succeeded"

    def ignore_conditions(request: memory.Request) -> None:
        request.headers.pop("if-match", None)
        request.headers.pop("if-none-match", None)

    memory_aws.hook = ignore_conditions
    with pytest.raises(UsageError, match="ignores If-Match, so two runs of one key could mix"):
        run(path)
    memory_aws.hook = None
    assert run(path).status == "succeeded", "it does not hold the key"


def test_a_lost_answer_does_not_hide_that_conditions_are_kept(
    tmp_path: Path, memory_aws: Store
) -> None:
    seen: list[str] = []

    def lose_the_first(request: memory.Request) -> memory.Outcome:
        wrong = request.method == "PUT" and set(request.headers.get("if-match", "x")) == {'"', "0"}
        seen.extend(["probe"] if wrong else [])
        return memory.DROP if wrong and len(seen) == 1 else None

    memory_aws.hook = lose_the_first
    assert run(write(tmp_path, "s3", "say", stale_after="60s")).status == "succeeded"
    assert len(seen) == 2


def test_a_run_whose_key_was_taken_says_so_in_its_result(tmp_path: Path) -> None:
    step = tmp_path / "step"
    path = write(tmp_path, "folder", "wait", stale_after="4s", path=str(step))

    def take_lock() -> None:
        wait_until(step.exists)
        document = json.loads((tmp_path / "state/t/k.json").read_text())
        document["holder"]["run_id"] = "another"
        (tmp_path / "state/t/k.json").write_text(json.dumps(document))

    threading.Thread(target=take_lock, daemon=True).start()
    result = run(path)
    assert result.error is not None
    assert (result.status, result.error.type) == ("failed", "LockLost")
    assert json.loads((tmp_path / "state/t/k.json").read_text())["holder"]["run_id"] == "another", (
        "it writes nothing more"
    )


# calls that are made once


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_a_call_whose_outcome_is_unknown_is_not_made_again(
    where: str, tmp_path: Path, memory_aws: Store
) -> None:
    path = write(tmp_path, where, "die", path=str(tmp_path / "step"), more=", idempotent: false")
    process = start(tmp_path)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    write(
        tmp_path, where, "raises", path=str(tmp_path / "step"), kind="", more=", idempotent: false"
    )
    result = run(path, take_over=True)
    assert result.steps[0].error is not None
    assert (result.status, result.steps[0].error.type) == ("failed", "OutcomeUnknown")
    assert "--only a" in result.steps[0].error.hint
    assert (tmp_path / "step").read_text() == "x"
    assert run(path).status == "failed", "nor by the next one"
    assert run(path, only=["a"]).status == "succeeded", "unless it is asked for"
    assert (tmp_path / "step").read_text() == "xx"
    assert run(path).steps[0].status == "skipped"


@pytest.mark.parametrize(("kind", "again"), [("ValueError", True), ("ReadTimeoutError", False)])
def test_a_call_that_is_known_to_have_failed_is_made_again(
    kind: str, again: bool, tmp_path: Path
) -> None:
    arguments = {"path": str(tmp_path / "calls"), "more": ", idempotent: false"}
    assert run(write(tmp_path, "folder", "raises", kind=kind, **arguments)).status == "failed"
    assert run(write(tmp_path, "folder", "raises", kind="", **arguments)).status == (
        "succeeded" if again else "failed"
    )
    assert (tmp_path / "calls").read_text() == ("xx" if again else "x")
    if again:
        path = write(tmp_path, "folder", "raises", kind="", path=str(tmp_path / "calls"))
        assert run(path).steps[0].status == "skipped", (
            "whether it is idempotent is no part of what it does"
        )
