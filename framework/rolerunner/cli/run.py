"""rolerunner run"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import click

from rolerunner import api
from rolerunner.cli.common import PARAM, PARAMS_FILE, SETTINGS, SPEC, read_params
from rolerunner.cli.sandboxed import BESIDE, sandbox_identity
from rolerunner.storage.base import Cancel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from rolerunner.events import Observer

FAILED_STEP = 4
_SIGNALLED = 128
"""A process that a signal stops ends with 128 and the signal's number, as shells have it."""


@click.command(context_settings=SETTINGS)
@SPEC
@PARAM
@PARAMS_FILE
@click.option(
    "--sandbox", is_flag=False, flag_value=BESIDE, default=None, metavar="[FILE]",
    help="Run on an AWS on this machine that enforces IAM; FILE says what is in it, SPEC's name with .sandbox.yaml by default.",
)  # fmt: skip
@click.option("--result", metavar="FILE", help="Write how it ended as JSON, also after a failure.")
@click.option(
    "--log-format", type=click.Choice(["auto", "console", "json"]), default="auto", show_default=True,
    help="auto: progress and a table at a terminal, else a JSON line an event.",
)  # fmt: skip
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True, help="The least level of log lines."
)
def run(
    spec: str, params: Sequence[str], params_file: Optional[str], sandbox: Optional[str], result: Optional[str], log_format: str, log_level: str
) -> None:
    """Run a spec.

    \b
    rolerunner run nightly.yaml -p run_date=2026-01-31
    rolerunner run nightly.yaml --sandbox                  with nightly.sandbox.yaml beside it
    rolerunner run s3://jobs/nightly.yaml --result out.json --log-format json
    """
    with ExitStack() as stack:
        job = api.load(spec, read_params(params, params_file))
        identity = sandbox_identity(stack, spec, sandbox) if sandbox else None
        cancel = Cancel()
        caught = stack.enter_context(_stopping(cancel))
        ended = api.run(job, identity=identity, observers=_observers(result, log_format, log_level), cancel=cancel)
    if ended.status == "stopped" and caught:
        raise SystemExit(_SIGNALLED + caught[0])
    if ended.status not in ("succeeded", "warning"):
        raise SystemExit(FAILED_STEP)


@contextmanager
def _stopping(cancel: Cancel) -> Iterator[list[int]]:
    """SIGINT and SIGTERM stop the run cleanly, its result written; a second one ends the process at once."""
    caught: list[int] = []

    def stop(number: int, frame: Optional[FrameType]) -> None:
        del frame
        if caught:
            os._exit(_SIGNALLED + number)
        caught.append(number)
        cancel.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _observers(result: Optional[str], log_format: str, log_level: str) -> list[Observer]:
    observers: list[Observer] = []
    if log_format == "console" or (log_format == "auto" and sys.stdout.isatty()):
        from rolerunner.observers.terminal import Terminal  # noqa: PLC0415 - rich takes 60 ms

        observers.append(Terminal())
    else:
        from rolerunner.observers.log import Log, standard_stream  # noqa: PLC0415 - structlog takes 100 ms

        observers.append(Log(standard_stream(), level=log_level))
    if result:
        from rolerunner.observers.result import ResultFile  # noqa: PLC0415

        observers.append(ResultFile.at(Path(result).absolute()))
    return observers
