"""The files that ``rolerunner run`` writes its result to, and what replaces one that fails."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import click

from rolerunner.cli.common import echo
from rolerunner.common.files import check_writable
from rolerunner.common.json_values import safe_text
from rolerunner.errors import StepError, UsageError
from rolerunner.events import RunFinished
from rolerunner.model import Failure, RunResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.events import Event
    from rolerunner.model import RunStatus
    from rolerunner.observers.result import ResultFile


class ResultFiles:
    """Observes a run and writes its files at the end; a file that fails does not hold the others.

    ``files`` maps the name of an option to its observer.
    """

    def __init__(self, files: Mapping[str, ResultFile]) -> None:
        self._files = files
        self._failures: dict[str, Exception] = {}
        self._ended: Optional[RunResult] = None

    def notify(self, event: Event) -> None:
        """Passes an event to each file, and keeps the errors of the last one."""
        if not isinstance(event, RunFinished):
            for file in self._files.values():
                file.notify(event)
            return
        self._ended = event.result
        for option, file in self._files.items():
            try:
                file.notify(event)
            except Exception as error:  # noqa: BLE001 - whatever it is, the result is not there
                self._failures[option] = error

    def record_failed_start(self, error: BaseException) -> None:
        """Writes the result of a run that did not begin, unless the runner has written one."""
        if self._ended is None:
            self.notify(RunFinished(_make_failed_result(error)))

    def print_lost_result(self) -> bool:
        """Prints why files could not be written, and the lost result; returns True if one is lost.

        Standard error gets the result as a last resort: nothing else has it.
        """
        for option, error in self._failures.items():
            hint = f" ({error.hint})" if isinstance(error, StepError) and error.hint else ""
            name = option[2:]
            echo(f"rolerunner: the {name} could not be written: {error}{hint}", err=True)
        if "--result" in self._failures and self._ended is not None:
            echo("rolerunner: the whole result follows:", err=True)
            echo(self._files["--result"].encode_result(self._ended).decode(), err=True, nl=False)
        return bool(self._failures)


@contextmanager
def record_result(result: Optional[str], report: Optional[str]) -> Iterator[ResultFiles]:
    """Provides the observer of the files, which also records a run that did not begin.

    Raises UsageError before anything runs if a file could not be written.
    """
    places = {"--result": result, "--report": report}
    paths = {option: _check_place(option, place) for option, place in places.items() if place}
    files = ResultFiles(_create_observers(paths))
    try:
        yield files
    except (Exception, KeyboardInterrupt) as error:
        files.record_failed_start(error)
        files.print_lost_result()
        raise


def _check_place(option: str, place: str) -> Path:
    if place.startswith("s3://"):
        raise UsageError(
            f"{option} {place}: the file is written to this machine, not to S3; "
            "a Glue job writes its result to S3 with its argument --result"
        )
    path = Path(place).absolute()
    try:
        check_writable(path)
    except StepError as error:
        hint = f" ({error.hint})" if error.hint else ""
        raise UsageError(f"{option} cannot be written, so nothing ran: {error}{hint}") from None
    return path


def _create_observers(paths: Mapping[str, Path]) -> dict[str, ResultFile]:
    files: dict[str, ResultFile] = {}
    if "--result" in paths:
        from rolerunner.observers.result import ResultFile  # noqa: PLC0415

        files["--result"] = ResultFile.at(paths["--result"])
    if "--report" in paths:
        from rolerunner.observers.report import ReportPage  # noqa: PLC0415

        files["--report"] = ReportPage.at(paths["--report"])
    return files


def _make_failed_result(error: BaseException) -> RunResult:
    """Returns the result of a run that did not begin."""
    status: RunStatus = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
    text = error.format_message() if isinstance(error, click.ClickException) else safe_text(error)
    kind = "Stopped" if status == "stopped" else type(error).__name__
    failure = Failure(kind, text, getattr(error, "hint", ""))
    return RunResult(
        "", "", status, f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}", 0.0, (), (), failure
    )
