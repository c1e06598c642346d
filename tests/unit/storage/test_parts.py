"""Ranges and parts as values."""

from __future__ import annotations

import pickle

from rolerunner.model import S3Uri
from rolerunner.storage.parts import ObjectRange, PartUpload
from rolerunner.storage.protocol import ObjectInfo


def test_a_range_names_its_last_byte_and_its_etag() -> None:
    source = ObjectRange(S3Uri("bucket", "key"), ObjectInfo("key", 100, "abc"), 10, 5)
    assert (source.byte_range, source.if_match) == ("bytes=10-14", '"abc"')


def test_a_part_ends_before_the_next_one_and_goes_to_workers() -> None:
    part = PartUpload(S3Uri("bucket", "key"), "id", 2, 5, 5, {"ACL": "private"})
    assert part.end == 10
    assert pickle.loads(pickle.dumps(part)) == part
