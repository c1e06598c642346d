"""Names and timestamps in the forms in which many of them are compared."""

import hashlib
import unicodedata
from datetime import datetime, timezone


def format_timestamp(moment: datetime) -> str:
    """Returns the moment in the format of S3."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def format_mtime(mtime: float) -> str:
    """Returns a file's modification time in the format of S3."""
    return format_timestamp(datetime.fromtimestamp(mtime, timezone.utc))


def name_digest(name: str) -> bytes:
    """Returns eight bytes for a name, so that a million fit into memory.

    Two names with one digest keep a file that could be deleted, never the reverse.
    """
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()


def fold_name(name: str) -> str:
    """Returns the same text for all names that are one file on a case-folding disk."""
    return unicodedata.normalize("NFC", name.casefold())


class NameSet:
    """Digests of file names. With ``folds``, names that differ only in case are one file."""

    def __init__(self, *, folds: bool) -> None:
        self.folds = folds
        self._digests: set[bytes] = set()

    def add(self, name: str) -> None:
        """Adds a name."""
        self._digests.add(name_digest(fold_name(name) if self.folds else name))

    def __contains__(self, name: str) -> bool:
        return name_digest(fold_name(name) if self.folds else name) in self._digests

    def __bool__(self) -> bool:
        return bool(self._digests)
