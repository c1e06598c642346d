"""A batch that was deleted as a whole is a block of the same lines as its outcomes."""

from __future__ import annotations

from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.deleted_objects import (
    DeletedObjects,
    deleted_outcome,
    pack_batches,
    pack_deletions,
)
from rolerunner.storage.object_lines import OutcomeBlock, outcome_line
from rolerunner.storage.protocol import ObjectInfo, Outcome

OBJECTS = [
    ObjectInfo('a"\u2028', 1),
    ObjectInfo("b", 22, "e"),
    ObjectInfo("c", 3, "e", version="v"),
]


def test_outcomes_are_built_when_they_are_read() -> None:
    deleted = DeletedObjects("bucket", OBJECTS)
    assert list(deleted) == [deleted_outcome("bucket", info) for info in OBJECTS]
    assert (len(deleted), deleted[1]) == (3, Outcome(S3Uri("bucket", "b"), 22, etag="e"))
    assert list(deleted[1:]) == list(deleted)[1:]


def test_a_batch_becomes_the_lines_of_its_outcomes() -> None:
    for bucket in ("bucket", "other"):
        deleted = DeletedObjects("bucket", OBJECTS)
        block = deleted.pack(bucket)
        assert block.unpack() == "".join(outcome_line(each, bucket) for each in deleted)
        assert (block.done, block.skipped, block.failed) == (3, 0, 0)
        assert (block.bytes, block.kept_bytes, block.failures) == (26, 26, ())


def test_other_batches_keep_their_outcomes() -> None:
    mixed = [Outcome(S3Uri("b", "x")), Outcome(S3Uri("b", "y"), status="failed")]
    first, *rest = pack_batches([DeletedObjects("b", OBJECTS), mixed], "b")
    assert isinstance(first, OutcomeBlock)
    assert rest == mixed


def test_all_batches_become_one_block() -> None:
    failed = [
        Outcome(S3Uri("b", f"x{number}"), error=StepError("no"), status="failed")
        for number in range(5)
    ]
    batches = [DeletedObjects("b", OBJECTS), failed, DeletedObjects("b", OBJECTS[:1])]
    block = pack_deletions(batches, "b")
    assert block.unpack() == "".join(outcome_line(each, "b") for batch in batches for each in batch)
    assert (block.done, block.failed, block.bytes, block.kept_bytes) == (4, 5, 27, 27)
    assert block.failures == tuple(failed[:3])
    assert pack_deletions([], "b").count == 0
