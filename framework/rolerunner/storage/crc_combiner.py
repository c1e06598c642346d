"""The CRC of an object, computed from the CRCs of its ranges."""

from __future__ import annotations

from typing import Optional

from rolerunner.storage.integrity import ExpectedChecksum

_CRCS = {
    "CRC32": (32, 0xEDB88320),
    "CRC32C": (32, 0x82F63B78),
    "CRC64NVME": (64, 0x9A6C9329AC4BC9B5),
}
"""Bits and reflected polynomial of each (zlib; RFC 3720; the NVM Express base specification)."""


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
