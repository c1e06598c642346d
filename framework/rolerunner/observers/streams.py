"""Makes stdout and stderr tolerate any encoding, lost or stalled readers and full disks."""

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
"""Name of the error handler that escapes characters an encoding cannot represent."""
_WRITE_BYTES = 4096
"""Bytes that a writable pipe takes without blocking (PIPE_BUF, pipe(7))."""
_POLL_MS = 100
_DRAIN_SECONDS = 1.0
"""Seconds that a stopping run waits for the reader of its output."""


def _escape_characters(error: UnicodeError) -> tuple[Union[str, bytes], int]:
    """Escapes characters as JSON does, so that JSON lines stay valid."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    units = "".join(text).encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


codecs.register_error(ESCAPE, _escape_characters)


class _FaultTolerantWriter(io.RawIOBase):
    """Writes to a descriptor; drops output that cannot be written instead of failing."""

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
        """Waits at most one more second for a stalled reader."""
        self._stop_at = time.monotonic() + _DRAIN_SECONDS

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self._wait_until_writable():
            with contextlib.suppress(BlockingIOError):
                done += self._write_view(view[done : done + _WRITE_BYTES])
        return len(view)

    def _write_view(self, view: memoryview) -> int:
        try:
            return os.write(self._descriptor, view)
        except BlockingIOError:
            raise
        except OSError as error:
            # a full disk may recover; a closed pipe does not
            self._broken = error.errno not in (errno.ENOSPC, errno.EDQUOT)
            return len(view)

    def _wait_until_writable(self) -> bool:
        """Waits until the descriptor is writable; returns False if it is broken or time is up."""
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
    """Makes ``sys.stdout`` and ``sys.stderr`` never fail; call it once, at process start."""
    _open_missing_descriptors()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, _FaultTolerantStream):
            stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - it stays open as long as the process
        elif (protected := _wrap_stream(stream)) is not None:
            stream = protected
        setattr(sys, name, stream)


def flush_standard_streams() -> None:
    """Flushes ``sys.stdout`` and ``sys.stderr``; a function may have closed or replaced them."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def stop_waiting_for_readers() -> None:
    """Limits how long stalled readers can delay the end of the process."""
    for stream in (sys.stdout, sys.stderr):
        writer = getattr(stream, "raw", None)  # the stream may be within another one
        if isinstance(writer, _FaultTolerantWriter):
            writer.stop_waiting()


class _FaultTolerantStream(io.TextIOWrapper):
    """A text stream over ``_FaultTolerantWriter``."""

    def __init__(self, raw: _FaultTolerantWriter, encoding: str, *, line_buffering: bool) -> None:
        super().__init__(
            io.BufferedWriter(raw), encoding=encoding, errors=ESCAPE, line_buffering=line_buffering
        )
        self.raw = raw


def _wrap_stream(stream: Any) -> Any:
    """Wraps a stream's descriptor; returns None if it has none, as under pytest."""
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
    """Opens descriptors 0 to 2 if closed; otherwise a later file would get them and the output."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.set_inheritable(
                    os.open(os.devnull, os.O_RDWR), True
                )  # it gets the lowest free number, which is this one
