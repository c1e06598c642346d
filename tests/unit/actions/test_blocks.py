"""Listed objects are written to a list in batches, and the latest of each is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.actions.blocks import add_listed, batch_listed, batch_objects
from rolerunner.model import S3Uri
from rolerunner.selection.manifest import ManifestWriter
from rolerunner.storage.object_lines import ListedBlock, pack_objects
from rolerunner.storage.protocol import ObjectInfo

if TYPE_CHECKING:
    from pathlib import Path

OBJECTS = [
    ObjectInfo("a", 1, modified="2026-01-02T00:00:00Z"),
    ObjectInfo("b", 2, modified="2026-01-03T00:00:00Z"),
    ObjectInfo("c", 3, modified="2026-01-03T00:00:00Z"),
    ObjectInfo("d", 0, modified="2026-01-09T00:00:00Z", deleted=True),
]


def test_batches_hold_all_objects_in_their_order() -> None:
    infos = [ObjectInfo(f"{number:05}", 1) for number in range(2500)]
    batches = list(batch_objects(infos))
    assert [len(batch) for batch in batches] == [1000, 1000, 500]
    assert [info for batch in batches for info in batch] == infos
    assert list(batch_objects([])) == []


def test_the_objects_between_blocks_become_batches() -> None:
    infos = [ObjectInfo(f"{number:05}", 1) for number in range(1500)]
    (block,) = pack_objects(infos[1200:1300])
    listed: list[ObjectInfo | ListedBlock] = [*infos[:1200], block, block, *infos[1300:]]
    batches = list(batch_listed(listed))
    assert batches == [infos[:1000], infos[1000:1200], block, block, infos[1300:]]
    assert list(batch_listed([])) == []


def test_a_batch_and_a_block_are_added_alike(tmp_path: Path) -> None:
    (block,) = pack_objects(OBJECTS[1:])
    for listed, latest in ((OBJECTS[1:], OBJECTS[1]), (block, OBJECTS[1])):
        with ManifestWriter(tmp_path / "list.jsonl") as manifest:
            assert add_listed(OBJECTS[:1], manifest) == OBJECTS[0]
            assert add_listed(listed, manifest) == latest
        objects = manifest.objects(S3Uri("bucket"))
        assert (list(objects), objects.count, objects.bytes) == (OBJECTS, 4, 6)
        assert objects.ascending


def test_a_delete_marker_is_not_the_latest(tmp_path: Path) -> None:
    with ManifestWriter(tmp_path / "list.jsonl") as manifest:
        assert add_listed(OBJECTS[3:], manifest) is None
