"""Splits a listing into ranges of keys that are listed in parallel, and restores the key order.

Nobody knows in advance how many keys there are or how they are distributed. Two strategies split
what is left of a range: ``split_by_guessing`` sends no request, ``split_by_probing`` sends about a
dozen. A bad split costs one request for an empty range. Whatever the split, every key is in exactly
one range.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field, replace
from itertools import takewhile
from typing import Generic, Optional, Protocol, TypeVar

from rolerunner.lazy_dataclass import dataclass

FindNextKey = Callable[[str], Optional[str]]
"""Returns the first key of a range that follows a text, or None."""
_HIGHEST = "\U0010fffd"
"""Sorts after all characters that keys are made of, and is allowed in XML."""
_LAST_OF_KIND = {
    **dict.fromkeys("0123456789", "9"),
    **dict.fromkeys("abcdef", "f"),
    **dict.fromkeys("ghijklmnopqrstuvwxyz", "z"),
    **dict.fromkeys("ABCDEF", "F"),
}
"""The last character of each kind: digits, hexadecimal digits, other letters."""
_KIND_SIZES = {"9": 10, "f": 16, "z": 26, "F": 16}
_FINE_LEVELS = 2
"""Levels above the differing character at which a guess divides the characters finely."""
_PAGES_PER_RANGE = 3


@dataclass(frozen=True)
class KeyRange:
    """The keys greater than ``after``, up to and including ``through``; None means no upper bound.

    S3 orders keys by their UTF-8 bytes, which is the order of Python's strings.
    """

    after: str = ""
    through: Optional[str] = None
    pages: Optional[int] = field(default=None, compare=False)
    """The number of pages that a guess expects of a short range; None if it may have many."""

    def is_past_end(self, key: str) -> bool:
        """Returns True if a key follows the last one of the range."""
        return self.through is not None and key > self.through

    def reaches_end(self, key: str) -> bool:
        """Returns True if no key of the range can follow this one."""
        return self.through is not None and key >= self.through

    def is_probably_end(self, key: str) -> bool:
        """Returns True if no key like this one can follow it within the range.

        ``part-1999.csv`` is the last one of its kind through ``part-2``.
        """
        place = len(self.through or "") - 1
        if self.through is None or place < 0 or key[:place] != self.through[:place]:
            return False
        if ord(key[place : place + 1] or "\0") + 1 != ord(self.through[place]):
            return False
        rest = key[place + 1 :]
        alike = "".join(takewhile(_LAST_OF_KIND.__contains__, rest))
        return alike != "" and all(_LAST_OF_KIND[each] == each for each in alike)

    def split_at(self, points: Sequence[str]) -> list[KeyRange]:
        """Returns consecutive ranges that end at the points, which are sorted and inside it."""
        return [
            KeyRange(after, through)
            for after, through in zip([self.after, *points], [*points, self.through])
        ]


class RangeState(Protocol):
    """A range that is being listed."""

    @property
    def is_done(self) -> bool:
        """True once all keys of the range have been listed."""


State = TypeVar("State", bound=RangeState)


class OrderedRanges(Generic[State]):
    """The ranges of one listing in key order. Results are taken from the first range only."""

    def __init__(self, first: State) -> None:
        self._states: deque[State] = deque([first])

    def __iter__(self) -> Iterator[State]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    @property
    def first(self) -> State:
        """The range with the lowest keys."""
        return self._states[0]

    def list_pending(self, limit: int) -> list[State]:
        """Returns the first ranges that are not done, at most ``limit``."""
        pending = (state for state in self._states if not state.is_done)
        return [state for _, state in zip(range(limit), pending)]

    def count_pending(self) -> int:
        """Returns the number of ranges that are not done."""
        return sum(not state.is_done for state in self._states)

    def insert_after(self, state: State, following: Iterable[State]) -> None:
        """Inserts the ranges that were split off a range right after it."""
        place = self._states.index(state)
        for offset, each in enumerate(following, 1):
            self._states.insert(place + offset, each)

    def remove(self, state: State) -> None:
        """Removes a range that has no results."""
        self._states.remove(state)

    def pop_first(self) -> State:
        """Removes the first range and returns it."""
        return self._states.popleft()


def split_by_guessing(
    key_range: KeyRange,
    prefix: str,
    page: tuple[str, str],
    *,
    limit: int,
    is_distant: bool,
    is_likely: Optional[Callable[[str], bool]] = None,
) -> list[KeyRange]:
    """Splits a range after a page of its keys, without a request.

    ``page`` holds the first and the last key of the page. ``limit`` is the maximum number of ranges
    to split off. ``is_distant``: responses take so long that ranges of a few pages are worthwhile.
    ``is_likely`` returns False for a point that probably no keys follow within its range.
    """
    first, last = page
    guesses = {
        point: pages
        for point, pages in _guess_points(prefix, first, last, is_distant=is_distant)
        if point > last
        and (key_range.through is None or point < key_range.through)
        and (is_likely is None or is_likely(point))
    }
    points = sorted(guesses)[:limit]
    rest, *following = key_range.split_at(points)
    return [rest, *(replace(each, pages=guesses[each.after]) for each in following)]


def _guess_points(
    prefix: str, first: str, last: str, *, is_distant: bool
) -> Iterator[tuple[str, Optional[int]]]:
    """Yields keys that may be far after ``last``: its prefixes, each with a higher last character.

    With each comes the number of pages up to the next; None for many. Past the first character in
    which the keys of the page differ, a range would be shorter than a page.
    """
    differing = next(
        (place for place, (one, other) in enumerate(zip(first, last)) if one != other),
        min(len(first), len(last)),
    )
    low, high = first[differing : differing + 1], last[differing : differing + 1]
    width = max(ord(high) - ord(low), 0) + 1 if low and high else 1
    for place in range(len(prefix), differing + 1):
        character = last[place : place + 1]
        # a prefix that ends one place earlier covers what follows the last character of a kind
        if _LAST_OF_KIND.get(character, character) == character:
            continue
        levels = differing - place
        codes, pages = _choose_codes(character, width, levels, is_distant=is_distant)
        for code in codes:
            yield last[:place] + chr(code), pages


def _choose_codes(
    character: str, width: int, levels: int, *, is_distant: bool
) -> tuple[Iterable[int], Optional[int]]:
    """Returns the code points after a character at which to split, and the pages of each range.

    A page spans ``width`` characters at the differing place, so a character ``levels`` places
    earlier stands for a known number of pages. Ranges have a few pages near the differing place and
    get longer above it.
    """
    top = _LAST_OF_KIND[character]
    following, end = ord(character) + 1, ord(top) + 1
    if levels > _FINE_LEVELS:
        return {following, (following + ord(top)) // 2}, None
    if not is_distant:
        return (), None
    pages = float(_KIND_SIZES[top]) ** levels / width
    step = max(1, round(_PAGES_PER_RANGE / pages))
    count = max(1, round(step * pages))
    return range(following, end, step), count if count <= _PAGES_PER_RANGE else None


def split_by_probing(
    key_range: KeyRange,
    prefix: str,
    listed_keys: Sequence[str],
    max_ranges: int,
    find_next_key: FindNextKey,
) -> list[KeyRange]:
    """Splits a range into at most ``max_ranges``, up to its last key, which probes find.

    ``listed_keys`` are keys like those in the range; the last of them is the range's ``after``.
    """
    start = key_range.after
    place, beyond = _probe_differing_place(start, prefix, find_next_key)
    characters = sorted(
        set("".join(key[len(prefix) :] for key in listed_keys)) | set(beyond[len(prefix) :])
    )
    base, first = start[:place], start[place : place + 1]
    higher = [each for each in characters if each > first]
    last = _probe_last_character(base, higher, find_next_key) or first
    examples = {key[place + 1] for key in (*listed_keys, beyond) if len(key) > place + 1}
    seconds = _select_same_kinds(characters, examples)
    between = [each for each in characters if first <= each <= last]
    firsts = _select_same_kinds(between, {first, last})
    candidates = (base + one + other for one in firsts for other in ("", *seconds))
    points = [each for each in candidates if each > start and not key_range.reaches_end(each)]
    return key_range.split_at(_select_evenly(points, max_ranges - 1))


def _probe_differing_place(start: str, prefix: str, find_next_key: FindNextKey) -> tuple[int, str]:
    """Finds the first place where the last key differs from ``start``, and such a key."""
    low, high = len(prefix), len(start)
    found = ""
    while low < high:
        middle = (low + high) // 2
        beyond = find_next_key(start[: middle + 1] + _HIGHEST)
        if beyond is None:
            low = middle + 1
        else:
            high, found = middle, beyond
    return low, found


def _probe_last_character(base: str, characters: Sequence[str], find_next_key: FindNextKey) -> str:
    """Finds the highest of the characters that a key has after ``base``; empty if none."""
    low, high = 0, len(characters) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if find_next_key(base + characters[middle]) is None:
            high = middle - 1
        else:
            low = middle
    return characters[low] if characters else ""


def _select_same_kinds(characters: Sequence[str], examples: set[str]) -> list[str]:
    """Returns the characters of the examples' kinds: beside digits, letters are unlikely."""
    kinds = {_classify_character(each) for each in examples}
    return [each for each in characters if _classify_character(each) in kinds]


def _classify_character(character: str) -> str:
    if character.isdigit():
        return "0"
    if character.islower():
        return "a"
    return "A" if character.isupper() else character


def _select_evenly(texts: Sequence[str], count: int) -> list[str]:
    if len(texts) <= count:
        return list(texts)
    return [texts[(number + 1) * len(texts) // (count + 1)] for number in range(count)]
