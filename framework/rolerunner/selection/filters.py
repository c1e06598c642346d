"""Selects objects or files by globs over relative keys, by size and by age."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import field
from itertools import groupby, takewhile
from typing import Any, NamedTuple, Optional

from rolerunner.common.patterns import compile_on_use
from rolerunner.lazy_dataclass import dataclass

MAX_PATTERNS = 10_000
"""Maximum number of patterns of a step, braces expanded; they compile in two seconds."""


class Rule(NamedTuple):
    """One of several globs in order. It may be a template while a spec is validated."""

    selects: bool
    glob: Any


@dataclass(frozen=True)
class Selection:
    """Selects relative keys that match any of ``include`` and none of ``exclude``, within bounds.

    An empty ``include`` matches all. ``rules`` take the place of both where order matters.

    Sizes are in bytes; ``before`` and ``after`` are moments in ISO 8601 UTC, as S3 tells them.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    min_size: int = 0
    max_size: Optional[int] = None
    before: str = ""
    """Modified at this moment or earlier: old enough."""
    after: str = ""
    """Modified at this moment or later: young enough."""
    rules: tuple[Rule, ...] = ()
    ignore_case: bool = False
    _compiled: Any = field(init=False, repr=False, compare=False, default=None)

    @classmethod
    def of(cls, include: Sequence[str], exclude: Sequence[str]) -> Selection:
        """Returns a selection by globs alone."""
        return cls(tuple(include), tuple(exclude))

    def __post_init__(self) -> None:
        if self.rules:
            compiled: Any = _compile_rules(self.rules, ignore_case=self.ignore_case)
        elif self.include or self.exclude:
            compiled = _compile_globs(self.include, self.exclude, ignore_case=self.ignore_case)
        else:
            return
        object.__setattr__(self, "_compiled", compiled)

    @property
    def selects_everything(self) -> bool:
        """True if the selection leaves nothing out."""
        return self == Selection()

    @property
    def reads_details(self) -> bool:
        """True if the selection depends on more than the name: on size or age."""
        return bool(self.min_size or self.max_size is not None or self.before or self.after)

    def matches_name(self, relative: str) -> bool:
        """Returns True if the name passes the globs."""
        return self._compiled is None or bool(self._compiled.match(relative))

    def excludes_name(self, relative: str) -> bool:
        """Returns True if a glob leaves the name out, whatever the other globs select."""
        exclude = find_certain_excludes(self.exclude, self.rules)
        return bool(exclude) and not Selection(
            exclude=exclude, ignore_case=self.ignore_case
        ).matches_name(relative)

    def __call__(self, relative: str, size: int, modified: str) -> bool:
        """Returns True if the selection includes the object or file."""
        if size < self.min_size or (self.max_size is not None and size > self.max_size):
            return False
        if (self.before and modified > self.before) or (self.after and modified < self.after):
            return False
        return self.matches_name(relative)


@dataclass(frozen=True)
class _Globs:
    """Matches keys that any regular expression of ``include`` matches and none of ``exclude``."""

    include: Callable[[str], object]
    exclude: Optional[Callable[[str], object]]

    def match(self, relative: str) -> bool:
        return bool(self.include(relative)) and not (
            self.exclude is not None and self.exclude(relative)
        )


def _compile_globs(include: Sequence[str], exclude: Sequence[str], *, ignore_case: bool) -> _Globs:
    """Compiles globs: ``*`` stays within a folder, ``**`` crosses folders, {a,b} alternates."""
    return _Globs(
        compile_globs(include or ["**"], ignore_case=ignore_case).match,
        compile_globs(exclude, ignore_case=ignore_case).match if exclude else None,
    )


@dataclass(frozen=True)
class _Rules:
    """The first rule that matches a key decides; a key that matches none is selected."""

    rules: tuple[tuple[bool, Callable[[str], object]], ...]

    def match(self, relative: str) -> bool:
        return next((selects for selects, matches in self.rules if matches(relative)), True)


def _compile_rules(rules: Sequence[Rule], *, ignore_case: bool) -> _Rules:
    neighbours = groupby(rules, key=lambda rule: rule.selects)
    return _Rules(
        tuple(
            (selects, compile_globs([each.glob for each in some], ignore_case=ignore_case).match)
            for selects, some in neighbours
        )
    )


def find_certain_excludes(exclude: Sequence[Any], rules: Sequence[Rule]) -> tuple[Any, ...]:
    """Returns the globs that leave out whatever they match: of rules those before any include."""
    return (*exclude, *(each.glob for each in takewhile(lambda rule: not rule.selects, rules)))


def check_globs(globs: Sequence[str]) -> None:
    """Raises ValueError for unbalanced brackets or braces, and for globs with too many patterns."""
    for each in globs:
        problem = find_imbalance(each)
        if problem:
            raise ValueError(f"has the glob '{each}', whose {problem}")
    if any("{" in each for each in globs):
        compile_globs(globs)


_GLOB_TOKEN = compile_on_use(r"\\.|\[[!^]?\]?(?:\[:\w+:\]|\\.|[^\]/\\])*\]|[][{}]", re.DOTALL)
"""An escaped character, a set of characters, or a bracket or brace by itself."""


def find_imbalance(glob: str) -> str:
    """Returns what is wrong with the brackets and braces of a glob; empty if nothing is."""
    opened: list[int] = []
    for token in _GLOB_TOKEN.finditer(glob):
        text, place = token.group(), token.start() + 1
        if text == "{":
            opened.append(place)
        elif text == "}" and opened:
            opened.pop()
        elif len(text) == 1:
            return (
                f"'{text}' at character {place} has no counterpart;"
                f" write '\\{text}' for the character itself"
            )
    return (
        f"'{{' at character {opened[0]} has no counterpart; write '\\{{' for the character itself"
        if opened
        else ""
    )


def compile_globs(globs: Sequence[str], *, ignore_case: bool = False) -> re.Pattern[str]:
    """A regular expression that matches what any of the globs matches.

    Raises ValueError for globs whose braces stand for more than MAX_PATTERNS patterns.

    In a key ``.`` and ``..`` are ordinary names, so the conditions by which wcmatch excludes them
    from wildcards are removed.
    """
    from wcmatch import glob  # noqa: PLC0415 - most steps name a prefix alone
    from wcmatch._wcparse import PatternLimitException  # noqa: PLC0415

    flags = glob.GLOBSTAR | glob.BRACE | glob.DOTGLOB | glob.FORCEUNIX
    flags |= glob.IGNORECASE if ignore_case else glob.CASE
    try:
        patterns, _ = glob.translate(list(globs), flags=flags, limit=MAX_PATTERNS)
    except (PatternLimitException, RecursionError):
        raise ValueError(
            f"stands for more than {MAX_PATTERNS:,} patterns, braces expanded;"
            " use '*' for a part of them"
        ) from None
    return re.compile("|".join(_without_dot_conditions(each) for each in patterns))


def expand_braces(globs: Sequence[str]) -> list[str]:
    """The globs that have no braces and together match the same."""
    from bracex import expand  # noqa: PLC0415 - for globs of files alone

    return [
        pattern for each in globs for pattern in expand(each, keep_escapes=True, limit=MAX_PATTERNS)
    ]


_NEGATIVE, _DOT_NAMES = "(?!", r"\.{1,2}"


def _without_dot_conditions(pattern: str) -> str:
    """Returns the regular expression without negative lookaheads for ``.`` and ``..``."""
    kept, position = [], 0
    while (start := pattern.find(_NEGATIVE, position)) >= 0:
        end = _end_of_group(pattern, start)
        kept.append(pattern[position:start])
        if _DOT_NAMES not in pattern[start:end]:
            kept.append(pattern[start:end])
        position = end
    return "".join([*kept, pattern[position:]])


def _end_of_group(pattern: str, start: int) -> int:
    depth = 0
    for token in re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()]", re.DOTALL).finditer(
        pattern, start
    ):
        depth += {"(": 1, ")": -1}.get(token.group(), 0)
        if depth == 0:
            return token.end()
    return len(pattern)
