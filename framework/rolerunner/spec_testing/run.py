"""Runs a case: starts a sandbox, runs the command in it and compares the outcome."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner import sandbox
from rolerunner.errors import SandboxError
from rolerunner.sandbox.faults import FaultyProxy
from rolerunner.sandbox.proxies import PROXY_VARIABLES
from rolerunner.spec_testing.case_setup import build_world, write_files
from rolerunner.spec_testing.compare import ObservedRun, find_mismatches
from rolerunner.spec_testing.mismatches import Mismatch
from rolerunner.spec_testing.shown_secrets import register_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.sandbox import Sandbox
    from rolerunner.spec_testing.case import Case


@dataclass(frozen=True)
class CaseResult:
    """The result of a case; ``seconds`` is wall time, including the sandbox's start."""

    case: Case
    mismatches: tuple[Mismatch, ...]
    """Differences from the expectations; empty if the case passed."""
    seconds: float
    log: tuple[str, ...] = ()
    """Lines of the run's log."""

    @property
    def has_passed(self) -> bool:
        """True if everything was as expected."""
        return not self.mismatches


def run_case(case: Case, stop: Optional[threading.Event] = None) -> CaseResult:
    """Runs a case and compares the outcome; setting ``stop`` ends it early."""
    began = time.monotonic()
    register_secrets(case)
    try:
        write_files(case)
        with ExitStack() as stack:
            aws = stack.enter_context(sandbox.start_sandbox(build_world(case), case.world_folder))
            seen = _run_case(
                case, aws, _start_endpoint(case, aws, stack), stop or threading.Event()
            )
            found = tuple(find_mismatches(case, seen))  # while the sandbox is running
    except SandboxError as error:
        return CaseResult(
            case, (Mismatch("sandbox", "filled as given", str(error)),), time.monotonic() - began
        )
    except OSError as error:
        return CaseResult(
            case,
            (Mismatch("given", "files that can be written", str(error)),),
            time.monotonic() - began,
        )
    return CaseResult(case, found, time.monotonic() - began, seen.log)


def _start_endpoint(case: Case, aws: Sandbox, stack: ExitStack) -> str:
    faults = case.fields.given.faults
    if not faults:
        return aws.endpoint
    seed = zlib.crc32(case.fields.name.encode())  # the same faults in each run of the case
    return stack.enter_context(FaultyProxy(aws.endpoint, faults, seed).serve_in_background()).url


def _run_case(case: Case, aws: Sandbox, endpoint: str, stop: threading.Event) -> ObservedRun:
    """Runs the command in a process of its own, so that cases cannot affect each other."""
    beside = case.folder.with_name(f"{case.folder.name}.run")
    beside.mkdir()
    params, result, log = (beside / name for name in ("params.json", "result.json", "log"))
    params.write_text(json.dumps(case.params), encoding="utf-8")
    only = [each for step in case.fields.only for each in ("--only", step)]
    command = [
        sys.executable,
        "-m",
        "rolerunner",
        "run",
        str(case.spec.absolute()),
        *(("--env", case.env) if case.env else ()),
        "--params",
        str(params),
        "--result",
        str(result),
        "--log-format",
        "json",
        *only,
    ]
    exit_status = _wait_for_command(
        command, case, _command_environment(aws, endpoint, beside), log, stop
    )
    output = log.read_text(encoding="utf-8", errors="replace")
    return ObservedRun(
        exit_status,
        json.loads(result.read_bytes()) if result.exists() else {},
        tuple(map(_format_log_line, output.splitlines())),
        aws,
        output,
    )


def _wait_for_command(
    command: list[str], case: Case, environment: Mapping[str, str], log: Path, stop: threading.Event
) -> Optional[int]:
    """Returns the exit status, or None after the timeout.

    Output goes to a file, since child processes could hold a pipe open.
    """
    deadline = time.monotonic() + case.fields.timeout
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603 - the command is our own
            command,
            cwd=case.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        while not stop.is_set() and time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(_POLL_SECONDS)
        process.kill()
    return None


_POLL_SECONDS = 0.2
"""Seconds between two checks whether to stop a run."""


def _command_environment(aws: Sandbox, endpoint: str, folder: Path) -> dict[str, str]:
    """Returns the user's environment with the sandbox as AWS, so that no code reaches another."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    for name in [name for name in kept if name.lower() in PROXY_VARIABLES]:
        del kept[name]
    if kept.get("PYTHONPATH"):  # it runs in another folder
        kept["PYTHONPATH"] = os.pathsep.join(
            str(Path(each).absolute()) for each in kept["PYTHONPATH"].split(os.pathsep)
        )
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": aws.job_keys.access_key,
        "AWS_SECRET_ACCESS_KEY": aws.job_keys.secret_key,
        "AWS_SESSION_TOKEN": aws.job_keys.token,
        "AWS_REGION": aws.region,
        "AWS_DEFAULT_REGION": aws.region,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "TMPDIR": str(folder),
    }


_LEFT_OUT = ("level", "timestamp", "event")


def _format_log_line(line: str) -> str:
    """Returns a log line as text: the event, then its values."""
    try:
        parsed_line = json.loads(line)
    except ValueError:
        return line
    if not isinstance(parsed_line, dict) or "event" not in parsed_line:
        return line
    values = " ".join(
        f"{name}={_shorten_value(value)}"
        for name, value in parsed_line.items()
        if name not in _LEFT_OUT and value not in ("", {}, None)
    )
    return f"{parsed_line['event']} {values}".rstrip()


def _shorten_value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
