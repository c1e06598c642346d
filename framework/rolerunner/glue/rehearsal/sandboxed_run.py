"""Runs one job of Glue in the sandbox: the deployed script, under the job's role, with its log.

The sandbox starts it as a process for each run and sends a request as one line of JSON. The end of
standard input stops the script. How the run ended is printed as JSON.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Optional

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.errors import RolerunnerError, SandboxError
from rolerunner.glue.launch.invocation import build_environment, list_arguments, merge_arguments
from rolerunner.glue.launch.runtime import RUNTIMES, Runtime
from rolerunner.glue.rehearsal.launch import LAUNCHER
from rolerunner.glue.rehearsal.sandboxed_files import ScriptFiles, fetch_files
from rolerunner.glue.rehearsal.sandboxed_log import RunLog
from rolerunner.model import JOB, RoleArn
from rolerunner.sandbox import JOB_SESSION, JobKeys, assume_role
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from rolerunner.sessions.registry import Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

COMMAND = (sys.executable, "-m", "rolerunner.glue.rehearsal.sandboxed_run")
"""Runs one job; for ``sandbox.start_sandbox``."""
_GLUE = "glue.amazonaws.com"
_FLUSH_SECONDS = 0.1
_REPORT = "report.json"
_EXITED = "Command failed with exit code"


@dataclass(frozen=True)
class Ended:
    """The end of a run: a JobRunState of Glue, and the reason."""

    state: str
    error: str = ""


@dataclass(frozen=True)
class SandboxedRun:
    """A run that is to be carried out: job and run as Glue's API describes them."""

    job: Mapping[str, Any]
    run: Mapping[str, Any]
    endpoint: str
    account: str
    region: str

    @property
    def runtime(self) -> Runtime:
        """Returns the runtime of the job. Raises SandboxError."""
        command, version = self.job["Command"]["Name"], self.job.get("GlueVersion", "")
        for each in RUNTIMES.values():
            if each.command == command and (each.glue_version == version or not each.is_spark):
                return each
        raise SandboxError(f"the sandbox runs no jobs of {command}, Glue version {version}")

    @property
    def role(self) -> str:
        """Returns the ARN of the job's role, which may be given by its name alone."""
        role = str(self.job["Role"])
        return role if role.startswith("arn:") else f"arn:aws:iam::{self.account}:role/{role}"

    @property
    def arguments(self) -> dict[str, str]:
        """Returns the merged arguments of job and run."""
        return merge_arguments(
            self.job.get("DefaultArguments") or {},
            self.run.get("Arguments") or {},
            self.job.get("NonOverridableArguments") or {},
        )


def main() -> None:
    """Carries out the run of the request on standard input."""
    run = SandboxedRun(**json.loads(sys.stdin.buffer.readline()))
    try:
        ended = carry_out(run, _stop_at_end_of_input)
    except RolerunnerError as error:
        ended = Ended("FAILED", str(error))
    except (BotoCoreError, ClientError, OSError) as error:
        ended = Ended("FAILED", f"{type(error).__name__}: {error}")
    print(json.dumps({"state": ended.state, "error": ended.error}), flush=True)  # noqa: T201 - the sandbox reads it


def carry_out(run: SandboxedRun, watch: Callable[[Callable[[], None]], None]) -> Ended:
    """Runs the script until it ends; passes ``watch`` a function that stops it.

    Raises SandboxError, and errors of botocore for a script that the role may not read.
    """
    RoleArn.parse(run.role)
    runtime = run.runtime
    keys = assume_role(run.endpoint, run.region, run.role, JOB_SESSION, _GLUE)
    sessions = Sessions(
        JobIdentity(
            run.region,
            keys=Keys(keys.access_key, keys.secret_key, keys.token),
            endpoints={"": run.endpoint},
        )
    )
    with (
        closing(sessions),
        tempfile.TemporaryDirectory(prefix="rolerunner-glue-") as name,
    ):
        folder = Path(name)
        files = fetch_files(run, sessions.client(JOB, "s3"), folder)
        log = RunLog(sessions.client(JOB, "logs"), run, runtime)
        command, environment = _prepare_process(run, runtime, keys, files, folder)
        with subprocess.Popen(  # noqa: S603
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            script = _Script(process, float(run.job.get("Timeout") or 0) * 60)
            watch(script.stop)
            ended = script.wait(log)
        if ended.state != "FAILED":
            return ended
        return Ended("FAILED", _read_reason(folder / _REPORT, runtime) or ended.error)


def _read_reason(report: Path, runtime: Runtime) -> str:
    """Returns why the script failed, or ""; Python Shell tells nothing but an exit code."""
    with suppress(OSError, ValueError):
        reason = str(json.loads(report.read_text(encoding="utf-8"))["error"])
        return reason if runtime.is_spark or reason.startswith(_EXITED) else ""
    return ""


def _prepare_process(
    run: SandboxedRun, runtime: Runtime, keys: JobKeys, files: ScriptFiles, folder: Path
) -> tuple[list[str], dict[str, str]]:
    """Returns the command line and the environment of the script."""
    location = run.job["Command"]["ScriptLocation"]
    arguments = list_arguments(
        runtime, run.run["JobName"], location, run.arguments, run_id=run.run["Id"]
    )
    command = [sys.executable, str(LAUNCHER), str(folder / _REPORT), runtime.command]
    path = [*map(str, files.code), *filter(None, os.environ.get("PYTHONPATH", "").split(":"))]
    environment = {
        **os.environ,
        **build_environment(runtime, ""),
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token,
        "AWS_ENDPOINT_URL": run.endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PYTHONPATH": os.pathsep.join(path),
        "TMPDIR": str(folder),
    }
    return [*command, str(files.installation), str(files.script), *arguments], environment


class _Script:
    """The process of the script, which is stopped after ``seconds``, as Glue does."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._process = process
        self._deadline = time.monotonic() + seconds if seconds else None
        self._is_stopped = False

    def stop(self) -> None:
        """Kills the script and all its processes."""
        self._is_stopped = True
        with suppress(ProcessLookupError):  # it has ended
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self, log: RunLog) -> Ended:
        """Forwards output and errors to the log until the script ends."""
        lines: queue.Queue[tuple[str, str]] = queue.Queue()
        readers = [
            _read_lines(self._process.stdout, "output", lines),
            _read_lines(self._process.stderr, "error", lines),
        ]
        is_late = False
        while any(each.is_alive() for each in readers) or not lines.empty():
            log.send(lines)
            if self._deadline is not None and time.monotonic() > self._deadline and not is_late:
                is_late = True
                self.stop()
            time.sleep(_FLUSH_SECONDS)
        status = self._process.wait()
        if is_late:
            return Ended("TIMEOUT", "Job run exceeded its timeout")
        if self._is_stopped:
            return Ended("STOPPED")
        if status == 0:
            return Ended("SUCCEEDED")
        return Ended("FAILED", f"{_EXITED} {status}")


def _read_lines(
    stream: Optional[IO[bytes]], name: str, lines: queue.Queue[tuple[str, str]]
) -> threading.Thread:
    def read() -> None:
        for line in stream or ():
            lines.put((name, line.decode("utf-8", "replace").rstrip("\n")))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _stop_at_end_of_input(stop: Callable[[], None]) -> None:
    def watch() -> None:
        while os.read(0, 1):
            pass
        stop()

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
