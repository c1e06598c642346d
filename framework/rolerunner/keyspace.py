"""Spans of keys that are listed side by side, cut where nobody knows how many keys there are and how they are spread.

A span is listed up to some number of keys. What is left of it is cut where its own keys say that others may be: between
the last key seen and the last one there is, found by a dozen looks, along the characters that its keys are made of.
A bad cut costs a look at an empty span; whatever the cuts, every key is in exactly one span.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional

FindNextKey = Callable[[str], Optional[str]]
"""The first key of a span after a text, None if there is none."""
_LAST = "\U0010fffd"
"""Follows all that keys are made of, and may stand in XML."""


@dataclass(frozen=True)
class KeyRange:
    """The keys after ``after``, up to ``upto`` and with it; None: up to the last one. S3 orders keys as Python orders text."""

    after: str = ""
    upto: Optional[str] = None


def split_by_probing(
    span: KeyRange, prefix: str, seen: Sequence[str], pieces: int, next_key: FindNextKey
) -> list[KeyRange]:
    """The span as ``pieces`` spans at most, in order. ``seen`` are keys like those in it, the last one its ``after``."""
    start = span.after
    place, beyond = _departure(start, prefix, next_key)
    letters = sorted(set("".join(key[len(prefix) :] for key in seen)) | set(beyond[len(prefix) :]))
    base, first = start[:place], start[place : place + 1]
    last = _last_letter(base, [each for each in letters if each > first], next_key)
    seconds = _like(letters, {key[place + 1] for key in (*seen, beyond) if len(key) > place + 1})
    firsts = _like([each for each in letters if first <= each <= (last or first)], {first, last})
    texts = (base + one + other for one in firsts for other in ("", *seconds))
    cuts = [each for each in texts if each > start and (span.upto is None or each < span.upto)]
    chosen = _evenly(cuts, pieces - 1)
    return [KeyRange(one, other) for one, other in zip([start, *chosen], [*chosen, span.upto])]


def _departure(start: str, prefix: str, next_key: FindNextKey) -> tuple[int, str]:
    """Where the last key has another character than ``start``, and a key that has one there. Found by halving."""
    low, high = len(prefix), len(start)
    found = ""
    while low < high:
        middle = (low + high) // 2
        beyond = next_key(start[: middle + 1] + _LAST)
        if beyond is None:
            low = middle + 1
        else:
            high, found = middle, beyond
    return low, found


def _last_letter(base: str, letters: Sequence[str], next_key: FindNextKey) -> str:
    """The highest of the letters that a key has after ``base``, as far as can be told."""
    low, high = 0, len(letters) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (low, middle - 1) if next_key(base + letters[middle]) is None else (middle, high)
        )
    return letters[low] if letters else ""


def _like(letters: Sequence[str], samples: set[str]) -> list[str]:
    """The letters of the kinds that the samples are of: where digits stand, others are not looked for."""
    kinds = {_kind(each) for each in samples}
    return [each for each in letters if _kind(each) in kinds]


def _kind(letter: str) -> str:
    return (
        "0"
        if letter.isdigit()
        else "a"
        if letter.islower()
        else "A"
        if letter.isupper()
        else letter
    )


def _evenly(texts: Sequence[str], count: int) -> list[str]:
    if len(texts) <= count:
        return list(texts)
    return [texts[(number + 1) * len(texts) // (count + 1)] for number in range(count)]
