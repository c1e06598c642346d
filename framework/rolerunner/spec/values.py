"""Parses durations and sizes, and suggests names for misspelt ones."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Optional

from rolerunner.common.patterns import compile_on_use
from rolerunner.errors import Mark
from rolerunner.lazy_dataclass import dataclass


@dataclass(frozen=True)
class FileValue:
    """A param's value from a file.

    Errors name its place and never show the value: the file may not be the intended one.
    """

    value: Any
    mark: Mark


class HintedError(ValueError):
    """A wrong value; ``hint`` is the remedy."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


_DURATION = compile_on_use(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?\Z")
_SECONDS = (86_400, 3_600, 60, 1)
_LONGEST = 100 * 366 * 86_400
"""Maximum duration in seconds; timers of the operating system do not support much more."""
_MOST_DIGITS = 40
_SIZE = compile_on_use(r"(\d+(?:\.\d+)?)\s*([kmgtpKMGTP]?)(i?)[bB]?\Z")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_duration(text: str) -> float:
    """Returns the seconds of ``30s``, ``15m``, ``2h``, ``1d`` or ``1h30m``. Raises ValueError."""
    found = _DURATION.match(text.strip().replace(" ", "").lower())
    if not found or not any(found.groups()):
        raise ValueError(f"'{text}' is not a duration such as 30s, 15m, 2h or 1h30m")
    total = sum(
        float(number) * seconds for number, seconds in zip(found.groups(), _SECONDS) if number
    )
    return check_duration(total)


def check_duration(seconds: float) -> float:
    """Returns the seconds as a float. Raises ValueError if they are out of range or NaN."""
    if not -_LONGEST <= seconds <= _LONGEST:
        raise ValueError("must be at most 100 years")
    return float(seconds)


def parse_size(text: str) -> int:
    """Returns the bytes of ``16MiB``, ``5GB`` or ``100``. Raises ValueError.

    MiB is a power of 1024, and MB of 1000 (IEC 80000-13).
    """
    found = _SIZE.match(text.strip())
    if not found or (found.group(3) and not found.group(2)):
        raise ValueError(f"'{text}' is not a size such as 16MiB, 5GB or 1000")
    number, unit, binary = found.groups()
    if len(number) > _MOST_DIGITS:
        raise ValueError(f"'{text[:40]}' has more than {_MOST_DIGITS} digits")
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.lower()])


def suggest_name(wrong: str, right: Iterable[str]) -> str:
    """Returns ``did you mean 'x'?`` with the closest name; empty if none is close."""
    names = {str(name).lower(): str(name) for name in reversed(list(right))}
    found = _find_closest(str(wrong).lower(), tuple(reversed(names)))
    return f"did you mean '{names[found]}'?" if found is not None else ""


@lru_cache(maxsize=256)
def _find_closest(wrong: str, right: tuple[str, ...]) -> Optional[str]:
    """Returns the closest name; cached, since a mistake may occur in each of many steps."""
    import difflib  # noqa: PLC0415 - a right spec has no use for it

    return next(iter(difflib.get_close_matches(wrong, right, n=1, cutoff=0.6)), None)


def format_suggestion(wrong: str, right: Iterable[str]) -> str:
    """Returns a suggestion in brackets, to append to a message; empty if no name is close."""
    found = suggest_name(wrong, right)
    return f" ({found})" if found else ""


def check_tag_text(text: str, what: str) -> None:
    """Raises ValueError if a key or value of a tag has an invalid character (AWS tagging API)."""
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
            f"can contain letters, digits, spaces and + - = . _ : / @ as {what} of a tag, "
            f"not {wrong!r}"
        )
