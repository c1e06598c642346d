"""Values of a storage: equal however they are made, and right for another attempt."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import (
    Copy,
    Get,
    ObjectBlock,
    ObjectInfo,
    Put,
    QuickCheck,
    make_object_info,
    make_skipped_copy,
    prepare_retry,
)

HERE, THERE = S3Uri("from", "a"), S3Uri("to", "a")
INFO, VERSION = ObjectInfo("a", 4, "etag"), ObjectInfo("a", 4, "etag", version="v1")


def test_an_object_made_of_its_attributes_is_as_any_other() -> None:
    made = make_object_info({"key": "a", "size": 4, "etag": "etag"})
    assert made == INFO
    assert hash(made) == hash(INFO)
    assert (made.storage_class, made.deleted) == ("STANDARD", False)
    assert pickle.loads(pickle.dumps(made)) == INFO


@pytest.mark.parametrize(
    ("start", "data", "error", "is_last"),
    [(0, b"ab", None, False), (2, b"cd", None, True), (0, b"", StepError("gone"), True)],
)
def test_the_last_block_ends_the_object(
    start: int, data: bytes, error: StepError | None, is_last: bool
) -> None:
    assert ObjectBlock(HERE, INFO, start, data, error).is_last == is_last


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (Put(Path("a"), THERE), Put(Path("a"), THERE, repeated=True)),
        (Copy(HERE, THERE, INFO), Copy(HERE, THERE, None, repeated=True)),
        (Copy(HERE, THERE, VERSION), Copy(HERE, THERE, VERSION, repeated=True)),
        (Get(HERE, Path("a"), INFO), Get(HERE, Path("a"))),
        (Get(HERE, Path("a"), VERSION), Get(HERE, Path("a"), VERSION)),
        (HERE, HERE),
    ],
)
def test_another_attempt_knows_that_it_is_one(item: Any, expected: Any) -> None:
    """The object may have changed or be stored already; a version does not change."""
    assert prepare_retry(item) == expected


def test_a_skipped_copy_reports_the_target() -> None:
    item = Copy(HERE, THERE, INFO, there=ObjectInfo("a", 4, "other"))
    outcome = make_skipped_copy(item, INFO)
    assert (outcome.uri, outcome.size, outcome.etag) == (THERE, 4, "other")
    assert (outcome.status, outcome.source, outcome.source_info) == ("skipped", HERE, INFO)
    assert make_skipped_copy(Copy(HERE, THERE), None).size == 0


def test_a_quick_check_is_called_as_a_function() -> None:
    assert QuickCheck(lambda: True)()
