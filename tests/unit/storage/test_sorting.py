"""Objects are sorted in memory, and through files where there are more."""

from __future__ import annotations

import json

import pytest

from rolerunner.common import external_sort
from rolerunner.storage.protocol import ObjectInfo, make_object_info
from rolerunner.storage.sorting import object_line, sort_objects

OBJECTS = [ObjectInfo(f"k{(number * 7) % 20:02}", number, "e") for number in range(20)]


@pytest.mark.parametrize("at_once", [5, 7, 19, 20, 21])
@pytest.mark.parametrize("descending", [False, True])
def test_objects_come_sorted_however_many_fit_into_memory(
    at_once: int, descending: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external_sort, "SORTED_AT_ONCE", at_once)
    found = list(sort_objects(OBJECTS, lambda info: info.key, descending=descending))
    assert found == sorted(OBJECTS, key=lambda info: info.key, reverse=descending)


def test_nothing_sorts_to_nothing() -> None:
    assert list(sort_objects((), lambda info: info.key)) == []


@pytest.mark.parametrize(
    "info",
    [
        make_object_info({"key": 'a"é\ud800', "size": 1, "etag": "e", "modified": "2026"}),
        ObjectInfo("k", 0),
        ObjectInfo("k", 1, "e", "2026", "v", "GLACIER", "CRC32:abc", "bucket", deleted=True),
    ],
)
def test_a_line_holds_what_is_not_the_default(info: ObjectInfo) -> None:
    line = object_line(info)
    assert line.isascii()
    assert line.endswith("}\n")
    assert make_object_info(json.loads(line)) == info
    assert "STANDARD" not in line
