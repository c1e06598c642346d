"""Stores of state documents: a folder of this machine, or a prefix in S3.

Every write is conditional on the one before.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Protocol

from rolerunner.common.cancellation import Cancel
from rolerunner.common.file_errors import translate_os_errors
from rolerunner.common.files import copy_file, write_file
from rolerunner.common.new_files import PRIVATE
from rolerunner.errors import NotFound, StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import Get, Put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from rolerunner.storage.protocol import Storage

MAX_BYTES = 64 << 20
"""Size limit of a state document. Lists of objects are files beside it."""
_PRIVATE_FOLDER = 0o700
_NO_SUCH_ETAG = "0" * 32
_CONFLICTS = frozenset(
    {"AlreadyThere", "PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
)
_HINT = "the other run continues; read its log, and do not start this run at the same time"


class LockLost(StepError):
    """This run no longer holds its key and must stop."""


class StateStore(Protocol):
    """Stores documents with conditional writes."""

    def read(self, name: str) -> Optional[tuple[bytes, str]]:
        """Returns a document and its ETag; None if there is none. Raises StepError."""

    def age(self, name: str) -> Optional[float]:
        """Returns seconds since a document was written, by the clock of the store; None if unknown.

        Raises StepError.
        """

    def write(self, name: str, data: bytes, etag: str) -> str:
        """Replaces the document with this ETag, or creates it if that is empty.

        Returns the new ETag. Raises LockLost, StepError.
        """

    def check_conditions(self, name: str, data: bytes) -> None:
        """Proves that a write whose condition fails is refused. ``data`` is the current document.

        Raises StepError.
        """

    def keep(self, name: str, path: Path) -> None:
        """Stores a file. Raises StepError."""

    def fetch(self, name: str, path: Path) -> None:
        """Copies a file back. Raises NotFound, StepError."""


@dataclass(frozen=True)
class FolderStore:
    """Documents in a folder of this machine. Only this user can read its files and folders."""

    path: Path

    def read(self, name: str) -> Optional[tuple[bytes, str]]:
        """Returns a document and its digest."""
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
                f"{path} has more than {MAX_BYTES:,} bytes, so it is not a state document",
                type="TooLarge",
            )
        return data, hashlib.sha256(data).hexdigest()

    def age(self, name: str) -> Optional[float]:
        """Returns the age by the file system's clock, which a new file shows."""
        path = self.path / name
        with translate_os_errors(path):
            probe = path.parent / f".rolerunner-clock-{secrets.token_hex(6)}"
            with _create_private(probe) as file:
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
        """Compares and writes under a lock that the kernel releases if the process dies."""
        path = self.path / name
        with self._lock_file(name):
            there = self.read(name)
            if (there[1] if there else "") != etag:
                raise _taken_over(name)
            write_file(path, data, private=True)
        return hashlib.sha256(data).hexdigest()

    def check_conditions(self, name: str, data: bytes) -> None:
        """Does nothing: a folder honours conditions."""

    @contextlib.contextmanager
    def _lock_file(self, name: str) -> Iterator[None]:
        path = self.path / f"{name}.lock"
        with translate_os_errors(path):
            _create_private_folder(path.parent)
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
        """Copies a file into the folder."""
        target = self.path / name
        with translate_os_errors(target):
            _create_private_folder(target.parent)
        copy_file(path, target)

    def fetch(self, name: str, path: Path) -> None:
        """Copies a file back."""
        source = self.path / name
        if not source.is_file():
            raise NotFound(f"there is no file {source}")
        copy_file(source, path)


@contextlib.contextmanager
def _create_private(path: Path) -> Iterator[BinaryIO]:
    """Opens a new file that only the owner can read."""
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE
    )
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
        yield file


def _create_private_folder(folder: Path) -> None:
    """Creates a folder and its missing parents for this user alone."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(_PRIVATE_FOLDER, exist_ok=True)


@dataclass(frozen=True)
class BucketStore:
    """Documents under a prefix in S3."""

    storage: Storage
    prefix: S3Uri

    def read(self, name: str) -> Optional[tuple[bytes, str]]:
        """Returns a document and its ETag.

        The ETag is read first, so the next write notices a change in between.
        """
        uri = self.prefix.join(name)
        try:
            etag = self.storage.head(uri).etag
            return self.storage.read(uri, MAX_BYTES), etag
        except NotFound as error:
            if error.type == "NoSuchBucket":
                raise
            return None

    def age(self, name: str) -> Optional[float]:
        """Returns the age by the server's Date and LastModified, both in whole seconds."""
        age = self.storage.get_age(self.prefix.join(name))
        return None if age is None else age - 1

    def write(self, name: str, data: bytes, etag: str) -> str:
        """Sends PutObject with If-Match or If-None-Match."""
        condition = {"IfMatch": f'"{etag}"'} if etag else {"IfNoneMatch": "*"}
        try:
            return self._put_object(name, data, condition)
        except StepError as error:
            if error.type == "AlreadyThere":
                return self._resolve_conflict(name, data)
            raise

    def _put_object(self, name: str, data: bytes, condition: dict[str, str]) -> str:
        return self.storage.write(
            self.prefix.join(name), data, {**condition, "ContentType": "application/json"}
        ).etag

    def check_conditions(self, name: str, data: bytes) -> None:
        """Writes the document over one that does not exist.

        A server that accepts this offers no lock.
        """
        try:
            # a byte more: a repeated request that meets its own bytes would count as done
            self._put_object(name, data + b"\n", {"IfMatch": f'"{_NO_SUCH_ETAG}"'})
        except StepError as error:
            if error.type in _CONFLICTS:
                return
            raise
        raise StepError(
            f"the server of {self.prefix} ignores If-Match, so two runs of one key could mix",
            hint="keep the state in a folder, or on a server that supports conditional writes",
            type="NoConditionalWrites",
        )

    def _resolve_conflict(self, name: str, data: bytes) -> str:
        """Returns the ETag if this run's write succeeded although its response was lost.

        Raises LockLost.
        """
        there = self.read(name)
        if there is None or there[0] != data:
            raise _taken_over(name)
        return there[1]

    def keep(self, name: str, path: Path) -> None:
        """Uploads a file."""
        _raise_failures(self.storage.put([Put(path, self.prefix.join(name))], Cancel()))

    def fetch(self, name: str, path: Path) -> None:
        """Downloads a file."""
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
