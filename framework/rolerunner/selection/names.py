"""Names and timestamps in the forms in which many of them are compared."""

import hashlib
import unicodedata
from datetime import datetime, timezone


def format_timestamp(moment: datetime) -> str:
    """As S3 tells moments."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def format_mtime(mtime: float) -> str:
    """A file's time of modification, as S3 tells moments."""
    return format_timestamp(datetime.fromtimestamp(mtime, timezone.utc))


def name_digest(name: str) -> bytes:
    """Eight bytes for a name: a million fit into memory. Two names that share them keep what could be deleted, never the other way round."""
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()


def fold_name(name: str) -> str:
    """The same for all names that are one file where names are folded."""
    return unicodedata.normalize("NFC", name.casefold())


class NameSet:
    """Names of files, as digests: a million fit into memory. ``folds``: names that differ in case alone are one file."""

    def __init__(self, *, folds: bool) -> None:
        self.folds = folds
        self._digests: set[bytes] = set()

    def add(self, name: str) -> None:
        """One name more."""
        self._digests.add(name_digest(fold_name(name) if self.folds else name))

    def __contains__(self, name: str) -> bool:
        return name_digest(fold_name(name) if self.folds else name) in self._digests

    def __bool__(self) -> bool:
        return bool(self._digests)
