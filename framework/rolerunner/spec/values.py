"""Values as people write them: durations, sizes, and the nearest right name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rolerunner.errors import Mark


@dataclass(frozen=True)
class FileValue:
    """A param's value from a file: errors name its place and never show it, since the file may be another than was meant."""

    value: Any
    mark: Mark


_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?\Z")
_SECONDS = (86_400, 3_600, 60, 1)
_LONGEST = 100 * 366 * 86_400
"""Seconds of the longest duration: waits and clocks of the operating system cannot hold much more."""
_MOST_DIGITS = 40
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtpKMGTP]?)(i?)[bB]?\Z")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_duration(text: str) -> float:
    """``30s``, ``15m``, ``2h``, ``1d``, ``1h30m`` in seconds. Raises ValueError."""
    found = _DURATION.match(text.strip().replace(" ", "").lower())
    if not found or not any(found.groups()):
        raise ValueError(f"'{text}' is not a duration such as 30s, 15m, 2h or 1h30m")
    total = sum(
        float(number) * seconds for number, seconds in zip(found.groups(), _SECONDS) if number
    )
    return check_duration(total)


def check_duration(seconds: float) -> float:
    """The seconds, unless nothing can wait so long. Raises ValueError, also for NaN."""
    if not -_LONGEST <= seconds <= _LONGEST:
        raise ValueError("must be a duration of 100 years at most")
    return float(seconds)


def parse_size(text: str) -> int:
    """``16MiB``, ``5GB``, ``100`` in bytes; MiB counts in 1024s, MB in 1000s, as IEC 80000-13 has it. Raises ValueError."""
    found = _SIZE.match(text.strip())
    if not found or (found.group(3) and not found.group(2)):
        raise ValueError(f"'{text}' is not a size such as 16MiB, 5GB or 1000")
    number, unit, binary = found.groups()
    if len(number) > _MOST_DIGITS:
        raise ValueError(f"'{text[:40]}' has more than {_MOST_DIGITS} digits")
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.lower()])


def suggest_name(wrong: str, right: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the nearest right name, else the empty text."""
    import difflib  # noqa: PLC0415 - a right spec has no use for it

    names = {str(name).lower(): str(name) for name in reversed(list(right))}
    found = difflib.get_close_matches(str(wrong).lower(), list(reversed(names)), n=1, cutoff=0.6)
    return f"did you mean '{names[found[0]]}'?" if found else ""


def format_suggestion(wrong: str, right: Iterable[str]) -> str:
    """The nearest right name in brackets, to stand after a message; else the empty text."""
    found = suggest_name(wrong, right)
    return f" ({found})" if found else ""


def check_tag_text(text: str, what: str) -> None:
    """Raises ValueError for a character that no key or value of a tag may hold (AWS tagging API reference)."""
    wrong = next(
        (
            each
            for each in text
            if each not in "+-=._:/@" and unicodedata.category(each)[0] not in "LZN"
        ),
        "",
    )
    if wrong:
        raise ValueError(
            f"may hold letters, digits, spaces and + - = . _ : / @ as {what} of a tag, not {wrong!r}"
        )
