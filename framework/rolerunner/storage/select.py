"""Which objects or files a step means: include and exclude globs over keys relative to the source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from wcmatch import glob

# `*` stays within a folder, `**` crosses folders, {a,b} alternates; a leading dot is a name like any other.
_FLAGS = glob.GLOBSTAR | glob.BRACE | glob.DOTGLOB | glob.FORCEUNIX | glob.CASE


@dataclass(frozen=True)
class Selection:
    """Matches relative keys: any of ``include`` (all, where it is empty) and none of ``exclude``."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    _compiled: Any = field(init=False, repr=False, compare=False, default=None)

    @classmethod
    def of(cls, include: Sequence[str], exclude: Sequence[str]) -> Selection:
        """From the fields of a step."""
        return cls(tuple(include), tuple(exclude))

    def __post_init__(self) -> None:
        if self.include or self.exclude:
            compiled = glob.compile(list(self.include) or ["**"], flags=_FLAGS, exclude=list(self.exclude) or None)
            object.__setattr__(self, "_compiled", compiled)

    def __call__(self, relative: str) -> bool:
        """Does the step mean this one?"""
        return self._compiled is None or bool(self._compiled.match(relative))
