"""Verifies S3's checksums, of a whole object or of the checksums of its parts.

A checksum that cannot be computed proves nothing.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.hashing import (
    ALGORITHMS,
    can_compute,
    compute_digest,
    create_hash,
    encode_base64,
)

_MD5_HEX = 32
_EXPRESS = "EXPRESS_ONEZONE"
"""The storage class of objects in directory buckets."""


def has_checksum(data: bytes, checksum: str) -> bool:
    """Returns True if the bytes have a checksum of the whole object.

    If False, ``ExpectedChecksum`` decides.
    """
    algorithm, _, value = checksum.partition(":")
    if "-" in value or not can_compute(algorithm):
        return False
    return value == (
        hashlib.md5(data, usedforsecurity=False).hexdigest()
        if algorithm == "MD5"
        else compute_digest(algorithm, data)
    )


def extract_checksum(answer: Mapping[str, Any]) -> str:
    """Returns the checksum in a response, in the format of ObjectInfo; empty if none.

    An ETag is an MD5 only without KMS and customer keys, and never in a directory bucket (S3 API
    reference, Object).
    """
    for name in ALGORITHMS:
        value = answer.get(f"Checksum{name}")
        if value and can_compute(name):
            return f"{name}:{value}"
    etag = str(answer.get("ETag", "")).strip('"')
    plain = (
        str(answer.get("ServerSideEncryption", "AES256")) == "AES256"
        and "SSECustomerAlgorithm" not in answer
    )
    return (
        f"MD5:{etag}" if plain and answer.get("StorageClass") != _EXPRESS and is_md5(etag) else ""
    )


def is_md5(etag: str) -> bool:
    """Returns True if an ETag looks like an MD5, of the object or of its parts."""
    digest = etag.partition("-")[0]
    return len(digest) == _MD5_HEX and all(letter in "0123456789abcdef" for letter in digest)


@dataclass(frozen=True)
class ExpectedChecksum:
    """A checksum to verify bytes with. ``parts`` is 0 for a checksum of the whole object."""

    algorithm: str
    digest: bytes
    parts: int

    @classmethod
    def of(cls, checksum: str) -> Optional[ExpectedChecksum]:
        """Parses the format of ObjectInfo.

        Returns None without a checksum that can be computed here.
        """
        algorithm, _, value = checksum.partition(":")
        value, _, parts = value.partition("-")
        if not can_compute(algorithm):
            return None
        with contextlib.suppress(ValueError, binascii.Error):
            digest = (
                bytes.fromhex(value)
                if algorithm == "MD5"
                else base64.b64decode(value, validate=True)
            )
            return cls(algorithm, digest, int(parts or 0))
        return cls(algorithm, b"", 0)  # matches nothing

    def start(self, size: int, part_size: Callable[[], int]) -> Optional[RunningChecksum]:
        """Starts to compute it over ``size`` bytes.

        Returns None if the parts, apart from the last, differ in size.

        ``part_size`` returns the size of a part in bytes; it is called only for a checksum of
        parts.
        """
        if not self.parts:
            return RunningChecksum(self, 0)
        part = part_size()
        return (
            RunningChecksum(self, part)
            if part > 0 and max(-(-size // part), 1) == self.parts
            else None
        )


class RunningChecksum:
    """A checksum that is computed over bytes in their order."""

    def __init__(self, expected: ExpectedChecksum, part_size: int) -> None:
        self._expected = expected
        self._make = partial(create_hash, expected.algorithm)
        self._part_size = part_size
        self._left = part_size
        self._hash = self._make()
        self._digests: list[bytes] = []

    @property
    def name(self) -> str:
        """The expected checksum, as text for messages."""
        return f"{self._expected.algorithm}:{encode_base64(self._expected.digest)}"

    def update(self, data: bytes) -> None:
        """Adds the next bytes."""
        if not self._part_size:
            self._hash.update(data)
            return
        view = memoryview(data)
        while view:
            if self._left == 0:
                self._end_part()
            taken = view[: self._left]
            self._hash.update(taken)
            self._left -= len(taken)
            view = view[len(taken) :]

    def copy(self) -> RunningChecksum:
        """Returns an independent copy of the current state."""
        copied = RunningChecksum(self._expected, self._part_size)
        copied._left, copied._hash, copied._digests = (
            self._left,
            self._hash.copy(),
            [*self._digests],
        )
        return copied

    def matches(self) -> bool:
        """Returns True if the bytes so far have the expected checksum."""
        if not self._part_size:
            return self._hash.digest() == self._expected.digest
        self._end_part()
        whole = self._make()
        whole.update(b"".join(self._digests))
        return (
            len(self._digests) == self._expected.parts and whole.digest() == self._expected.digest
        )

    def _end_part(self) -> None:
        self._digests.append(self._hash.digest())
        self._hash, self._left = self._make(), self._part_size
