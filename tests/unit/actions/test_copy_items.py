"""A target is compared by the listings, and by HEADs only if these cannot tell."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from rolerunner.actions.copy_items import TargetComparison
from rolerunner.errors import AccessDenied
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo

SOURCE, TARGET = S3Uri("from", "key"), S3Uri("to", "key")
THERE = ObjectInfo("key", 5, "e", "2026-01-02T00:00:00Z")
SAME = ObjectInfo("key", 5, "e", "2026-01-01T00:00:00Z")
NEWER = ObjectInfo("key", 5, "other", "2026-01-03T00:00:00Z")
LARGER = ObjectInfo("key", 6, "e", "2026-01-01T00:00:00Z")


class Heads:
    """A storage whose HEADs report a checksum, or refuse."""

    def __init__(self, checksum: str) -> None:
        self._checksum = checksum
        self.count = 0

    def head(self, uri: S3Uri, version: str = "") -> ObjectInfo:
        del version
        self.count += 1
        if self._checksum == "denied":
            raise AccessDenied("no")
        return ObjectInfo(uri.key, 5, checksum=self._checksum)


def compare(how: str, *, lenient: bool = False, checksums: tuple[str, str] = ("a", "a")) -> Any:
    one, other = (Heads(each) for each in checksums)
    return TargetComparison(how, one, other, lenient)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("how", "info", "decided"),
    [
        ("mtime", LARGER, True), ("mtime", NEWER, False), ("size", NEWER, True),
        ("size", LARGER, False), ("size_mtime", SAME, True), ("size_mtime", NEWER, False),
        ("size_mtime", LARGER, False), ("etag", SAME, True), ("etag", NEWER, False),
        ("checksum", SAME, True), ("checksum", LARGER, False), ("checksum", NEWER, None),
    ],
)  # fmt: skip
def test_the_listings_decide_if_they_can(
    how: str, info: ObjectInfo, decided: Optional[bool]
) -> None:
    comparison = compare(how)
    assert comparison.decide(info, THERE) is decided
    assert comparison(SOURCE, info, TARGET, THERE) is (decided is not False)
    assert comparison.source.count == (decided is None)


def test_checksums_are_compared_otherwise() -> None:
    assert not compare("checksum", checksums=("a", "b"))(SOURCE, NEWER, TARGET, THERE)
    assert not compare("checksum", checksums=("", ""))(SOURCE, NEWER, TARGET, THERE)


def test_a_role_that_may_not_look_writes_again_only_if_it_is_lenient() -> None:
    denied = ("denied", "denied")
    assert not compare("checksum", lenient=True, checksums=denied)(SOURCE, NEWER, TARGET, THERE)
    with pytest.raises(AccessDenied):
        compare("checksum", checksums=denied)(SOURCE, NEWER, TARGET, THERE)
