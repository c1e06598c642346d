"""Parses the status lines and headers of responses. Source: RFC 9112."""

from __future__ import annotations

import re
from functools import lru_cache

_STATUS = re.compile(r"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?\Z", re.ASCII)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


class MalformedResponse(Exception):
    """The response is not valid HTTP, or the connection was closed before its end."""


class _HeaderNames(dict[str, str]):
    """Header names as received -> in lower case. A server uses the same few names.

    Raises MalformedResponse.
    """

    def __missing__(self, name: str) -> str:
        if not _NAME.match(name):
            raise MalformedResponse("a header cannot be read")
        if len(self) < _MAX_NAMES:
            self[name] = name.lower()
        return name.lower()


_MAX_NAMES = 1000
_LOWER_NAMES = _HeaderNames()


@lru_cache(maxsize=64)
def parse_status(line: str) -> tuple[int, bool]:
    """Returns a status, and True if the connection is kept alive by default.

    Raises MalformedResponse.
    """
    found = _STATUS.match(line)
    if not found:
        raise MalformedResponse("the response is not HTTP/1.1")
    return int(found[2]), found[1] == "1"


def parse_headers(lines: list[str]) -> dict[str, str]:
    """Parses headers: names in lower case, values of repeated names joined.

    Raises MalformedResponse.
    """
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = _LOWER_NAMES[name]
        value = value.strip(" \t")
        if not colon:
            raise MalformedResponse("a header cannot be read")
        if name in headers:
            if name == "content-length" and headers[name] != value:
                raise MalformedResponse("the response has two different lengths")
            value = value if name == "content-length" else f"{headers[name]}, {value}"
        headers[name] = value
    return headers
