"""The version of each key that was current at a moment."""

from __future__ import annotations

import pytest

from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.selection.past_versions import select_past_objects
from rolerunner.storage.protocol import ObjectInfo

PREFIX = S3Uri("bucket", "in/")
NOON = "2026-01-31T12:00:00Z"


def version(key: str, hour: int, name: str = "v", *, deleted: bool = False) -> ObjectInfo:
    modified = f"2026-01-31T{hour:02}:00:00Z"
    return ObjectInfo(
        key, 1, "e", modified, f"{name}{hour}" if name == "v" else name, deleted=deleted
    )


def select(*versions: ObjectInfo) -> list[tuple[str, str]]:
    return [(each.key, each.version) for each in select_past_objects(versions, NOON, PREFIX)]


def test_newest_version_not_after_the_moment_is_taken() -> None:
    assert select(
        version("a", 13), version("a", 12), version("a", 11),
        version("b", 13),
        version("c", 13), version("c", 11, deleted=True), version("c", 10),
        version("d", 13, deleted=True), version("d", 9),
        version("e", 8, "null"),
    ) == [("a", "v12"), ("d", "v9"), ("e", "null")]  # fmt: skip


@pytest.mark.parametrize("deleted", [False, True])
def test_change_without_a_version_since_is_an_error(*, deleted: bool) -> None:
    with pytest.raises(StepError, match=r"s3://bucket/a was .* without a version") as caught:
        select(version("a", 13, "null", deleted=deleted), version("a", 11))
    assert caught.value.type == "NoVersions"


def test_bucket_without_any_version_is_an_error() -> None:
    with pytest.raises(StepError, match="no object here has a version"):
        select(version("a", 1, "null"), version("b", 2, "null"))


def test_nothing_is_no_error() -> None:
    assert select() == []


def test_versions_of_one_key_are_not_held() -> None:
    many = (version("a", 13) if number < 100_000 else version("a", 11) for number in range(100_001))
    assert [each.version for each in select_past_objects(many, NOON, PREFIX)] == ["v11"]
