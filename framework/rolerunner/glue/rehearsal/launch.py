"""Launches the entry script in a process with the arguments and the environment of a runtime."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.glue.launch.invocation import build_environment
from rolerunner.glue.launch.notified import NOTIFIED_EXIT_STATUS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolerunner.glue.launch.runtime import Runtime
    from rolerunner.glue.rehearsal.installation import Installation

LAUNCHER = Path(__file__).with_name("launcher.py")
"""Runs a script as Glue does."""
_STARTED = "job_loaded"
"""The event that the entry script logs when it has read the spec."""
_LONGEST = 900.0
"""Seconds after which the process is killed."""
_KEPT = ("PATH", "LANG", "LC_ALL", "JAVA_HOME")
"""Variables of this machine that the process gets; the user's AWS settings are not among them."""
_REASON = "rolerunner: "
"""The beginning of a failed script's last line."""
_LOG_LINES = 20


@dataclass(frozen=True)
class Launch:
    """A completed process of the entry script."""

    start_seconds: Optional[float]
    """Until the script had read its spec; None if it did not get there."""
    seconds: float
    memory_mb: float
    boto3: str
    boto3_file: str
    error: str
    """Why the job run fails; empty if it succeeds."""
    error_type: str
    log: tuple[str, ...]
    """The last lines of output and errors."""


def launch_script(
    runtime: Runtime,
    installed: Installation,
    script: Path,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    work: Path,
) -> Launch:
    """Runs the script where the runtime puts it, with ``variables`` besides the runtime's own."""
    folder = Path(tempfile.mkdtemp(prefix="glue-python-scripts-", dir=work))
    placed = Path(shutil.copy(script, folder))
    report = work / "report.json"
    target = str(installed.folder or "")
    command = [str(installed.environment.python), str(LAUNCHER), str(report), runtime.command]
    command += [target, str(placed), *arguments]
    environment = {**_build_environment(runtime, installed, work), **variables}
    errors = work / "stderr"
    lines: list[str] = []
    start_seconds: Optional[float] = None
    began = time.monotonic()
    with (
        errors.open("wb") as stream,
        subprocess.Popen(  # noqa: S603
            command,
            stdout=subprocess.PIPE,
            stderr=stream,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=work,
        ) as process,
    ):
        killer = threading.Timer(_LONGEST, process.kill)
        killer.daemon = True
        killer.start()
        try:
            for line in process.stdout or ():
                lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                if start_seconds is None and _read_event(lines[-1]).get("event") == _STARTED:
                    start_seconds = time.monotonic() - began
            status = process.wait()
        except BaseException:  # Ctrl-C: it must not outlive this process
            process.kill()
            raise
        finally:
            killer.cancel()
    seconds = time.monotonic() - began
    found = _read_report(report, status)
    error = explain_end(str(found["error"]), lines)
    tail = errors.read_text(encoding="utf-8", errors="replace").splitlines()
    return Launch(
        start_seconds,
        seconds,
        found["memory_mb"],
        found["boto3"],
        found["boto3_file"],
        error,
        _find_error_type(lines),
        (*lines[-_LOG_LINES:], *tail[-_LOG_LINES:]),
    )


def explain_end(error: str, lines: Sequence[str]) -> str:
    """Returns why a script failed; where all targets were told, Python Shell has no other word."""
    if error.endswith(f"exit code {NOTIFIED_EXIT_STATUS}"):
        said = (line[len(_REASON) :] for line in reversed(lines) if line.startswith(_REASON))
        return next(said, error)
    return error.replace("JobFailed: ", "", 1).replace("NotifiedFailure: ", "", 1)


def _build_environment(runtime: Runtime, installed: Installation, work: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    variables = {**kept, "HOME": str(work), "AWS_EC2_METADATA_DISABLED": "true"}
    variables.update(build_environment(runtime, str(installed.folder)))
    if runtime.is_spark and installed.code:
        variables["PYTHONPATH"] = os.pathsep.join(map(str, installed.code))
    return variables


def _read_event(line: str) -> dict[str, Any]:
    """Returns the fields of a log line; none for other output."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _find_error_type(lines: Sequence[str]) -> str:
    events = map(_read_event, reversed(lines))
    return next((str(each["type"]) for each in events if each.get("event") == "run_failed"), "")


def _read_report(report: Path, status: int) -> dict[str, Any]:
    if report.exists():
        found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        return found
    error = f"the process ended with status {status} before the script did"
    return {"error": error, "memory_mb": 0.0, "boto3": "", "boto3_file": ""}
