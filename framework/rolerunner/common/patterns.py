"""Regular expressions that are compiled when they are first used: most runs use half of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

__all__ = ["compile_on_use"]

if TYPE_CHECKING:
    from re import compile as compile_on_use
else:

    def compile_on_use(pattern: Any, flags: int = 0) -> Any:
        """Returns an object with the attributes of the compiled pattern.

        The functions of ``re`` do not take it. A pattern that is wrong fails at its first use.
        """
        return _PatternOnUse(pattern, flags)


class _PatternOnUse:
    def __init__(self, pattern: Any, flags: int) -> None:
        self._arguments = (pattern, flags)

    def __getattr__(self, name: str) -> Any:
        """Called for an attribute that is not kept yet."""
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(re.compile(*self._arguments), name)  # re keeps what it has compiled
        setattr(self, name, value)
        return value
