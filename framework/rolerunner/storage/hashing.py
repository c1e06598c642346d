"""Computes S3's checksums.

Algorithms: S3 user guide, "Checking object integrity". CRC32, SHA and MD5 come with Python; CRC32C
and CRC64NVME need awscrt (the extra ``crt``). isal (the extra ``fast``) computes CRC32 faster.
"""

from __future__ import annotations

import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Optional, Protocol

ALGORITHMS = ("CRC64NVME", "CRC32", "CRC32C", "SHA256", "SHA1")
"""The algorithms of S3, which are ``Checksum<name>`` in its responses."""


class Hash(Protocol):
    """A checksum that is computed from bytes as they arrive."""

    def update(self, data: Any, /) -> object:
        """Adds the next bytes."""

    def digest(self) -> bytes:
        """Returns the checksum of the bytes so far."""

    def copy(self) -> Any:
        """Returns an independent copy of the current state."""


class _Crc:
    """A CRC with the interface of a hash, in big-endian order as in S3."""

    def __init__(self, function: Callable[[Any, int], int], width: int) -> None:
        self._function = function
        self._width = width
        self._value = 0

    def update(self, data: Any) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")

    def copy(self) -> _Crc:
        copied = _Crc(self._function, self._width)
        copied._value = self._value
        return copied


@cache
def find_crc32() -> Callable[[Any, int], int]:
    """Returns the CRC32 of isal, which is four times as fast as zlib's; zlib's where it is absent.

    isal is imported on first use, since that takes 4 ms.
    """
    try:
        from isal import isal_zlib  # noqa: PLC0415 - optional
    except ImportError:
        return zlib.crc32
    function: Callable[[Any, int], int] = isal_zlib.crc32
    return function


_PYTHON_HASHES: Mapping[str, Callable[[], Hash]] = {
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "CRC32": lambda: _Crc(find_crc32(), 4),
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA256": hashlib.sha256,
}
_AWSCRT_FUNCTIONS = {"CRC32": ("crc32", 4), "CRC32C": ("crc32c", 4), "CRC64NVME": ("crc64nvme", 8)}
"""Name in awscrt.checksums, and width in bytes."""
_FAST_ZLIB = (1, 2, 12)
"""The first zlib whose CRC32 is faster than awscrt's.

awscrt is three times as fast as zlib 1.2.11 (measured). Amazon Linux 2 has 1.2.7.
"""


@cache
def _find_factory(algorithm: str) -> Optional[Callable[[], Hash]]:
    """Returns a function that creates such a hash; None if it cannot be computed here.

    awscrt is imported on first use, since that takes 40 to 80 ms.
    """
    plain = _PYTHON_HASHES.get(algorithm)
    if algorithm not in _AWSCRT_FUNCTIONS or (
        algorithm == "CRC32" and (find_crc32() is not zlib.crc32 or zlib_version() >= _FAST_ZLIB)
    ):
        return plain
    name, width = _AWSCRT_FUNCTIONS[algorithm]
    try:
        from awscrt import checksums as runtime  # noqa: PLC0415 - optional
    except ImportError:
        return plain
    function = getattr(runtime, name, None)  # older versions have fewer functions
    return plain if function is None else lambda: _Crc(function, width)


def zlib_version() -> tuple[int, ...]:
    """Returns the version of Python's zlib."""
    return tuple(int(part) for part in zlib.ZLIB_RUNTIME_VERSION.split(".")[:3] if part.isdigit())


def create_hash(algorithm: str) -> Hash:
    """Returns a new hash. Raises KeyError if it cannot be computed here."""
    make = _find_factory(algorithm)
    if make is None:
        raise KeyError(algorithm)
    return make()


def can_compute(algorithm: str) -> bool:
    """Returns True if the checksum can be computed here."""
    return _find_factory(algorithm) is not None


def compute_digest(algorithm: str, data: bytes) -> str:
    """Returns the checksum of some bytes in base64. Raises KeyError if it cannot be computed."""
    if algorithm == "CRC32":
        return encode_base64(find_crc32()(data, 0).to_bytes(4, "big"))
    copied = create_hash(algorithm)
    copied.update(data)
    return encode_base64(copied.digest())


def decode_base64(text: str) -> bytes:
    """Decodes a digest from a header. Raises ValueError."""
    return binascii.a2b_base64(text)


def encode_base64(digest: bytes) -> str:
    """Encodes a digest for a header."""
    return binascii.b2a_base64(digest, newline=False).decode()
