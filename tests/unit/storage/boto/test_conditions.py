"""Whether an object was put together from given parts."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from rolerunner.storage.boto.conditions import is_made_of_parts
from rolerunner.storage.protocol import ObjectInfo

DIGESTS = [hashlib.md5(data).digest() for data in (b"one", b"two")]
PARTS: list[dict[str, Any]] = [{"ETag": f'"{digest.hex()}"'} for digest in DIGESTS]
ETAG = f"{hashlib.md5(b''.join(DIGESTS)).hexdigest()}-2"
SHA = [hashlib.sha256(data).digest() for data in (b"one", b"two")]
SHA_PARTS = [
    {"ETag": '"opaque"', "ChecksumSHA256": base64.b64encode(digest).decode()} for digest in SHA
]
COMPOSITE = base64.b64encode(hashlib.sha256(b"".join(SHA)).digest()).decode()


@pytest.mark.parametrize(
    ("found", "parts", "expected"),
    [
        (ObjectInfo("key", 6, ETAG), PARTS, True),
        (ObjectInfo("key", 6, ETAG), PARTS[:1], False),
        (ObjectInfo("key", 6, ETAG), PARTS[::-1], False),
        (ObjectInfo("key", 6, "x", checksum=f"SHA256:{COMPOSITE}-2"), SHA_PARTS, True),
        (ObjectInfo("key", 6, "x", checksum=f"SHA256:{COMPOSITE}-3"), SHA_PARTS, False),
        (ObjectInfo("key", 6, "x", checksum=f"SHA256:{COMPOSITE}-2"), SHA_PARTS[::-1], False),
        (ObjectInfo("key", 6, "x"), SHA_PARTS, False),
    ],
)
def test_parts_are_recognised(found: ObjectInfo, parts: Any, expected: bool) -> None:
    assert is_made_of_parts(found, parts) is expected
