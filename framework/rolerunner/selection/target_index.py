"""Looks up existing objects at a target, by one listing or by a HEAD for each of a few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from rolerunner.errors import AccessDenied, NotFound
from rolerunner.model import S3Uri

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.protocol import ObjectInfo, Storage

FEW = 32
"""Number of objects up to which HEADs cost less than the listing of a prefix."""


class TargetIndex:
    """Finds objects under a prefix, for keys mostly in S3's order. Holds one object at a time."""

    def __init__(
        self,
        storage: Storage,
        prefix: S3Uri,
        expected: int,
        cancel: Cancel,
        *,
        lenient: bool = False,
    ) -> None:
        """``lenient``: a role that may not look finds nothing, and so writes again."""
        self._lenient = lenient
        self._storage = storage
        self._prefix = prefix
        self._listing: Optional[Iterator[ObjectInfo]] = (
            None if expected <= FEW else iter(storage.list(prefix, cancel=cancel))
        )
        self._current: Optional[ObjectInfo] = None
        self._asked = b""

    def find(self, uri: S3Uri) -> Optional[ObjectInfo]:
        """Returns the object, or None if there is none. Raises StepError."""
        try:
            return self._find_object(uri)
        except AccessDenied:
            if self._lenient:
                return None
            raise

    def _find_object(self, uri: S3Uri) -> Optional[ObjectInfo]:
        key = uri.key.encode()
        if (
            self._listing is None
            or uri.bucket != self._prefix.bucket
            or key < self._asked
            or not uri.key.startswith(self._prefix.key)
        ):
            return self._head_object(uri)
        self._asked = key
        while self._current is None or self._current.key.encode() < key:
            self._current = next(self._listing, None)
            if self._current is None:
                self._listing = iter(())
                return None
        return self._current if self._current.key == uri.key else None

    def _head_object(self, uri: S3Uri) -> Optional[ObjectInfo]:
        try:
            return self._storage.head(uri)
        except NotFound:
            return None
