"""Writes the result of a job run to the file of ``--result``, also after an error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

from rolerunner.common.files import check_writable, write_file
from rolerunner.errors import RolerunnerError, StepError
from rolerunner.events import Note
from rolerunner.model import Failure
from rolerunner.observers.result import ResultFile
from rolerunner.redaction.redact import redact
from rolerunner.wiring import write_object

if TYPE_CHECKING:
    from rolerunner.model import RunResult
    from rolerunner.observers.log import Log
    from rolerunner.sessions.identity import JobIdentity


class ResultOutput:
    """The result file of one run: a path, an ``s3://`` URI, or nothing."""

    def __init__(self, target: str, run_id: str, log: Log) -> None:
        """A ``target`` that ends with ``/`` is a folder, in which the run's id names the file."""
        self.target = target + (f"{run_id}.json" if target.endswith("/") else "")
        self.file = ResultFile(lambda _: None)  # written by ``write``, also after an error
        self._log = log
        self._written: Optional[RunResult] = None
        self._failure: Optional[Failure] = None

    @property
    def lacks_error(self) -> bool:
        """True unless a result with an error has been written, which is not replaced."""
        return self._written is None or self._written.error is None

    def check(self) -> None:
        """Raises RolerunnerError if the file is on this machine and cannot be written."""
        if self.target and not self.target.startswith("s3://"):
            check_writable(Path(self.target))

    def write(self, result: RunResult, identity: JobIdentity) -> Optional[Failure]:
        """Writes a result unless it has been written; returns a failure if that fails."""
        if result is not self._written:
            self._written = result
            self._failure = self._send(result, identity) if self.target else None
        return self._failure

    def _send(self, result: RunResult, identity: JobIdentity) -> Optional[Failure]:
        data = str(redact(self.file.encode_result(result))).encode()
        try:
            if self.target.startswith("s3://"):
                write_object(self.target, data, identity)
            else:
                write_file(Path(self.target), data, private=True)
        except RolerunnerError as error:
            return self._report(error, data)
        return None

    def _report(self, error: RolerunnerError, data: bytes) -> Failure:
        """Logs the result, which nothing else has, and returns the failure."""
        hint = error.hint if isinstance(error, StepError) else ""
        values = {"target": self.target, "error": str(error), "hint": hint, "result": data.decode()}
        self._log.notify(Note("", "error", "result_not_written", values))
        message = f"the result could not be written to {self.target}: {error}"
        return Failure(type(error).__name__, message, hint)
