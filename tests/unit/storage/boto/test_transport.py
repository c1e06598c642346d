"""The parts of boto3's uploads: their checksums, as strict servers want them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.model import S3Uri
from rolerunner.storage.boto.transport import add_checksum
from rolerunner.storage.hashing import compute_digest
from rolerunner.storage.parts import PartUpload
from tests import memory_aws as aws

if TYPE_CHECKING:
    from rolerunner.storage.boto.engine import BotoEngine

TARGET = S3Uri("bucket", "key")
DATA = b"data"
CRC32 = compute_digest("CRC32", DATA)


@pytest.mark.parametrize(
    ("has_checksums", "options", "expected"),
    [
        (True, {}, {"ChecksumAlgorithm": "CRC32"}),
        (True, {"ChecksumAlgorithm": "SHA256"}, {"ChecksumAlgorithm": "SHA256"}),
        (False, {"ContentType": "x"}, {"ContentType": "x"}),
    ],
)
def test_a_checksum_is_added_where_boto3_knows_it(
    has_checksums: bool, options: dict[str, str], expected: dict[str, str]
) -> None:
    requests: Any = SimpleNamespace(has_parameter=lambda *_: has_checksums)
    assert add_checksum(requests, options) == expected


@pytest.mark.parametrize(
    ("options", "returned", "expected"),
    [
        ({}, {"x-amz-checksum-crc32": CRC32}, {}),
        (
            {"ChecksumAlgorithm": "CRC32"},
            {"x-amz-checksum-crc32": CRC32},
            {"ChecksumCRC32": CRC32},
        ),
        ({"ChecksumAlgorithm": "CRC32"}, {}, {"ChecksumCRC32": CRC32}),
    ],
    ids=["upload without a checksum", "upload with a checksum", "server that returns none"],
)
def test_a_completed_part_has_the_checksum_of_its_upload_alone(
    boto_engine: BotoEngine,
    memory_aws: aws.Store,
    options: dict[str, str],
    returned: dict[str, str],
    expected: dict[str, str],
) -> None:
    memory_aws.hook = lambda _: aws.Response(200, {"ETag": '"e"', **returned})
    part = PartUpload(TARGET, "id", 1, 0, len(DATA), options)
    completed = boto_engine.boto_transport.upload_part(part, DATA, Cancel())
    assert completed == {"PartNumber": 1, "ETag": '"e"', **expected}
