"""Texts for systems that limit their length, and take no control characters."""

from __future__ import annotations

import pytest

from rolerunner.redaction.brief import redact_briefly
from rolerunner.redaction.secrets import register_secret


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("short", 5, "short"),
        ("longer than that", 9, "longer…"),
        ("éééé", 8, "éééé"),
        ("ééééé", 8, "éé…"),
        ("a\x00b\x1b[31m\u202ec\r\n\td", 99, "a b [31m c \n\td"),
        ("half \ud800 a pair", 99, "half ? a pair"),
    ],
)
def test_texts_are_utf_8_of_a_few_bytes(text: str, limit: int, expected: str) -> None:
    assert redact_briefly(text, limit) == expected


def test_secrets_are_masked_before_they_are_cut() -> None:
    secret = register_secret("a-secret-of-test-brief")
    assert redact_briefly(f"xx {secret} yy", 12) == "xx [redac…"
