"""The embedded AWS as a child process on loopback. The only module that knows the emulator, ministack.

It is young and may be replaced: nothing outside this file depends on its settings, its health check or its record.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rolerunner.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER_PYTHON = "ROLERUNNER_SANDBOX_PYTHON"
"""Names an interpreter that has the emulator, where this one cannot: it needs Python 3.10."""
_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_TRIES = 3
_LOG_LINES = 15
# The child ends when this process does, even by kill -9: its standard input is a pipe that closes then.
_BOOTSTRAP = """
import os, runpy, sys, threading
def watch():
    sys.stdin.buffer.read()
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
sys.argv = ["ministack"]
runpy.run_module("ministack", run_name="__main__")
"""
_KEPT_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "SYSTEMROOT", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH")


@dataclass(frozen=True)
class Server:
    """A running emulator."""

    endpoint: str
    pid: int
    folder: Path


@contextlib.contextmanager
def started() -> Iterator[Server]:
    """The emulator, answering; it and its folder are gone when the block ends. Raises SandboxError."""
    python = interpreter()
    folder = Path(tempfile.mkdtemp(prefix="rolerunner-sandbox-"))
    process = None
    try:
        process, port = _first_that_answers(python, folder)
        yield Server(f"http://127.0.0.1:{port}", process.pid, folder)
    finally:
        if process is not None:
            _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def interpreter() -> str:
    """The interpreter that has the emulator. Raises SandboxError with what to install."""
    if importlib.util.find_spec("ministack") is not None:
        return sys.executable
    other = os.environ.get(OTHER_PYTHON)
    if other and subprocess.run([other, "-c", "import ministack"], capture_output=True, check=False).returncode == 0:  # noqa: S603
        return other
    if other:
        raise SandboxError(f"{OTHER_PYTHON}={other} cannot import the emulator: {other} -m pip install 'rolerunner[sandbox]'")
    if sys.version_info < (3, 10):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SandboxError(
            f"the sandbox needs Python 3.10 or newer, this is {version}: run rolerunner there, "
            f"or set {OTHER_PYTHON} to an interpreter that has 'rolerunner[sandbox]'"
        )
    raise SandboxError("the sandbox is an extra: pip install 'rolerunner[sandbox]'")


def _first_that_answers(python: str, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    log = folder / "server.log"
    for _ in range(_TRIES):  # another process may take the port between our look and the child's bind
        port = _free_port()
        process = _spawn(python, folder, port, log)
        if _answers(process, port):
            return process, port
        _stop(process)
    raise SandboxError(f"the sandbox did not start:\n{_tail(log)}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _spawn(python: str, folder: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    environment.update(
        AUTH="true",  # this turns IAM's enforcement on
        BIND_HOST="127.0.0.1",
        CLOUDTRAIL_RECORDING="1",
        GATEWAY_PORT=str(port),
        LOG_LEVEL="WARNING",
        S3_DATA_DIR=str(folder / "s3"),
        STATE_DIR=str(folder / "state"),
    )
    with log.open("ab") as output:
        # A session of its own: Ctrl-C at the terminal is for rolerunner, which then stops the child itself.
        return subprocess.Popen(  # noqa: S603
            [python, "-c", _BOOTSTRAP], env=environment, cwd=folder, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
        )


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    # not urllib's default opener: a proxy of the user's environment has no business on loopback
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, urllib.error.URLError), opener.open(f"http://127.0.0.1:{port}/_ministack/ready", timeout=1) as answer:
            if answer.status == 200:  # noqa: PLR2004 - HTTP's OK
                return True
        time.sleep(0.02)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
    return ""
