"""Blocks of lines hold what the values held, and know their sums."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.object_lines import (
    ItemBlocks,
    measure_line,
    pack_objects,
    pack_outcomes,
    parse_object_lines,
    split_lines,
)
from rolerunner.storage.protocol import ObjectInfo, Outcome
from rolerunner.storage.sorting import object_line

if TYPE_CHECKING:
    from pathlib import Path

OBJECTS = [
    ObjectInfo("a\u2028b\n", 1, "e1", "2026-01-01T00:00:00Z"),
    ObjectInfo("b", 22, "e2", "2026-01-03T00:00:00Z", version="v"),
    ObjectInfo("c", 333, "e3", "2026-01-03T00:00:00Z"),
    ObjectInfo("d", 0, modified="2026-01-09T00:00:00Z", deleted=True),
]


def test_a_block_has_the_objects_and_their_sums() -> None:
    (block,) = pack_objects(OBJECTS)
    assert list(block.iterate_objects()) == OBJECTS
    assert (block.count, block.bytes, block.first_key, block.last_key) == (
        4,
        356,
        "a\u2028b\n",
        "d",
    )
    assert block.latest == OBJECTS[1]  # the first of two, and no delete marker
    assert pack_objects([]) == []
    (markers,) = pack_objects(OBJECTS[3:])
    assert markers.latest is None


def test_a_block_of_outcomes_counts_each_kind_and_names_three_failures() -> None:
    done = Outcome(S3Uri("b", "done"), 5, etag="e")
    skipped = Outcome(S3Uri("other", "skipped"), 7, status="skipped")
    failed = [
        Outcome(S3Uri("b", f"f{n}"), 9, status="failed", error=StepError("no")) for n in range(5)
    ]
    block = pack_outcomes([done, skipped, *failed], "b")
    assert (block.done, block.skipped, block.failed, block.count) == (1, 1, 5, 7)
    assert (block.bytes, block.kept_bytes) == (5, 12)
    assert [each.uri.key for each in block.failures] == ["f0", "f1", "f2"]
    lines = split_lines(block.unpack())
    assert lines[0] == '{"key": "done", "size": 5, "status": "done", "etag": "e"}'
    assert '"bucket": "other"' in lines[1]
    assert '"reason": "no"' in lines[2]
    assert [info.key for info in parse_object_lines(lines)] == ["done", "skipped"]


def test_lines_of_a_manifest_tell_the_sizes_of_their_objects(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text("".join(map(object_line, OBJECTS)))
    lines = list(ItemBlocks(path, 4, 356, iter, "b").read_lines())
    assert [measure_line(line) for line in lines] == [1, 22, 333, 0]
    assert b"".join(lines) == path.read_bytes()
