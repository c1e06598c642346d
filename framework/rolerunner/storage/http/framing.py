"""Parses HTTP/1.1 responses as they arrive, without I/O and without trust in the server.

Source: RFC 9112.
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Optional, Protocol

from rolerunner.common.patterns import compile_on_use
from rolerunner.storage.http.response_heads import MalformedResponse, parse_headers, parse_status

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEAD = 64 << 10
"""Maximum size of a status line with its headers; S3's are at most 8 KB, with 2 KB of metadata."""
MAX_BODY = 256 << 20
"""Maximum size of a body that is kept in memory; longer ones go to a sink."""
MAX_ERROR = 1 << 20
"""Maximum size of the body of an error; S3's have a few hundred bytes."""
MAX_INTERIM = 16
"""Maximum number of responses such as 100 Continue before the final one."""
_CHUNK = compile_on_use(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\Z")


class Sink(Protocol):
    """Receives the body of a successful response as it arrives."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Starts a body; called again if the request was sent again."""

    def write(self, data: bytes, /) -> object:
        """Takes the next bytes, which are valid until this returns."""


class Response:
    """A complete response. Header names are in lower case; ``body`` is empty if a sink took it."""

    __slots__ = ("body", "headers", "keep", "status", "sunk")

    def __init__(self, status: int, headers: dict[str, str], *, keep: bool) -> None:
        self.status = status
        self.headers = headers
        self.keep = keep
        """True if the connection can be used again."""
        self.body: bytes = b""
        self.sunk = 0
        """Number of bytes that the sink took."""

    @property
    def reason(self) -> str:
        """The reason phrase of the status."""
        return http.client.responses.get(self.status, "Unknown")


class ResponseParser:
    """Parses the response to one request from the data given to ``feed``. Raises MalformedResponse.

    ``sink`` takes the body of a 2xx response that is longer than ``keep_up_to`` bytes or has no
    length.
    """

    __slots__ = (
        "_after",
        "_buffer",
        "_chunks",
        "_got",
        "_interim",
        "_left",
        "_most",
        "_no_body",
        "_sink",
        "_sinks",
        "_state",
        "_up_to",
        "answer",
        "may_drip",
    )

    def __init__(self, method: str, sink: Optional[Sink] = None, keep_up_to: int = 0) -> None:
        self._no_body = method == "HEAD"
        self.may_drip = method != "GET"
        """S3 sends whitespace while it copies, to keep the connection open."""
        self._sink = sink
        self._up_to = keep_up_to
        self._sinks = False
        self._most = MAX_BODY
        self._buffer = b""
        self._chunks: list[bytes] = []
        self._got = 0
        self._left = 0
        self._interim = 0
        self._state = "head"
        self._after = ""
        self.answer: Optional[Response] = None

    @property
    def has_begun(self) -> bool:
        """True if any of the response has arrived."""
        return bool(self._buffer) or self.answer is not None or self._interim > 0

    @property
    def is_done(self) -> bool:
        """True if the response is complete."""
        return self._state == "done"

    @property
    def sinks(self) -> int:
        """Number of bytes that the sink still expects, 0 if unknown. Any buffer may be fed."""
        return self._left if self._sinks and self._state == "length" else 0

    def feed(self, data: bytes) -> bool:
        """Parses received data; returns True once the response is complete.

        More data after that is an error.
        """
        if self._state == "head":
            data = self._buffer + data if self._buffer else data
            self._buffer = b""
            while True:
                end = data.find(b"\r\n\r\n")
                if end < 0 or end > MAX_HEAD:
                    if len(data) > MAX_HEAD:
                        raise MalformedResponse("the headers are too long")
                    self._buffer = data
                    return False
                head, data = data[:end], data[end + 4 :]
                if self._parse_head(head):
                    break
            if not data and self._left:
                return False  # over TLS, the body arrives separately
        if self._state == "length":
            return self._parse_body(data)
        if self._state == "chunked":
            return self._parse_chunks(data)
        if self._state == "close":
            self._add_data(data)
            return False
        return self._end_head(data)

    def eof(self) -> None:
        """Handles the end of the connection, which ends a body without a length."""
        if self._state != "close":
            raise MalformedResponse(
                "the connection was closed before the response was complete"
                if self.has_begun
                else "the connection was closed without a response"
            )
        self._finish_response()

    def _parse_head(self, head: bytes) -> bool:
        """Parses status and headers; returns False for an interim response."""
        text = head.decode("latin-1")
        lines = text.split("\r\n")
        status, keep = parse_status(lines[0])
        if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1 or "\0" in text:
            raise MalformedResponse("a header cannot be read")
        headers = parse_headers(lines[1:])
        if status < 200:  # noqa: PLR2004 - HTTP
            self._interim += 1
            if self._interim > MAX_INTERIM or status == 101:  # noqa: PLR2004
                raise MalformedResponse("too many interim responses")
            return False
        if "connection" in headers:
            connection = headers["connection"].lower()
            keep = "close" not in connection and (keep or "keep-alive" in connection)
        self.answer = Response(status, headers, keep=keep)
        self._start_body(self.answer)
        return True

    def _start_body(self, answer: Response) -> None:
        headers = answer.headers
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if length is not None and not (length.isascii() and length.isdigit() and len(length) < 20):  # noqa: PLR2004 - digits of 2**64
            raise MalformedResponse("the Content-Length is not a number")
        if self._no_body or answer.status in (204, 304):
            self._state = "done"
            self._finish_response()
        elif coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise MalformedResponse("the transfer encoding is not supported")
            self._state, self._after = "chunked", "size"
            self._choose_sink(answer, None)
        elif length is not None:
            self._state, self._left = "length", int(length)
            self._choose_sink(answer, self._left)
        else:
            self._state = "close"
            answer.keep = False
            self._choose_sink(answer, None)

    def _choose_sink(self, answer: Response, length: Optional[int]) -> None:
        """Chooses between the sink and memory."""
        good = 200 <= answer.status < 300  # noqa: PLR2004
        self._most = MAX_BODY if good else MAX_ERROR
        self._sinks = good and self._sink is not None and (length is None or length > self._up_to)
        if self._sinks and self._sink is not None:
            self._sink.begin(answer.status, answer.headers)
        elif length is not None and length > self._most:
            raise MalformedResponse("the response is too long")

    def _add_data(self, data: bytes) -> None:
        if not data:
            return
        self._got += len(data)
        if self._sinks and self._sink is not None:
            self._sink.write(data)
        else:
            if self._got > self._most:
                raise MalformedResponse("the response is too long")
            self._chunks.append(data)

    def _parse_body(self, data: bytes) -> bool:
        if len(data) > self._left:
            raise MalformedResponse("received more bytes than the response's length")
        if (
            len(data) == self._left
            and not self._got
            and not self._sinks
            and self.answer is not None
        ):  # all at once, the usual case
            self.answer.body = data
            self._state = "done"
            return True
        self._left -= len(data)
        self._add_data(data)
        if self._left:
            return False
        self._finish_response()
        return True

    def _parse_chunks(self, data: bytes) -> bool:
        data = self._buffer + data
        self._buffer = b""
        while data:
            if self._after == "data":
                taken = data[: self._left]
                self._add_data(taken)
                self._left -= len(taken)
                data = data[len(taken) :]
                if self._left == 0:
                    self._after = "end"
                continue
            line, found, rest = data.partition(b"\r\n")
            if not found:
                if len(line) > MAX_HEAD:
                    raise MalformedResponse("a chunk's size is too long")
                self._buffer = data
                return False
            data = rest
            if self._parse_line(line):
                return self._end_head(data)
        return False

    def _parse_line(self, line: bytes) -> bool:
        """Parses a line between chunks; returns True for the last one."""
        if self._after == "end":
            if line:
                raise MalformedResponse("a chunk is longer than its size")
            self._after = "size"
        elif self._after == "trailer":
            self._interim += 1
            if self._interim > MAX_INTERIM * 4:
                raise MalformedResponse("too many trailers")
            return not line
        else:
            found = _CHUNK.match(line)
            if not found:
                raise MalformedResponse("a chunk's size cannot be read")
            self._left = int(found[1], 16)
            self._after = "data" if self._left else "trailer"
        return False

    def _end_head(self, rest: bytes) -> bool:
        if rest:
            raise MalformedResponse("received more bytes than the response's length")
        self._finish_response()
        return True

    def _finish_response(self) -> None:
        assert self.answer is not None  # noqa: S101 - the head is read
        self._state = "done"
        if self._sinks:
            self.answer.sunk = self._got
        elif self._chunks:
            self.answer.body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
            self._chunks = []
