"""Spares the Python workers of executors what Spark repeats for each task.

After each task a worker collects garbage, which visits every object of all imported modules, and
before each task it drops the caches of the import system, for which each zip on the path is read
again. Together they took 115 ms a task, more than the work of many tasks.
"""

from __future__ import annotations

import gc
import sys
import zipimport
from pathlib import Path
from typing import Any, Optional

_NEW_MODULES = 20
"""Modules that tasks imported since the last time, from which on their objects are frozen."""


class _FrozenModules:
    """Keeps the objects of imported modules out of later collections."""

    def __init__(self) -> None:
        self._seen = 0

    def update(self) -> None:
        """Freezes what exists now if many modules are new; garbage is collected before."""
        if len(sys.modules) - self._seen < _NEW_MODULES:
            return
        self._seen = len(sys.modules)
        gc.collect()
        gc.freeze()


_FROZEN = _FrozenModules()


def spare_worker() -> None:
    """Makes later tasks of this process cheaper. Called after each task; does most once.

    Modules stay as they are: a zip that changed is read again, and what later tasks allocate is
    collected as usual.
    """
    _read_zips_when_changed()
    _FROZEN.update()


def _read_zips_when_changed() -> None:
    """Makes ``importlib.invalidate_caches`` read a zip only if it has changed."""
    read_again = getattr(zipimport.zipimporter, "invalidate_caches", None)  # since Python 3.10
    if read_again is None or hasattr(read_again, "reads_when_changed"):
        return

    def invalidate_caches(finder: Any) -> None:
        state = _describe_file(finder.archive)
        known = vars(finder).get("_rolerunner_state")
        if known is None or known != state:
            finder._rolerunner_state = state  # noqa: SLF001 - our own, kept where it lives as long
            read_again(finder)

    invalidate_caches.reads_when_changed = True  # type: ignore[attr-defined]
    zipimport.zipimporter.invalidate_caches = invalidate_caches  # type: ignore[method-assign, assignment]


def _describe_file(path: str) -> Optional[tuple[int, int, int]]:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
