"""Checksums go into a trailer where the server takes one, otherwise into a header."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import pytest

from rolerunner.iam.aws_errors import AwsError
from rolerunner.storage import hashing
from rolerunner.storage.payloads import (
    disable_trailers,
    is_trailer_refusal,
    move_checksum_to_header,
    takes_trailers,
)

BODY = b"0123456789"
CRC32 = base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode()


class Client:
    """A client, of which only the identity matters."""


def test_each_client_remembers_its_server() -> None:
    old, new = Client(), Client()
    disable_trailers(old)
    assert (takes_trailers(old), takes_trailers(new)) == (False, True)


@pytest.mark.parametrize(
    ("code", "is_refusal"), [("NotImplemented", True), ("411", True), ("AccessDenied", False)]
)
def test_a_refusal_may_be_about_the_trailer(code: str, is_refusal: bool) -> None:
    assert is_trailer_refusal(AwsError(code, "", "400")) is is_refusal


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, {"ChecksumCRC32": CRC32}),
        (
            {"ChecksumAlgorithm": "SHA256"},
            {"ChecksumSHA256": hashing.compute_digest("SHA256", BODY)},
        ),
        ({"ChecksumSHA1": "given"}, {"ChecksumSHA1": "given"}),
        ({"ChecksumAlgorithm": "XXH3"}, {"ChecksumAlgorithm": "XXH3"}),
    ],
)
def test_the_checksum_is_in_a_header(parameters: dict[str, Any], expected: dict[str, Any]) -> None:
    assert move_checksum_to_header({"Body": BODY, **parameters}) == {"Body": BODY, **expected}
