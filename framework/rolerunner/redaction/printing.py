"""Redacts what a user's functions and libraries print."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from rolerunner.redaction.redact import redact_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@contextmanager
def redact_prints() -> Iterator[None]:
    """Redacts inside the block what is written to ``sys.stdout`` and ``sys.stderr``.

    Bytes that are written to their buffers or descriptors, as by other processes, are not.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        stream and cast("TextIO", _RedactingStream(stream)) for stream in before
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _RedactingStream:
    """A text stream that redacts each text written to it; all else is that of the stream below."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes the text without secrets."""
        self._stream.write(redact_text(text) if isinstance(text, str) else text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes each text without secrets."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
