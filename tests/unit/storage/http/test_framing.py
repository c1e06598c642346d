"""Answers of HTTP/1.1, however they are cut, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolerunner.storage.http import framing
from rolerunner.storage.http.framing import ResponseParser
from rolerunner.storage.http.response_heads import MalformedResponse

OK = b"HTTP/1.1 200 OK\r\n"


class Taken:
    def __init__(self) -> None:
        self.data = b""
        self.begun = 0

    def begin(self, status: int, headers: object) -> None:
        self.begun += 1

    def write(self, data: bytes) -> None:
        self.data += data


def chunked(parts: list[bytes]) -> bytes:
    return (
        b"".join(b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in parts if part)
        + b"0\r\nTrailer: x\r\n\r\n"
    )


BODIES = st.lists(st.binary(max_size=40), max_size=5)


@given(
    BODIES,
    st.booleans(),
    st.booleans(),
    st.integers(0, 2),
    st.lists(st.integers(1, 60), min_size=1, max_size=40),
)
def test_an_answer_is_the_same_however_it_is_cut(
    parts: list[bytes], is_chunked: bool, sinks: bool, interim: int, cuts: list[int]
) -> None:
    body = b"".join(parts)
    head = (
        b"Transfer-Encoding: chunked\r\n\r\n" + chunked(parts)
        if is_chunked
        else b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    wire = (
        b"HTTP/1.1 100 Continue\r\n\r\n" * interim
        + OK
        + b'ETag: "x"\r\nX-A: 1\r\nx-a:  2 \r\n'
        + head
    )
    sink = Taken() if sinks else None
    framing = ResponseParser("GET", sink)
    at, done = 0, False
    while at < len(wire):
        assert not done
        size = cuts[at % len(cuts)]
        done = framing.feed(wire[at : at + size])
        at += size
    assert done
    assert framing.answer is not None
    assert framing.answer.headers["x-a"] == "1, 2"
    assert framing.answer.keep
    if sink is not None and (is_chunked or body):
        assert (sink.data, framing.answer.sunk, sink.begun) == (body, len(body), 1)
    else:
        assert framing.answer.body == body


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n", OK + b"no colon\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 1e3\r\n\r\n",
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        OK + b"Content-Length: 1\r\n\r\nab", OK + b" folded: x\r\n\r\n", OK + b"a\0b: x\r\n\r\n",
        b"x" * (framing.MAX_HEAD + 1),
        OK + b"A: " + b"x" * framing.MAX_HEAD + b"\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
        b"HTTP/1.1 101 Switching\r\n\r\n",
        OK + b"Content-Length: %d\r\n\r\n" % (framing.MAX_BODY + 1),
        OK + b"Content-Length: 99999999999999999999999\r\n\r\n", OK + b"nocolon\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * (framing.MAX_HEAD + 1),
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nmore",
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused(wire: bytes) -> None:
    with pytest.raises(MalformedResponse):
        ResponseParser("GET").feed(wire)


@pytest.mark.parametrize(
    ("start", "filler", "count", "end"),
    [
        (OK + b"A: ", b"x", 65_536 - len(OK + b"A: "), b"\r\n\r\n"),
        (b"HTTP/1.1 400 Bad\r\n\r\n", b"x", 1_048_576, b""),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 16, b""),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n", 64, b""),
    ],
    ids=["head", "error", "interim responses", "trailers"],
)
def test_the_limits_of_what_a_server_may_send(
    start: bytes, filler: bytes, count: int, end: bytes
) -> None:
    ResponseParser("GET").feed(start + filler * count + end)
    with pytest.raises(MalformedResponse, match=r"too (long|many)"):
        ResponseParser("GET").feed(start + filler * (count + 1) + end)


@pytest.mark.parametrize(("status", "limit"), [(b"200 OK", 268_435_456), (b"404 No", 1_048_576)])
def test_a_body_is_refused_by_its_length(status: bytes, limit: int) -> None:
    head = b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n\r\n"
    assert not ResponseParser("GET").feed(head % limit)
    with pytest.raises(MalformedResponse, match="too long"):
        ResponseParser("GET").feed(head % (limit + 1))


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waited_for(data: bytes) -> None:
    framing = ResponseParser("GET")
    try:
        framing.feed(b"HTTP/1.1 " + data)
    except MalformedResponse:
        return


def test_a_close_in_the_middle_is_told_and_one_at_the_end_of_a_body_without_length_is_the_end() -> (
    None
):
    framing = ResponseParser("GET")
    framing.feed(OK + b"Content-Length: 10\r\n\r\nhalf")
    with pytest.raises(MalformedResponse, match="before the response was complete"):
        framing.eof()
    with pytest.raises(MalformedResponse, match="without a response"):
        ResponseParser("GET").eof()
    framing = ResponseParser("GET")
    assert not framing.feed(OK + b"\r\nall")
    framing.eof()
    assert framing.answer is not None
    assert (framing.answer.body, framing.answer.keep) == (b"all", False)


def test_head_has_no_body_and_old_servers_close() -> None:
    framing = ResponseParser("HEAD")
    assert framing.feed(b"HTTP/1.0 404 Not Found\r\nContent-Length: 300\r\n\r\n")
    assert framing.answer is not None
    assert (framing.answer.status, framing.answer.keep, framing.answer.reason) == (
        404,
        False,
        "Not Found",
    )
