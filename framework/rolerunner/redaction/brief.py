"""Texts for systems that limit their length, and take no control characters."""

from __future__ import annotations

import re

from rolerunner.redaction.redact import redact_text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def redact_briefly(text: str, limit: int) -> str:
    """Returns the text without secrets and control characters, of at most ``limit`` bytes.

    It is UTF-8, which a text with half a surrogate pair is not. Secrets are masked first: half a
    secret is not found any more.
    """
    data = _CONTROL.sub(" ", redact_text(text)).encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    return data[: limit - 3].decode("utf-8", "ignore") + "…"
