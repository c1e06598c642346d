"""Makes the modules beside a spec importable while its functions are loaded and called."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rolerunner.actions.signatures import import_folders

_lock = threading.Lock()
_uses: "Counter[str]" = Counter()
"""Number of open blocks for each folder that this module put on ``sys.path``."""


@contextmanager
def extend_import_path(project: Path) -> Iterator[None]:
    """Makes the spec's folder and those above it importable inside the block.

    Steps that run side by side share the folders: the last block that ends removes them.
    """
    added = [str(folder) for folder in import_folders(project)]
    with _lock:
        # what the user's environment has on the path already stays there
        held = [folder for folder in added if folder in _uses or folder not in sys.path]
        sys.path.extend(folder for folder in held if folder not in _uses)
        _uses.update(held)
    try:
        yield
    finally:
        _release(held)


def _release(held: list[str]) -> None:
    """Removes the folders that no other block holds."""
    with _lock:
        _uses.subtract(held)
        for folder in [folder for folder in held if not _uses[folder]]:
            del _uses[folder]
            if folder in sys.path:  # user code may have changed the path
                sys.path.remove(folder)
