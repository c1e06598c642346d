"""One of a thing is told as one, wherever a number stands before a noun."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rolerunner
from rolerunner.common.wording import align_columns, escape_controls, format_count

SOURCE = Path(rolerunner.__file__).parent


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "step", "0 steps"),
        (1, "step", "1 step"),
        (2, "step", "2 steps"),
        (12345, "object", "12,345 objects"),
        (1.0, "byte", "1.0 byte"),
    ],
)
def test_the_noun_follows_the_number(number: float, noun: str, text: str) -> None:
    assert format_count(number, noun) == text
    assert format_count(2, "entry", "entries") == "2 entries"


def test_columns_are_as_wide_as_their_longest_cell() -> None:
    assert align_columns([("a", "b", ""), ("long", "c", "d")]) == ["a     b", "long  c  d"]


def test_no_message_writes_a_length_before_a_plural() -> None:
    """``{len(steps)} steps`` reads "1 steps" one day."""
    wrong = re.compile(
        r"\{len\([^{}]*\)(?::,)?\} "
        r"(?:steps?|roles?|objects|files|cases|lines|specs|bytes|calls|items)\b"
    )
    found = [
        f"{path.name}: {each}"
        for path in SOURCE.rglob("*.py")
        for each in wrong.findall(path.read_text())
    ]
    allowed = {
        "roles.py: {len(users)} steps",
        "run_state.py: {len(document):,} bytes",
    }  # two at least, and a mebibyte at least
    assert set(found) - allowed == set()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc ü", "a\tb\nc ü"),
        ("\x1b[2Jgone\r", "\\x1b[2Jgone\\r"),
        ("\x9b31m\u202eexe", "\\x9b31m\\u202eexe"),
    ],
)
def test_control_characters_are_visible(text: str, shown: str) -> None:
    assert escape_controls(text) == shown
