"""When Python looks for garbage: not while a process of ours starts, since nearly all that is made then stays."""

from __future__ import annotations

import gc

_GARBAGE = 10_000
"""Objects made beyond those that went, after which garbage is looked for: at Python's 700 that is a fifteenth of a transfer's CPU time."""


def settle() -> None:
    """What there is now stays: from here on garbage is looked for among newer objects alone, also when the process ends."""
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    gc.enable()
