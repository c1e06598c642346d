"""Data and its checksums, as S3 reports them."""

from __future__ import annotations

import base64
import hashlib
import zlib

DATA = bytes(range(256)) * 4
MD5 = hashlib.md5(DATA).hexdigest()
SHA256 = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
CRC32 = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()


def composite(part_size: int) -> str:
    """The SHA256 of the SHA256s of parts, as S3 reports it."""
    parts = [DATA[start : start + part_size] for start in range(0, len(DATA), part_size)]
    digests = b"".join(hashlib.sha256(part).digest() for part in parts)
    whole = base64.b64encode(hashlib.sha256(digests).digest()).decode()
    return f"SHA256:{whole}-{len(parts)}"
