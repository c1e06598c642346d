"""Batches of objects for a function, and the sums of what its calls return."""

from __future__ import annotations

from pathlib import Path

import pytest

from rolerunner.actions.function_batches import (
    BatchResult,
    ListedLines,
    add_outputs,
    divide_batches,
)
from rolerunner.errors import FunctionFailed
from rolerunner.model import S3Uri
from rolerunner.selection.manifest import ObjectList
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.sorting import object_line


def test_lines_are_described_and_divided_into_batches() -> None:
    infos = [ObjectInfo(f"in/{number}", number, "e") for number in range(5)]
    listed = ObjectList(Path("list"), S3Uri("b", "in/"), 5, 10)
    lines = ListedLines("".join(map(object_line, infos)).encode(), listed)
    batches = list(divide_batches(lines.read(lines.split()), 2))
    assert [[each["uri"] for each in batch] for batch in batches] == [
        ["s3://b/in/0", "s3://b/in/1"],
        ["s3://b/in/2", "s3://b/in/3"],
        ["s3://b/in/4"],
    ]
    assert batches[1][0] == listed.describe(infos[2])


def test_the_rest_of_a_task_is_given_out_as_it_was() -> None:
    lines = [object_line(ObjectInfo("a", 1, "e")).rstrip("\n"), {"key": "b"}]
    result = BatchResult(1, {}, [], 1.0, lines)
    assert list(result.list_entries()) == [(f"{lines[0]}\n".encode(), 0), ({"key": "b"}, 0)]


def test_numbers_are_added_up_and_nothing_else() -> None:
    assert add_outputs("f", {"a": 1}, {"a": 2, "b": 0.5}) == {"a": 3, "b": 0.5}
    for wrong in (True, "1", None):
        with pytest.raises(FunctionFailed, match="'a' that is not a number"):
            add_outputs("f", {}, {"a": wrong})
