"""Builds models of pydantic without its plugins, which instrument the models of an application."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rolerunner.common.deferred_imports import defer_import

if TYPE_CHECKING:
    from collections.abc import Iterator

_DISABLED = "PYDANTIC_DISABLE_PLUGINS"
_CHANGING = threading.RLock()
"""Held while the environment has another value."""


@contextmanager
def plugins_disabled() -> Iterator[None]:
    """Lets models that are built in the block have no plugins; those of a user's code have them.

    pydantic looks for plugins in the metadata of all installed packages, which takes some 10 ms
    and imports fifty modules.
    """
    with _CHANGING, defer_import("importlib.metadata", functions=("entry_points",)):
        before = os.environ.get(_DISABLED)
        os.environ[_DISABLED] = "__all__"
        try:
            yield
        finally:
            if before is None:
                del os.environ[_DISABLED]
            else:
                os.environ[_DISABLED] = before
