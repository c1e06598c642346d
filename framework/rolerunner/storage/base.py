"""S3 as the actions see it: a Protocol whose operations work on many objects at once, under one role.

An operation over objects yields an ``Outcome`` for each as it ends, in no set order: a failed object is a value, so
three failures of ten thousand leave the others done. What stops everything (a refused role, no such bucket for a
listing) is raised.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Protocol

from rolerunner.errors import StepError
from rolerunner.model import S3Uri

_GLANCE = 0.1


@dataclass(frozen=True)
class ObjectInfo:
    """One object as S3 tells of it. ``size`` in bytes, ``modified`` in ISO 8601 UTC, ``etag`` without quotes."""

    key: str
    size: int
    etag: str = ""
    modified: str = ""
    version: str = ""
    storage_class: str = "STANDARD"


@dataclass(frozen=True)
class Get:
    """Fetch ``source`` into the file ``target``; ``info`` spares a HEAD where the listing told it already."""

    source: S3Uri
    target: Path
    info: Optional[ObjectInfo] = None


@dataclass(frozen=True)
class Put:
    """Store the file ``source`` as ``target``. ``options`` are PutObject's own names and values."""

    source: Path
    target: S3Uri
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How one object ended. ``size`` is in bytes; ``error`` is None where it is done."""

    uri: S3Uri
    size: int = 0
    path: Optional[Path] = None
    etag: str = ""
    version: str = ""
    status: str = "done"
    error: Optional[StepError] = None


class Cancel:
    """Set to stop an operation: engines look at it between objects and between blocks of one. Set with its parent too."""

    def __init__(self, parent: Optional[Cancel] = None) -> None:
        self._own = threading.Event()
        self._parent = parent

    def set(self) -> None:
        """Stop."""
        self._own.set()

    def is_set(self) -> bool:
        """Is it time to stop?"""
        return self._own.is_set() or (self._parent is not None and self._parent.is_set())

    def wait(self, seconds: float) -> bool:
        """Sleep, but no longer than until it is time to stop; is it?"""
        deadline = time.monotonic() + seconds
        while not self.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._own.wait(min(left, _GLANCE if self._parent is not None else left))
        return True


class Storage(Protocol):
    """What an engine can do, as one role."""

    def list(self, prefix: S3Uri) -> Iterator[ObjectInfo]:
        """Every object under a prefix, in the order of keys. Raises StepError."""

    def head(self, uri: S3Uri) -> ObjectInfo:
        """What S3 tells of one object. Raises NotFound, AccessDenied, another StepError."""

    def read(self, uri: S3Uri, limit: int) -> bytes:
        """A small object's bytes. Raises StepError, also for one larger than ``limit`` bytes."""

    def write(self, uri: S3Uri, data: bytes, options: Mapping[str, Any]) -> ObjectInfo:
        """Store a small object. ``options`` are PutObject's own. Raises StepError."""

    def get(self, items: Iterable[Get], cancel: Cancel) -> Iterator[Outcome]:
        """Fetch objects to files: under a temporary name, checked, then renamed."""

    def put(self, items: Iterable[Put], cancel: Cancel) -> Iterator[Outcome]:
        """Store files as objects: large ones in parts, nothing of a failed one left behind."""
