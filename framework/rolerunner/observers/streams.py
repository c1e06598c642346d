"""stdout and stderr that cost no run: any encoding, a reader that has gone or stalls, a full disk, none at all."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
import time
from typing import Any, Optional, Union

ESCAPE = "rolerunner-escape"
"""Name of the error handler that escapes what an encoding cannot carry."""
_WRITE_BYTES = 4096
"""Bytes of a write that never blocks once a pipe is writable (PIPE_BUF, pipe(7))."""
_POLL_MS = 100
_DRAIN_SECONDS = 1.0
"""Seconds that a run which is to stop waits for the reader of its output."""


def _escape_characters(error: UnicodeError) -> tuple[Union[str, bytes], int]:
    """Characters that an encoding cannot carry, as JSON escapes them: a JSON line stays JSON, and other text readable."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    units = "".join(text).encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


codecs.register_error(ESCAPE, _escape_characters)


class _FaultTolerantWriter(io.RawIOBase):
    """Writes to a descriptor; what nobody can take is dropped, so that a run does not end for want of a reader."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._broken = False
        self._stop_at: Optional[float] = None

    def fileno(self) -> int:
        return self._descriptor

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def stop_waiting(self) -> None:
        """Wait a second more at most for a reader that does not read."""
        self._stop_at = time.monotonic() + _DRAIN_SECONDS

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self._wait_until_writable():
            with contextlib.suppress(BlockingIOError):
                done += self._write(view[done : done + _WRITE_BYTES])
        return len(view)

    def _write(self, view: memoryview) -> int:
        try:
            return os.write(self._descriptor, view)
        except BlockingIOError:
            raise
        except OSError as error:
            # a full disk may have room again; a reader that has gone stays away
            self._broken = error.errno not in (errno.ENOSPC, errno.EDQUOT)
            return len(view)

    def _wait_until_writable(self) -> bool:
        """Wait until the descriptor takes bytes. False where it never will, or where there is no time left to wait."""
        if not hasattr(select, "poll"):
            return not self._broken
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while not self._broken:
            if poll.poll(_POLL_MS):
                return True
            if self._stop_at is not None and time.monotonic() > self._stop_at:
                self._broken = True
        return False


def protect_standard_streams() -> None:
    """Make ``sys.stdout`` and ``sys.stderr`` take any text and never fail; call it once, when the process starts."""
    _open_missing_descriptors()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, _FaultTolerantStream):
            stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - it stays open as long as the process
        elif (protected := _wrap_stream(stream)) is not None:
            stream = protected
        setattr(sys, name, stream)


def stop_waiting_for_readers() -> None:
    """The process is to end: a reader that does not read keeps it no longer."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, _FaultTolerantStream):
            stream.raw.stop_waiting()


class _FaultTolerantStream(io.TextIOWrapper):
    """A standard stream over ``_Unfailing``."""

    def __init__(self, raw: _FaultTolerantWriter, encoding: str, *, line_buffering: bool) -> None:
        super().__init__(
            io.BufferedWriter(raw), encoding=encoding, errors=ESCAPE, line_buffering=line_buffering
        )
        self.raw = raw


def _wrap_stream(stream: Any) -> Any:
    """The stream over its own descriptor; None for one that has none, as under pytest."""
    try:
        descriptor = stream.fileno()
        stream.flush()
    except (OSError, ValueError, AttributeError):
        return None
    return _FaultTolerantStream(
        _FaultTolerantWriter(descriptor),
        stream.encoding or "utf-8",
        line_buffering=stream is sys.stderr or stream.isatty(),
    )


def _open_missing_descriptors() -> None:
    """Open descriptors 0 to 2 that were closed at the start: else the next file opened gets the number, and what is printed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.set_inheritable(
                    os.open(os.devnull, os.O_RDWR), True
                )  # it gets the lowest free number, which is this one
