"""The aws-chunked encoding: its bytes, its length and its checksum."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest

from rolerunner.storage.http.aws_chunked import ChunkedBody


@pytest.mark.parametrize(
    "blocks",
    [[b"a" * 4, b"b" * 4], [b"a" * 4, b"b"], [b"a"], []],
    ids=["full", "rest", "one", "empty"],
)
def test_a_body_is_encoded_with_its_checksum(blocks: list[bytes]) -> None:
    data = b"".join(blocks)
    body = ChunkedBody(lambda: iter(blocks), len(data), 4, hashlib.sha256)
    encoded = b"".join(body.blocks())
    assert len(encoded) == len(body)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(block), block) for block in blocks)
    crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    assert encoded == chunks + f"0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n".encode()
    assert body.checksum == crc
    assert body.computed is not None
    assert body.computed.digest() == hashlib.sha256(data).digest()
    assert body.headers["x-amz-decoded-content-length"] == str(len(data))
