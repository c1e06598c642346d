"""When Python looks for garbage: not while a process of ours starts, since nearly all that is made then stays."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_GARBAGE = 10_000
"""Objects made beyond those that went, after which garbage is looked for: at Python's 700 that is a fifteenth of a transfer's CPU time."""


_settled = False
"""Whether this process is one of ours, which does one run and ends."""


@contextmanager
def freeze_objects() -> Iterator[None]:
    """Exempt what there is now from garbage collection while the block runs: the memory stays shared with forked processes.

    A process that is not ours goes on after a run: what the run leaves must be collected there.
    """
    gc.freeze()
    try:
        yield
    finally:
        if not _settled:
            gc.unfreeze()


def collect_garbage() -> None:
    """Collect what a run has left, in a process that is not ours: sessions and clients of AWS are cycles of many megabytes."""
    if not _settled:
        gc.collect()


def tune_for_one_run() -> None:
    """What there is now stays: from here on garbage is looked for among newer objects alone, also when the process ends."""
    global _settled  # noqa: PLW0603
    _settled = True
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    gc.enable()
