"""Runs the emulator, ministack, as a child process on loopback.

Only this module and child.py know the emulator, so that it can be replaced.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolerunner.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

OTHER_PYTHON = "ROLERUNNER_SANDBOX_PYTHON"
"""Names an interpreter with the emulator, which needs Python 3.10, if this one has none."""
_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_TRIES = 3
_LOG_LINES = 15
_CHILD = Path(__file__).with_name("child.py")
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "SYSTEMROOT", "PYTHONDONTWRITEBYTECODE")
_OF_THIS_INTERPRETER = ("PYTHONPATH", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Server:
    """A running emulator."""

    endpoint: str
    pid: int
    folder: Path
    name: str
    """Name that no other server answers with."""
    has_ended: Callable[[], bool]
    """Returns True if its process has ended."""

    def record(self) -> list[dict[str, Any]]:
        """Returns the records of all completed requests, oldest first."""
        return [
            json.loads(line)
            for line in _record_path(self.folder).read_text(encoding="utf-8").splitlines()
        ]


@contextlib.contextmanager
def start_server(port: int = 0, job_runner: Sequence[str] = ()) -> Iterator[Server]:
    """Runs the emulator inside the block, then removes its folder. Raises SandboxError.

    It listens on ``port``, or on any free one. ``job_runner`` is a command that runs a job of
    Glue; without it, jobs do not run.
    """
    python = find_interpreter()
    _require_free(port)
    folder = Path(tempfile.mkdtemp(prefix="rolerunner-sandbox-"))
    process = None
    try:
        name = secrets.token_hex(8)
        process, taken = _first_that_answers(python, folder, name, port, job_runner)
        yield Server(
            _endpoint(taken), process.pid, folder, name, lambda: process.poll() is not None
        )
    finally:
        if process is not None:
            _stop_process(process)
        shutil.rmtree(folder, ignore_errors=True)


def find_interpreter() -> str:
    """Returns an interpreter with the emulator. Raises SandboxError with what to install."""
    if importlib.util.find_spec("ministack") is not None:
        return sys.executable
    other = os.environ.get(OTHER_PYTHON)
    if other and _imports_the_emulator(other):
        return other
    if other:
        remedy = f"{other} -m pip install 'rolerunner[sandbox]'"
        raise SandboxError(f"{OTHER_PYTHON}={other} cannot import the emulator: {remedy}")
    if sys.version_info < (3, 10):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SandboxError(
            f"the sandbox needs Python 3.10 or newer, this is {version}: run rolerunner there, "
            f"or set {OTHER_PYTHON} to an interpreter that has 'rolerunner[sandbox]'"
        )
    raise SandboxError("the sandbox is an extra: pip install 'rolerunner[sandbox]'")


def _imports_the_emulator(python: str) -> bool:
    try:
        command = [python, "-c", "import ministack"]
        ended = subprocess.run(  # noqa: S603
            command, env=_child_environment(python), capture_output=True, check=False
        )
        return ended.returncode == 0
    except OSError:  # there is no such interpreter
        return False


def ask_name(endpoint: str) -> str:
    """Returns the name of the emulator at an endpoint; "" if none answers there."""
    try:
        return str(_get_json(f"{endpoint}/_ministack/health").get("edition", ""))
    except (OSError, ValueError, AttributeError, HTTPException):
        return ""


def _first_that_answers(
    python: str, folder: Path, name: str, wanted: int, job_runner: Sequence[str]
) -> tuple[subprocess.Popen[bytes], int]:
    said = ""
    # another process may take the port between our look and the child's bind
    for _ in range(1 if wanted else _TRIES):
        port = wanted or _free_port()
        process = _spawn_child(python, folder, port, name, job_runner)
        try:
            if _wait_until_ready(process, port, name):
                return process, port
        except BaseException:  # Ctrl-C while it starts
            _stop_process(process)
            raise
        ended, said = process.poll() is not None, _read_tail(_log_path(folder))
        _stop_process(process)
        if not ended:
            raise SandboxError(f"the sandbox did not respond within {_START_SECONDS:g} s:\n{said}")
    raise SandboxError(f"the sandbox did not start:\n{said}")


def _log_path(folder: Path) -> Path:
    return folder / "server.log"


def _record_path(folder: Path) -> Path:
    return folder / "requests.jsonl"


def _require_free(port: int) -> None:
    """Raises SandboxError if another process listens on the port; 0 is any free one."""
    with socket.socket() as probe:
        # as the emulator does: a port whose last connections have just been closed is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise SandboxError(
                f"the sandbox cannot listen on port {port}: {error.strerror}"
            ) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _spawn_child(
    python: str, folder: Path, port: int, name: str, job_runner: Sequence[str]
) -> subprocess.Popen[bytes]:
    environment = _child_environment(python)
    environment.update(
        AUTH="true",  # this turns IAM's enforcement on
        BIND_HOST="127.0.0.1",
        # without this, it would remove containers that may belong to another emulator
        DOCKER_HOST=f"unix://{folder}/none",
        GATEWAY_PORT=str(port),
        LOG_LEVEL="WARNING",
        MINISTACK_EDITION=name,
        S3_DATA_DIR=str(folder / "s3"),
        STATE_DIR=str(folder / "state"),
        TMPDIR=str(folder),
    )
    # -c and not the file's path: its folder would be the first that imports are looked for in
    command = [
        python,
        "-c",
        _CHILD.read_text(encoding="utf-8"),
        str(folder),
        str(_record_path(folder)),
        *([_describe_job_runner(job_runner, folder, port)] if job_runner else []),
    ]
    with _log_path(folder).open("ab") as output:
        # in its own session, so that Ctrl-C reaches only rolerunner, which stops the child
        return subprocess.Popen(  # noqa: S603
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _describe_job_runner(command: Sequence[str], folder: Path, port: int) -> str:
    """Returns the child's JobRunner as JSON; its jobs run in this interpreter."""
    environment = {**_child_environment(sys.executable), "TMPDIR": str(folder)}
    return json.dumps(
        {"command": list(command), "environment": environment, "endpoint": _endpoint(port)}
    )


def _endpoint(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _child_environment(python: str) -> dict[str, str]:
    """Returns the child's environment: no AWS_*, and no paths of this interpreter for another."""
    names = _KEPT_ENVIRONMENT + (_OF_THIS_INTERPRETER if python == sys.executable else ())
    return {name: os.environ[name] for name in names if name in os.environ}


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, name: str) -> bool:
    """Waits for the child to be ready; its name tells it from another emulator on the port."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            health = _get_json(f"{_endpoint(port)}/_ministack/health")
            if health.get("edition") == name and health["ready_scripts"]["status"] == "completed":
                return True
        time.sleep(0.02)
    return False


def _get_json(url: str) -> Any:
    # not urllib's default opener: a proxy of the user's environment has no business on loopback
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=1) as answer:
        return json.load(answer)


def _stop_process(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _read_tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
    return ""
