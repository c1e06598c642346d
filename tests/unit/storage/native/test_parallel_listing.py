"""Listings return every key once and in order, however many pages are in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.keyspace import KeyRange
from rolerunner.model import S3Uri
from rolerunner.storage.native.parallel_listing import ParallelLister
from tests.memory_aws import error
from tests.unit.storage.engines import open_engine

if TYPE_CHECKING:
    from tests.memory_aws import Store

KEYS = [f"in/{number:04}" for number in range(2500)]


@pytest.fixture
def lister(memory_aws: Store) -> ParallelLister:
    for key in [*KEYS, "out/a"]:
        memory_aws.put("bucket", key, b"")
    return ParallelLister(open_engine("native").client)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("after", ["", KEYS[1200], KEYS[-1]])
def test_keys_come_in_order(parallel: bool, after: str, lister: ParallelLister) -> None:
    objects = lister.list(S3Uri("bucket", "in/"), KeyRange(after), Cancel(), parallel=parallel)
    assert [each.key for each in objects] == [key for key in KEYS if key > after]


def test_a_refusal_names_the_permission(lister: ParallelLister, memory_aws: Store) -> None:
    memory_aws.hook = lambda _: error(403, "AccessDenied")
    with pytest.raises(StepError, match="may not s3:ListBucket on arn:aws:s3:::bucket"):
        list(lister.list(S3Uri("bucket", "in/"), KeyRange(), Cancel(), parallel=True))
