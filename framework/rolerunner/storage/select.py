"""Which objects or files a step means: globs over keys relative to the source, sizes and ages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional


@dataclass(frozen=True)
class Selection:
    """Means those whose relative key matches any of ``include`` (all, where it is empty) and none of ``exclude``, within the bounds.

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
    _compiled: Any = field(init=False, repr=False, compare=False, default=None)

    @classmethod
    def of(cls, include: Sequence[str], exclude: Sequence[str]) -> Selection:
        """By globs alone."""
        return cls(tuple(include), tuple(exclude))

    def __post_init__(self) -> None:
        if self.include or self.exclude:
            object.__setattr__(self, "_compiled", _compiled(self.include, self.exclude))

    @property
    def means_all(self) -> bool:
        """Does it leave nothing out?"""
        return self == Selection()

    def named(self, relative: str) -> bool:
        """Does its name alone belong to those that are meant?"""
        return self._compiled is None or bool(self._compiled.match(relative))

    def __call__(self, relative: str, size: int, modified: str) -> bool:
        """Does the step mean this one?"""
        if size < self.min_size or (self.max_size is not None and size > self.max_size):
            return False
        if (self.before and modified > self.before) or (self.after and modified < self.after):
            return False
        return self.named(relative)


def _compiled(include: Sequence[str], exclude: Sequence[str]) -> Any:
    """``*`` stays within a folder, ``**`` crosses folders, {a,b} alternates; a leading dot is a name like any other."""
    from wcmatch import glob  # noqa: PLC0415 - most steps name a prefix alone

    flags = glob.GLOBSTAR | glob.BRACE | glob.DOTGLOB | glob.FORCEUNIX | glob.CASE
    return glob.compile(list(include) or ["**"], flags=flags, exclude=list(exclude) or None)
