"""The encodings in which a known secret may appear in a text."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_SECRET_LENGTH = 4
"""A shorter secret is masked only as a whole value: inside other texts it would garble them."""
_MIN_LINE_LENGTH = 8
"""Characters from which on a line of a multi-line secret is searched for by itself."""
_SAFE_IN_URLS = "!#$%&'()*+,/:;=?@[]~"
"""Characters that libraries leave in a whole URL (RFC 3986, reserved)."""
_LINES_OF_BASE64 = (57, 48)
"""Bytes in a line of base64: of MIME (RFC 2045), and of PEM (RFC 7468)."""
_MAX_ENCODED_LENGTH = 32 << 10
"""Characters up to which a secret is searched for in all encodings; a longer one, such as a whole
file, as it is and as JSON."""


def list_encoded_forms(text: str) -> list[str]:
    """Returns the forms of a secret: plain, escaped, quoted, hex, base64 at each alignment."""
    encode = _encode_all if len(text) <= _MAX_ENCODED_LENGTH else _encode_json
    forms = dict.fromkeys(form for plain in _split_lines(text) for form in encode(plain))
    return [form for form in forms if len(form) >= MIN_SECRET_LENGTH]


def _split_lines(text: str) -> Iterator[str]:
    """Yields the secret, and each of its lines: logs and terminals print them one by one."""
    yield text
    stripped = text.strip()
    if stripped != text:
        yield stripped
    lines = stripped.splitlines()
    if len(lines) > 1:
        yield from (
            line.strip()
            for line in lines
            if len(line.strip()) >= _MIN_LINE_LENGTH and not line.startswith("-----")
        )


def _encode_all(text: str) -> Iterator[str]:
    data = text.encode("utf-8", "surrogatepass")
    yield text
    yield from _escape_text(text)
    for safe in ("", "/", _SAFE_IN_URLS):
        yield from _percent_forms(quote(data, safe=safe))
    yield from _percent_forms(quote_plus(data))
    for quoted in _percent_forms(quote(data, safe="")):
        yield quote(quoted, safe="")  # a URL in a parameter of a URL
    for whole in (data, *(form.encode("utf-8", "surrogatepass") for form in _escape_json(text))):
        for alignment in range(3):
            yield from _base64_forms(_encode_base64(whole, alignment))
    for size in _LINES_OF_BASE64:
        if len(data) > size:
            yield from _encode_lines(data, size)
    yield data.hex()
    yield data.hex().upper()


def _encode_json(text: str) -> Iterator[str]:
    yield text
    yield json.dumps(text)[1:-1]


def _escape_json(text: str) -> set[str]:
    """Returns the forms of a text inside JSON that differ from it."""
    forms = (json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
    return {form for form in forms if form != text}


def _escape_text(text: str) -> Iterator[str]:
    for ascii_only in (True, False):
        once = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield once
        yield once.replace("/", "\\/")
        yield json.dumps(once, ensure_ascii=ascii_only)[1:-1]
        yield re.sub("[<>&']", lambda found: f"\\u{ord(found.group()):04x}", once)
    yield repr(text)[1:-1]
    yield repr(text + "'")[1:-2]  # as repr writes it between double quotes, or with a quote escaped
    yield ascii(text)[1:-1]
    yield repr(text.encode("utf-8", "surrogatepass"))[2:-1]
    yield html.escape(text)
    yield html.escape(text, quote=False)
    yield html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    yield html.escape(text).replace("&#x27;", "&apos;")
    yield re.sub(
        "[\t\n\r]",
        lambda found: f"&#{ord(found.group())};",
        html.escape(text, quote=False).replace('"', "&quot;"),
    )
    yield text.replace("'", "''")  # as SQL and CSV write it
    yield text.replace('"', '""')
    yield shlex.quote(text).strip("'")
    yield text.replace("'", "'\\''")
    yield re.sub(r"([^\w@%+=:,./-])", r"\\\1", text)


def _encode_lines(data: bytes, size: int) -> Iterator[str]:
    """Yields the lines of base64 that is broken into lines; a short rest may be of anything."""
    for start in range(0, len(data), size):
        line = base64.b64encode(data[start : start + size]).decode().rstrip("=")
        if len(line) >= _MIN_LINE_LENGTH:
            yield line


def _percent_forms(quoted: str) -> Iterator[str]:
    yield quoted
    yield re.sub("%[0-9A-F]{2}", lambda found: found.group().lower(), quoted)


def _base64_forms(encoded: str) -> Iterator[str]:
    yield encoded
    yield encoded.replace("+", "-").replace("/", "_")
    yield from _percent_forms(quote(encoded, safe=""))


def _encode_base64(data: bytes, alignment: int) -> str:
    """Returns the characters that depend on ``data`` alone, ``alignment`` bytes into a group."""
    encoded = base64.b64encode(b"\0" * alignment + data).decode().rstrip("=")
    first = (0, 2, 3)[alignment]
    shared = (alignment + len(data)) % 3 != 0
    return encoded[first : -1 if shared else None]
