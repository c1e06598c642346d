"""Starts a script as Glue's launcher does; runs inside the rehearsed runtime.

It has no rolerunner of its own, so only the standard library is imported:
launcher.py REPORT COMMAND INSTALLATION SCRIPT ARGUMENTS...
"""

from __future__ import annotations

import json
import runpy
import sys
import traceback
from pathlib import Path

_STATUS = Path("/proc/self/status")


def start_script(report: str, command: str, installation: str, script: str) -> int:
    """Runs the script and writes how it ended to ``report``; returns the exit status."""
    sys.path[0] = str(Path(script).parent)
    if installation:
        sys.path.append(installation)  # Python Shell: behind the runtime's own packages
    error = _run_script(script, command)
    Path(report).write_text(
        json.dumps({"error": error, "memory_mb": _measure_memory(), **_describe_boto3()}),
        encoding="utf-8",
    )
    return 1 if error else 0


def _run_script(script: str, command: str) -> str:
    """Runs the script; returns why the job run fails, or ""."""
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        if command == "glueetl":
            return f"sys.exit({ended.code!r}), which fails a Spark job with any code"
        if ended.code not in (None, 0):
            return f"Command failed with exit code {ended.code}"
    except BaseException as error:  # noqa: BLE001 - whatever it is, the job run fails of it
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return ""


def _describe_boto3() -> dict[str, str]:
    try:
        import boto3  # noqa: PLC0415 - only after the script, which decides where it comes from
    except ImportError as error:
        return {"boto3": "", "boto3_file": f"{error}"}
    return {"boto3": boto3.__version__, "boto3_file": str(boto3.__file__)}


def _measure_memory() -> float:
    """Returns the peak of this process's resident memory in MB."""
    if _STATUS.exists():  # unlike getrusage it does not count the process that started this one
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        peak = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), "0")
        return int(peak) * 1024 / 1e6
    import resource  # noqa: PLC0415 - not on Windows

    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak_bytes / 1e6  # macOS counts bytes


if __name__ == "__main__":
    given, sys.argv = sys.argv[1:4], sys.argv[4:]
    sys.exit(start_script(given[0], given[1], given[2], sys.argv[0]))
