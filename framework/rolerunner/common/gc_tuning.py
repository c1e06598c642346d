"""Tunes Python's garbage collection: none during start-up, when almost every object stays."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ALLOCATIONS = 10_000
"""Allocations between two collections. Python's default of 700 costs a fifteenth of a transfer's
CPU time.
"""


_ends_with_run = False
"""True in a process that does one run and ends."""


@contextmanager
def freeze_objects() -> Iterator[None]:
    """Exempts existing objects from collection in the block, so forked workers share their memory.

    A process that outlives the run must collect what the run leaves, so they are released after it.
    """
    gc.freeze()
    try:
        yield
    finally:
        if not _ends_with_run:
            gc.unfreeze()


def collect_garbage() -> None:
    """Collects what a run left, unless the process ends with it.

    Sessions and clients of AWS are reference cycles of many megabytes.
    """
    if not _ends_with_run:
        gc.collect()


def tune_for_one_run() -> None:
    """Exempts existing objects for good: this process does one run and ends."""
    global _ends_with_run  # noqa: PLW0603
    _ends_with_run = True
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS)
    gc.enable()
