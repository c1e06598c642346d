"""The embedded AWS for the length of a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rolerunner.errors import UsageError

if TYPE_CHECKING:
    from contextlib import ExitStack

    from rolerunner.credentials import JobIdentity

BESIDE = "beside"
"""The value of --sandbox without a file."""


def sandbox_identity(stack: ExitStack, spec: str, file: str) -> JobIdentity:
    """Start it with what ``file`` says, until the stack closes; the identity of the job in it."""
    from rolerunner import sandbox  # noqa: PLC0415 - starts nothing unless asked for
    from rolerunner.credentials import JobIdentity, Keys  # noqa: PLC0415

    path = _sandbox_file(spec) if file == BESIDE else Path(file)
    running = stack.enter_context(sandbox.running(sandbox.load(path), path.parent))
    keys = running.job_keys
    return JobIdentity(running.region, keys=Keys(keys.access_key, keys.secret_key, keys.token), endpoints={"": running.endpoint})


def _sandbox_file(spec: str) -> Path:
    path = Path(spec)
    beside = path.with_name(f"{path.stem}.sandbox.yaml")
    if not beside.exists():
        raise UsageError(f"there is no {beside}: name the sandbox file, as in --sandbox FILE")
    return beside
