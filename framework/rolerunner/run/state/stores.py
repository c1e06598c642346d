"""Where state documents are kept: a folder of this machine, or a prefix in S3. Every write is conditional on the one before."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Protocol

from rolerunner.common.cancellation import Cancel
from rolerunner.common.files import PRIVATE, copy_file, translate_os_errors, write_file
from rolerunner.errors import NotFound, StepError
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import Get, Put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from rolerunner.storage.protocol import Storage

MAX_BYTES = 64 << 20
"""Bytes of a state document: lists of objects are not in it, but beside it."""
_PRIVATE_FOLDER = 0o700
_NO_SUCH_ETAG = "0" * 32
_CONFLICTS = frozenset(
    {"AlreadyThere", "PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
)
_HINT = "it goes on with what is left; look at its log, and do not start this one again beside it"


class LockLost(StepError):
    """This run does not hold its key any more, so it must not go on."""


class StateStore(Protocol):
    """Where documents are kept, written under conditions."""

    def read(self, name: str) -> Optional[tuple[bytes, str]]:
        """A document and its ETag; None if there is none. Raises StepError."""

    def age(self, name: str) -> Optional[float]:
        """Seconds since a document was written, by the clock of its server or file system; None where that tells no time. Raises StepError."""

    def write(self, name: str, data: bytes, etag: str) -> str:
        """Write over the document with this ETag, or make it if that is empty; the new one. Raises LockLost, StepError."""

    def check_conditions(self, name: str, data: bytes) -> None:
        """Prove that a write under a condition which does not hold is refused; ``data`` is the document as it is. Raises StepError."""

    def keep(self, name: str, path: Path) -> None:
        """Store a file. Raises StepError."""

    def fetch(self, name: str, path: Path) -> None:
        """Bring a file back. Raises NotFound, StepError."""


@dataclass(frozen=True)
class FolderStore:
    """Documents in a folder of this machine. Files and folders that it makes belong to this user alone."""

    path: Path

    def read(self, name: str) -> Optional[tuple[bytes, str]]:
        """A document."""
        path = self.path / name
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StepError(f"{path}: {error.strerror}", type="StateUnreadable") from None
        if len(data) > MAX_BYTES:
            raise StepError(
                f"{path} has more than {MAX_BYTES:,} bytes, so it is no state document",
                type="TooLarge",
            )
        return data, hashlib.sha256(data).hexdigest()

    def age(self, name: str) -> Optional[float]:
        """By the file system's clock, which need not be this machine's: a file written now tells it."""
        path = self.path / name
        with translate_os_errors(path):
            probe = path.parent / f".rolerunner-clock-{secrets.token_hex(6)}"
            with _created(probe) as file:
                try:
                    file.write(b"\n")
                    file.flush()
                    os.fsync(
                        file.fileno()
                    )  # a network file system sets the time when it gets the bytes
                    return os.fstat(file.fileno()).st_mtime - path.stat().st_mtime
                finally:
                    probe.unlink()

    def write(self, name: str, data: bytes, etag: str) -> str:
        """Compare and write, under a lock that the operating system gives back if the process dies."""
        path = self.path / name
        with self._locked(name):
            there = self.read(name)
            if (there[1] if there else "") != etag:
                raise _taken_over(name)
            write_file(path, data, private=True)
        return hashlib.sha256(data).hexdigest()

    def check_conditions(self, name: str, data: bytes) -> None:
        """Nothing to prove: conditions are kept here."""

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        path = self.path / f"{name}.lock"
        with translate_os_errors(path):
            _make_private(path.parent)
            descriptor = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE
            )
        try:
            with translate_os_errors(path):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def keep(self, name: str, path: Path) -> None:
        """Copy a file here."""
        target = self.path / name
        with translate_os_errors(target):
            _make_private(target.parent)
        copy_file(path, target)

    def fetch(self, name: str, path: Path) -> None:
        """Copy a file back."""
        source = self.path / name
        if not source.is_file():
            raise NotFound(f"there is no file {source}")
        copy_file(source, path)


@contextlib.contextmanager
def _created(path: Path) -> Iterator[BinaryIO]:
    """A file that nobody else may read, and that was not there before."""
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE
    )
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
        yield file


def _make_private(folder: Path) -> None:
    """Make a folder and those above it that are missing, for this user alone."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(_PRIVATE_FOLDER, exist_ok=True)


@dataclass(frozen=True)
class BucketStore:
    """Documents under a prefix in S3."""

    storage: Storage
    prefix: S3Uri

    def read(self, name: str) -> Optional[tuple[bytes, str]]:
        """A document. Its ETag is asked for first: if it changes in between, the next write sees that."""
        uri = self.prefix.join(name)
        try:
            etag = self.storage.head(uri).etag
            return self.storage.read(uri, MAX_BYTES), etag
        except NotFound as error:
            if error.type == "NoSuchBucket":
                raise
            return None

    def age(self, name: str) -> Optional[float]:
        """By the server's clock: its Date header and the object's LastModified, which both leave out parts of a second."""
        age = self.storage.get_age(self.prefix.join(name))
        return None if age is None else age - 1

    def write(self, name: str, data: bytes, etag: str) -> str:
        """PutObject with If-Match or If-None-Match."""
        condition = {"IfMatch": f'"{etag}"'} if etag else {"IfNoneMatch": "*"}
        try:
            return self._put(name, data, condition)
        except StepError as error:
            if error.type == "AlreadyThere":
                return self._mine(name, data)
            raise

    def _put(self, name: str, data: bytes, condition: dict[str, str]) -> str:
        return self.storage.write(
            self.prefix.join(name), data, {**condition, "ContentType": "application/json"}
        ).etag

    def check_conditions(self, name: str, data: bytes) -> None:
        """Write the document as it is over one that is not there: a server that takes this keeps no conditions, so it keeps no lock."""
        try:
            # a byte more: a repeated request that meets its own bytes would count as done
            self._put(name, data + b"\n", {"IfMatch": f'"{_NO_SUCH_ETAG}"'})
        except StepError as error:
            if error.type in _CONFLICTS:
                return
            raise
        raise StepError(
            f"the server of {self.prefix} ignores If-Match, so two runs of one key could mix",
            hint="keep the state in a folder, or on a server that knows conditional writes", type="NoConditionalWrites",
        )  # fmt: skip

    def _mine(self, name: str, data: bytes) -> str:
        """A write whose answer was lost is repeated, and refused: was it ours that is there? Raises LockLost."""
        there = self.read(name)
        if there is None or there[0] != data:
            raise _taken_over(name)
        return there[1]

    def keep(self, name: str, path: Path) -> None:
        """Upload a file."""
        _raise_failures(self.storage.put([Put(path, self.prefix.join(name))], Cancel()))

    def fetch(self, name: str, path: Path) -> None:
        """Download a file."""
        _raise_failures(self.storage.get([Get(self.prefix.join(name), path)], Cancel()))


def _raise_failures(outcomes: Any) -> None:
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error


def _taken_over(name: str) -> LockLost:
    return LockLost(
        f"another run has taken over the state {name}, so this one stops",
        hint=_HINT,
        type="LockLost",
    )
