"""Computes and verifies S3's checksums, of a whole object or of the checksums of its parts.

Algorithms: S3 user guide, "Checking object integrity". CRC32, SHA and MD5 come with Python; CRC32C
and CRC64NVME need awscrt (the extra ``crt``). isal (the extra ``fast``) computes CRC32 faster. A
checksum that cannot be computed proves nothing.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import zlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Protocol, Union

from rolerunner.common.file_errors import translate_os_errors
from rolerunner.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from rolerunner.storage.protocol import ObjectInfo

ALGORITHMS = ("CRC64NVME", "CRC32", "CRC32C", "SHA256", "SHA1")
"""The algorithms of S3, which are ``Checksum<name>`` in its responses."""
_BLOCK = 1 << 20
_MD5_HEX = 32
_EXPRESS = "EXPRESS_ONEZONE"
"""The storage class of objects in directory buckets."""


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


def create_hash(algorithm: str) -> Hash:
    """Returns a new hash. Raises KeyError if it cannot be computed here."""
    make = _find_factory(algorithm)
    if make is None:
        raise KeyError(algorithm)
    return make()


def can_compute(algorithm: str) -> bool:
    """Returns True if the checksum can be computed here."""
    return _find_factory(algorithm) is not None


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


class CrcCombiner:
    """Combines the CRCs of an object's ranges, in any order, into that of the object. Thread-safe.

    A CRC of two pieces is that of the first, multiplied by x to the power of the second's bits,
    added to that of the second (in the arithmetic of polynomials over GF(2), modulo the CRC's own);
    zlib's crc32_combine does the same.
    """

    def __init__(self, expected: ExpectedChecksum) -> None:
        self._expected = expected
        self._width, self._polynomial = _CRCS[expected.algorithm]
        self._found: dict[int, tuple[int, int]] = {}

    @classmethod
    def of(cls, checksum: str) -> Optional[CrcCombiner]:
        """Returns a combiner if the checksum is a CRC of the whole object, otherwise None."""
        expected = ExpectedChecksum.of(checksum)
        return (
            cls(expected)
            if expected is not None and expected.algorithm in _CRCS and not expected.parts
            else None
        )

    @property
    def algorithm(self) -> str:
        """The algorithm of the CRC."""
        return self._expected.algorithm

    def add(self, start: int, length: int, digest: bytes) -> None:
        """Adds the CRC of a range."""
        self._found[start] = (length, int.from_bytes(digest, "big"))

    def digest_at(self, start: int) -> bytes:
        """Returns the CRC of the range that begins there. Raises KeyError."""
        return self._found[start][1].to_bytes(self._width // 8, "big")

    def matches(self) -> bool:
        """Returns True if the ranges cover the object and have the expected checksum."""
        at = whole = 0
        powers = {
            length: self._compute_power(length)
            for length in {length for length, _ in self._found.values()}
        }  # most are of one length
        for start, (length, value) in sorted(self._found.items()):
            if start != at:
                return False
            whole = self._multiply_polynomials(whole, powers[length]) ^ value
            at += length
        return whole.to_bytes(self._width // 8, "big") == self._expected.digest

    def _multiply_polynomials(self, one: int, other: int) -> int:
        """Returns the product of two polynomials with reflected bits: the highest stands for 1."""
        product, bit = 0, 1 << (self._width - 1)
        while bit:
            if one & bit:
                product ^= other
            other = (other >> 1) ^ self._polynomial if other & 1 else other >> 1
            bit >>= 1
        return product

    def _compute_power(self, length: int) -> int:
        """Returns x to the power of the number of bits in ``length`` bytes."""
        power, square = 1 << (self._width - 1), 1 << (self._width - 9)
        while length:
            if length & 1:
                power = self._multiply_polynomials(power, square)
            square = self._multiply_polynomials(square, square)
            length >>= 1
        return power


_CRCS = {
    "CRC32": (32, 0xEDB88320),
    "CRC32C": (32, 0x82F63B78),
    "CRC64NVME": (64, 0x9A6C9329AC4BC9B5),
}
"""Bits and reflected polynomial of each (zlib; RFC 3720; the NVM Express base specification)."""


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


def file_matches(
    path: Union[Path, int], checksum: str, part_size: Callable[[], int]
) -> Optional[bool]:
    """Returns True if a file, a path or an open descriptor, has the checksum.

    Returns None if that cannot be decided.

    ``part_size`` is called only for a checksum of parts.
    """
    expected = ExpectedChecksum.of(checksum)
    if expected is None:
        return None
    with translate_os_errors(str(path)):
        running = expected.start(os.stat(path).st_size, part_size)
    if running is None:
        return None
    with (
        translate_os_errors(str(path)),
        open(path, "rb", closefd=not isinstance(path, int)) as file,
    ):
        file.seek(0)
        for block in iter(lambda: file.read(_BLOCK), b""):
            running.update(block)
    return running.matches()


BY_TIME = ("size_mtime", "mtime")
"""Ways to compare that take a target for the same only if it is not older."""
BY_STATUS = ("size", *BY_TIME)
"""Ways to compare that read no content."""


def is_same_file(
    path: Path,
    info: ObjectInfo,
    compare: str,
    fetch_info: Callable[[], ObjectInfo],
    part_size: Callable[[], int],
) -> bool:
    """Returns True if a file equals the object by size, etag or checksum.

    The caller compares times: by size_mtime the sizes must agree here, by mtime nothing must.
    ``fetch_info`` sends a HEAD request; it is called only if the listing's ETag does not decide.
    """
    if compare == "mtime":
        return True
    with translate_os_errors(path):
        if path.stat().st_size != info.size:
            return False
    if compare in ("size", "size_mtime"):
        return True
    if is_md5(info.etag) and file_matches(path, f"MD5:{info.etag}", part_size):
        return True  # a matching MD5 is proof, whatever the encryption
    return compare == "checksum" and bool(
        file_matches(path, info.checksum or fetch_info().checksum, part_size)
    )
