"""HTTP/1.1 answers, read as they come: no I/O, nothing believed. Source: RFC 9112."""

from __future__ import annotations

import http.client
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Optional, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEAD = 64 << 10
"""Bytes of a status line with its headers; S3's are some hundred, 8 KB at most with 2 KB of metadata."""
MAX_BODY = 256 << 20
"""Bytes of a body that is kept in memory; what may be longer goes to a sink."""
MAX_ERROR = 1 << 20
"""Bytes of the body of an error; S3's have some hundred."""
MAX_INTERIM = 16
"""Answers such as 100 Continue before the real one."""
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?\Z", re.ASCII)
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\Z")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


class MalformedResponse(Exception):
    """The server did not speak HTTP, or broke off."""


class _Names(dict[str, str]):
    """A header's name as it came, and in lower case: a server uses the same few again and again. Raises Malformed for what is none."""

    def __missing__(self, name: str) -> str:
        if not _NAME.match(name):
            raise MalformedResponse("a header cannot be read")
        if len(self) < _MOST_NAMES:
            self[name] = name.lower()
        return name.lower()


_MOST_NAMES = 1000
_NAMES = _Names()


@lru_cache(maxsize=64)
def _status_of(line: str) -> tuple[int, bool]:
    """An answer's status, and may the connection be used again if it is not said otherwise? Raises Malformed."""
    found = _STATUS.match(line)
    if not found:
        raise MalformedResponse("the answer is not HTTP/1.1")
    return int(found[2]), found[1] == "1"


def _headers_of(lines: list[str]) -> dict[str, str]:
    """Names in lower case; values of a name that comes again are joined. Raises Malformed."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = _NAMES[name]
        value = value.strip(" \t")
        if not colon:
            raise MalformedResponse("a header cannot be read")
        if name in headers:
            if name == "content-length" and headers[name] != value:
                raise MalformedResponse("two lengths are told")
            value = value if name == "content-length" else f"{headers[name]}, {value}"
        headers[name] = value
    return headers


class Sink(Protocol):
    """Where the body of a good answer goes as it comes."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """A body begins to come; again, where the request was made again."""

    def write(self, data: bytes, /) -> object:
        """The next bytes, which are good until this returns."""


class Response:
    """A whole answer. Header names are in lower case; ``body`` is empty where a sink took it."""

    __slots__ = ("body", "headers", "keep", "status", "sunk")

    def __init__(self, status: int, headers: dict[str, str], *, keep: bool) -> None:
        self.status = status
        self.headers = headers
        self.keep = keep
        """May the connection be used again?"""
        self.body: bytes = b""
        self.sunk = 0
        """Bytes that the sink took."""

    @property
    def reason(self) -> str:
        """The status in words."""
        return http.client.responses.get(self.status, "Unknown")


class ResponseParser:
    """One answer to a request. ``feed`` it what comes until it is done; Raises Malformed.

    ``sink`` takes the body of a 2xx answer that is longer than ``keep_up_to`` bytes, or whose length is not told.
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
        """S3 sends blanks while it copies, so that nobody hangs up."""
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
    def begun(self) -> bool:
        """Has anything of the answer come?"""
        return bool(self._buffer) or self.answer is not None or self._interim > 0

    @property
    def done(self) -> bool:
        """Is the answer whole?"""
        return self._state == "done"

    @property
    def sinks(self) -> int:
        """Bytes of the body that are still to go to the sink, where that is known: they may be fed as any buffer."""
        return self._left if self._sinks and self._state == "length" else 0

    def feed(self, data: bytes) -> bool:
        """Take what came; is the answer whole? What comes after it is an error."""
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
                if self._head(head):
                    break
            if not data and self._left:
                return False  # its body comes by itself, as it does over TLS
        if self._state == "length":
            return self._length(data)
        if self._state == "chunked":
            return self._chunked(data)
        if self._state == "close":
            self._take(data)
            return False
        return self._ended(data)

    def eof(self) -> None:
        """The server closed the connection: the end of a body without a length, a break of any other."""
        if self._state != "close":
            raise MalformedResponse(
                "the connection was closed before the answer was whole"
                if self.begun
                else "the connection was closed without an answer"
            )
        self._finish()

    # the head

    def _head(self, head: bytes) -> bool:
        """Read status and headers; False for an interim answer."""
        text = head.decode("latin-1")
        lines = text.split("\r\n")
        status, keep = _status_of(lines[0])
        if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1 or "\0" in text:
            raise MalformedResponse("a header cannot be read")
        headers = _headers_of(lines[1:])
        if status < 200:  # noqa: PLR2004 - HTTP
            self._interim += 1
            if self._interim > MAX_INTERIM or status == 101:  # noqa: PLR2004
                raise MalformedResponse("too many interim answers")
            return False
        if "connection" in headers:
            connection = headers["connection"].lower()
            keep = "close" not in connection and (keep or "keep-alive" in connection)
        self.answer = Response(status, headers, keep=keep)
        self._body_of(self.answer)
        return True

    def _body_of(self, answer: Response) -> None:
        headers = answer.headers
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if length is not None and not (length.isascii() and length.isdigit() and len(length) < 20):  # noqa: PLR2004 - digits of 2**64
            raise MalformedResponse("the length is not a number")
        if self._no_body or answer.status in (204, 304):
            self._state = "done"
            self._finish()
        elif coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise MalformedResponse("the transfer encoding is not understood")
            self._state, self._after = "chunked", "size"
            self._choose(answer, None)
        elif length is not None:
            self._state, self._left = "length", int(length)
            self._choose(answer, self._left)
        else:
            self._state = "close"
            answer.keep = False
            self._choose(answer, None)

    def _choose(self, answer: Response, length: Optional[int]) -> None:
        """The sink or memory?"""
        good = 200 <= answer.status < 300  # noqa: PLR2004
        self._most = MAX_BODY if good else MAX_ERROR
        self._sinks = good and self._sink is not None and (length is None or length > self._up_to)
        if self._sinks and self._sink is not None:
            self._sink.begin(answer.status, answer.headers)
        elif length is not None and length > self._most:
            raise MalformedResponse("the answer is too long")

    # the body

    def _take(self, data: bytes) -> None:
        if not data:
            return
        self._got += len(data)
        if self._sinks and self._sink is not None:
            self._sink.write(data)
        else:
            if self._got > self._most:
                raise MalformedResponse("the answer is too long")
            self._chunks.append(data)

    def _length(self, data: bytes) -> bool:
        if len(data) > self._left:
            raise MalformedResponse("more came than was told")
        if (
            len(data) == self._left
            and not self._got
            and not self._sinks
            and self.answer is not None
        ):  # all at once, as most come
            self.answer.body = data
            self._state = "done"
            return True
        self._left -= len(data)
        self._take(data)
        if self._left:
            return False
        self._finish()
        return True

    def _chunked(self, data: bytes) -> bool:
        data = self._buffer + data
        self._buffer = b""
        while data:
            if self._after == "data":
                taken = data[: self._left]
                self._take(taken)
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
            if self._line(line):
                return self._ended(data)
        return False

    def _line(self, line: bytes) -> bool:
        """A line between chunks; is it the last one?"""
        if self._after == "end":
            if line:
                raise MalformedResponse("a chunk is longer than it says")
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

    def _ended(self, rest: bytes) -> bool:
        if rest:
            raise MalformedResponse("more came than was told")
        self._finish()
        return True

    def _finish(self) -> None:
        assert self.answer is not None  # noqa: S101 - the head is read
        self._state = "done"
        if self._sinks:
            self.answer.sunk = self._got
        elif self._chunks:
            self.answer.body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
            self._chunks = []
