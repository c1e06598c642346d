"""Decides whether two sides hold the same content, without a copy of either.

What S3 says of an object proves equality only where both say the same kind of thing: an ETag of a
multipart upload depends on its parts, and one under KMS is no digest at all. Where nothing is
proof, bytes are read, or the pair stays unproven.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from rolerunner.common.file_errors import translate_os_errors
from rolerunner.errors import LocalFileFailed
from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage import file_comparison, integrity
from rolerunner.storage.concurrency import split_ranges
from rolerunner.storage.parts import ObjectRange

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel
    from rolerunner.model import S3Uri
    from rolerunner.storage.protocol import ObjectInfo, Storage

SAME, DIFFERENT, UNPROVEN = "same", "different", "unproven"
BLOCK = 4 << 20
"""Bytes of a range that is read at a time."""


@dataclass(frozen=True)
class Verdict:
    """SAME, DIFFERENT or UNPROVEN, and why."""

    status: str
    reason: str = ""


_SAME = Verdict(SAME)
_UNPROVEN = Verdict(UNPROVEN, "no checksum of the two can be compared")


@dataclass(frozen=True)
class StoredObject:
    """An object of one side, and the storage that reads it."""

    storage: Storage
    uri: S3Uri
    info: ObjectInfo

    def with_headers(self) -> StoredObject:
        """Returns the object as HEAD describes it. Raises StepError."""
        found = self.storage.head(self.uri, self.info.version)
        return replace(self, info=replace(found, version=self.info.version))

    def read_blocks(self, cancel: Cancel) -> Iterator[bytes]:
        """Yields the object's bytes in blocks. Raises StepError, also if it changes meanwhile."""
        for start, length in split_ranges(self.info.size, BLOCK):
            yield self.storage.read_range(ObjectRange(self.uri, self.info, start, length), cancel)


@dataclass(frozen=True)
class LocalFile:
    """A file of a side, and why it cannot be read, if so."""

    path: str
    size: int
    modified: str = ""
    problem: Optional[Exception] = None


def compare_sizes(one: int, other: int) -> Optional[Verdict]:
    """Returns DIFFERENT for other sizes; None if sizes alone do not decide."""
    return None if one == other else Verdict(DIFFERENT, f"{one:,} bytes, not {other:,}")


def compare_objects(
    one: StoredObject, other: StoredObject, cancel: Cancel, *, read: bool
) -> Verdict:
    """Compares two objects of one size by their checksums and, with ``read``, by their bytes."""
    one, other = one.with_headers(), other.with_headers()
    changed = compare_sizes(one.info.size, other.info.size)
    if changed is not None:
        return changed
    decided = _compare_checksums(one.info, other.info)
    if decided is not None or not read:
        return decided or _UNPROVEN
    blocks = zip(one.read_blocks(cancel), other.read_blocks(cancel))
    return _SAME if all(ours == theirs for ours, theirs in blocks) else _DIFFERENT_BYTES


_DIFFERENT_BYTES = Verdict(DIFFERENT, "the bytes differ")


def _compare_checksums(one: ObjectInfo, other: ObjectInfo) -> Optional[Verdict]:
    """Returns what the checksums of two objects prove; None if they are not comparable."""
    if one.checksum and one.checksum == other.checksum:
        return _SAME
    algorithms = [each.checksum.partition(":")[0] for each in (one, other)]
    of_parts = "-" in f"{one.checksum}{other.checksum}"
    if not one.checksum or algorithms[0] != algorithms[1] or of_parts:
        return None  # checksums of other parts differ although the content is the same
    return Verdict(DIFFERENT, f"the {algorithms[0]} differs")


def compare_with_file(
    stored: StoredObject, file: LocalFile, cancel: Cancel, *, read: bool
) -> Verdict:
    """Compares an object and a file of one size by a checksum and, with ``read``, by their bytes.

    Raises StepError, also for a file that cannot be read.
    """
    if file.problem is not None:
        raise file.problem

    path = Path(file.path)
    if not path.is_file():
        raise LocalFileFailed(f"{path}: is no longer a regular file")
    decided = _compare_with_etag(path, stored)
    if decided is not None:
        return decided
    stored = stored.with_headers()
    matches = _match_checksum(path, stored, stored.info.checksum)
    if matches is not None:
        algorithm = stored.info.checksum.partition(":")[0]
        return _SAME if matches else Verdict(DIFFERENT, f"the {algorithm} differs")
    if not read:
        return _UNPROVEN
    return _SAME if _has_bytes(path, stored, cancel) else _DIFFERENT_BYTES


def _compare_with_etag(path: Path, stored: StoredObject) -> Optional[Verdict]:
    """Returns SAME for a matching MD5, which is proof whatever the encryption; else None."""
    etag = stored.info.etag
    is_digest = integrity.is_md5(etag)
    return _SAME if is_digest and _match_checksum(path, stored, f"MD5:{etag}") else None


def _match_checksum(path: Path, stored: StoredObject, checksum: str) -> Optional[bool]:
    """Returns whether a file has the checksum; None if that cannot be decided.

    A checksum of parts that does not match proves nothing: the parts may differ in size.
    """
    found = file_comparison.file_matches(
        path, checksum, lambda: stored.storage.get_part_size(stored.uri, stored.info)
    )
    return None if found is False and "-" in checksum else found


def _has_bytes(path: Path, stored: StoredObject, cancel: Cancel) -> bool:
    with translate_os_errors(path), path.open("rb") as file:
        for block in stored.read_blocks(cancel):
            if file.read(len(block)) != block:
                return False
        return not file.read(1)


def compare_with_digest(
    stored: StoredObject, algorithm: str, digest: str, cancel: Cancel, *, read: bool
) -> Verdict:
    """Compares an object with a digest in hexadecimal."""
    if algorithm == "MD5" and stored.info.etag == digest:
        return _SAME  # proof, whatever the encryption
    found = find_digest(stored, algorithm, cancel, read=read)
    if found is None:
        return Verdict(UNPROVEN, f"S3 does not report the object's {algorithm}")
    return _SAME if found == digest else Verdict(DIFFERENT, f"the {algorithm} differs")


def find_digest(
    stored: StoredObject, algorithm: str, cancel: Cancel, *, read: bool
) -> Optional[str]:
    """Returns the object's digest in hexadecimal, as S3 reports it or of its bytes.

    None if S3 does not report it and bytes may not be read.
    """
    stored = stored.with_headers()
    name, _, value = stored.info.checksum.partition(":")
    if name == algorithm and "-" not in value:
        return value if name == "MD5" else base64.b64decode(value).hex()
    if not read:
        return None
    running = hashlib.new(algorithm.lower(), usedforsecurity=False)
    for block in stored.read_blocks(cancel):
        running.update(block)
    return running.hexdigest()
