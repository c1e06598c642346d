"""Runs one job of Glue in the sandbox: the deployed script, under the job's role, with its log.

The sandbox starts it as a process for each run and sends a request as one line of JSON. The end of
standard input stops the script. How the run ended is printed as JSON.
"""

from __future__ import annotations

import io
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Optional, Union

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.errors import RolerunnerError, SandboxError
from rolerunner.glue.launch.invocation import build_environment, list_arguments, merge_arguments
from rolerunner.glue.launch.log_streams import name_log_group, name_log_stream
from rolerunner.glue.launch.runtime import RUNTIMES, Runtime
from rolerunner.glue.rehearsal.installation import ZIP_OF_WHEELS
from rolerunner.glue.rehearsal.launch import LAUNCHER
from rolerunner.model import JOB, RoleArn, S3Uri
from rolerunner.sandbox import JOB_SESSION, JobKeys, assume_role
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from rolerunner.sessions.registry import Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

COMMAND = (sys.executable, "-m", "rolerunner.glue.rehearsal.sandboxed_run")
"""Runs one job; for ``sandbox.start_sandbox``."""
_GLUE = "glue.amazonaws.com"
_FLUSH_SECONDS = 0.1
_BATCH = 500
"""Log lines sent by one request."""
_PACKAGES = ("--additional-python-modules", "--extra-py-files")
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
        files = _fetch_files(run, sessions.client(JOB, "s3"), folder)
        log = _Log(sessions.client(JOB, "logs"), run, runtime)
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


@dataclass(frozen=True)
class _Files:
    script: Path
    installation: Path
    """The folder of the unpacked wheels, which comes last on the path."""
    code: tuple[Path, ...]
    """Spark: archives that come first on the path."""


def _fetch_files(run: SandboxedRun, s3: Any, folder: Path) -> _Files:
    """Downloads the script and its packages, as the job's role."""
    # the folder's name tells the script that it is in Python Shell
    script = folder / "glue-python-scripts-sandbox" / "run_spec.py"
    installation, downloads = folder / "installation", folder / "downloads"
    for path in (script.parent, installation, downloads):
        path.mkdir()
    _download(s3, run.job["Command"]["ScriptLocation"], script)
    archives = []
    for number, location in enumerate(_list_locations(run.arguments)):
        path = downloads / str(number) / Path(location).name
        path.parent.mkdir()
        _download(s3, location, path)
        if path.name.endswith(ZIP_OF_WHEELS):
            _unpack_wheels(path, installation)
        elif path.suffix == ".whl":
            _unpack_wheel(path, installation)
        else:
            archives.append(path)
    return _Files(script, installation, tuple(archives))


def _list_locations(arguments: Mapping[str, str]) -> Iterator[str]:
    for name in _PACKAGES:
        named = (each.strip() for each in arguments.get(name, "").split(","))
        yield from (each for each in named if each.startswith("s3://"))


def _unpack_wheels(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as wheels:
        for name in wheels.namelist():
            if name.endswith(".whl"):
                _unpack_wheel(io.BytesIO(wheels.read(name)), target)


def _unpack_wheel(wheel: Union[Path, io.BytesIO], target: Path) -> None:
    """Unpacks a wheel without rolerunner, which is the one of this interpreter.

    What this interpreter has comes from it; the runtime's compiled packages would not load.
    """
    with zipfile.ZipFile(wheel) as file:
        names = [name for name in file.namelist() if not name.startswith("rolerunner/")]
        file.extractall(target, names)


def _download(s3: Any, location: str, path: Path) -> None:
    uri = S3Uri.parse(location)
    try:
        path.write_bytes(s3.get_object(Bucket=uri.bucket, Key=uri.key)["Body"].read())
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise SandboxError(f"{location} cannot be read under the job's role: {code}") from None


def _prepare_process(
    run: SandboxedRun, runtime: Runtime, keys: JobKeys, files: _Files, folder: Path
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

    def wait(self, log: _Log) -> Ended:
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


class _Log:
    """The log of a run in CloudWatch Logs, written under the job's role."""

    def __init__(self, logs: Any, run: SandboxedRun, runtime: Runtime) -> None:
        self._logs = logs
        self._runtime = runtime
        self._group = name_log_group(runtime, run.arguments)
        self._stream = name_log_stream(runtime, run.arguments, run.run["Id"])
        self._created: set[str] = set()
        self._is_refused = False

    def send(self, lines: queue.Queue[tuple[str, str]]) -> None:
        """Sends the lines that are there, of output and errors."""
        events: dict[str, list[dict[str, Any]]] = {}
        while not lines.empty():
            name, text = lines.get()
            if self._runtime.has_log_prefixes:
                name = "output"  # Spark jobs from Glue 5.0 on write both there
            event = {"timestamp": int(time.time() * 1000), "message": text or " "}
            events.setdefault(name, []).append(event)
        for name, found in events.items():
            self._put_events(f"{self._group}/{name}", found)

    def _put_events(self, group: str, events: Sequence[Mapping[str, Any]]) -> None:
        if self._is_refused:
            return
        try:
            if group not in self._created:
                self._create(group)
            for start in range(0, len(events), _BATCH):
                self._logs.put_log_events(
                    logGroupName=group,
                    logStreamName=self._stream,
                    logEvents=events[start : start + _BATCH],
                )
        except (BotoCoreError, ClientError) as error:
            self._is_refused = True  # a run goes on without its log, as on AWS
            print(f"log of {group}/{self._stream}: {error}", file=sys.stderr)  # noqa: T201 - the sandbox keeps it

    def _create(self, group: str) -> None:
        already = self._logs.exceptions.ResourceAlreadyExistsException
        with suppress(already):
            self._logs.create_log_group(logGroupName=group)
        with suppress(already):
            self._logs.create_log_stream(logGroupName=group, logStreamName=self._stream)
        self._created.add(group)


def _stop_at_end_of_input(stop: Callable[[], None]) -> None:
    def watch() -> None:
        while os.read(0, 1):
            pass
        stop()

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
