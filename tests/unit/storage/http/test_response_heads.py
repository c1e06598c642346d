"""Status lines and headers, as servers send them and as they must not."""

from __future__ import annotations

import pytest

from rolerunner.storage.http import response_heads
from rolerunner.storage.http.response_heads import MalformedResponse, parse_headers, parse_status


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("HTTP/1.1 200 OK", (200, True)),
        ("HTTP/1.1 404", (404, True)),
        ("HTTP/1.0 206 Partial Content", (206, False)),
    ],
)
def test_a_status_tells_whether_the_connection_stays(line: str, expected: tuple[int, bool]) -> None:
    assert parse_status(line) == expected


@pytest.mark.parametrize(
    "line", ["HTTP/2 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 099 No", "HTTP/1.1 200 OK\r", "<html>"]
)
def test_another_protocol_is_refused(line: str) -> None:
    with pytest.raises(MalformedResponse, match="is not HTTP/1"):
        parse_status(line)


def test_repeated_headers_are_joined() -> None:
    lines = ['ETag: \t"a" ', "X-Tag:1", "x-tag: 2", "Content-Length: 5", "content-length: 5"]
    assert parse_headers(lines) == {"etag": '"a"', "x-tag": "1, 2", "content-length": "5"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["no colon"], "cannot be read"),
        (["colonless"], "cannot be read"),
        ([" folded: a"], "cannot be read"),
        (["spaced : a"], "cannot be read"),
        (["Content-Length: 5", "Content-Length: 6"], "two different lengths"),
    ],
)
def test_malformed_headers_are_refused(lines: list[str], message: str) -> None:
    with pytest.raises(MalformedResponse, match=message):
        parse_headers(lines)


def test_the_names_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    names = response_heads._HeaderNames()
    monkeypatch.setattr(response_heads, "_MAX_NAMES", 2)
    assert [names[each] for each in ("A", "B", "C", "A")] == ["a", "b", "c", "a"]
    assert dict(names) == {"A": "a", "B": "b"}
