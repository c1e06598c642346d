"""Outcomes of deletions, which are built only if they are needed.

A batch that was deleted as a whole becomes a block of lines, without a value for each object.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Union

from rolerunner.model import S3Uri
from rolerunner.storage.object_lines import OutcomeBlock, join_blocks, pack_lines, pack_outcomes
from rolerunner.storage.protocol import ObjectInfo, Outcome

_text = json.encoder.encode_basestring_ascii


class DeletedObjects(Sequence[Outcome]):
    """The outcomes of objects of one bucket, all of which were deleted."""

    def __init__(self, bucket: str, objects: Sequence[ObjectInfo]) -> None:
        self._bucket = bucket
        self._objects = objects

    def __len__(self) -> int:
        return len(self._objects)

    def __getitem__(self, index: Any) -> Any:
        found = self._objects[index]
        if isinstance(index, slice):
            return DeletedObjects(self._bucket, found)
        return deleted_outcome(self._bucket, found)

    def __iter__(self) -> Iterator[Outcome]:
        bucket = self._bucket
        return (deleted_outcome(bucket, info) for info in self._objects)

    def pack(self, bucket: str) -> OutcomeBlock:
        """Returns the outcomes as a block; ``bucket`` is that of the manifest."""
        elsewhere = "" if self._bucket == bucket else f', "bucket": {_text(self._bucket)}'
        lines = "".join([_deleted_line(info, elsewhere) for info in self._objects])
        size = sum([info.size for info in self._objects])
        return OutcomeBlock(pack_lines(lines, 0), len(self), 0, 0, size, size, ())


def deleted_outcome(bucket: str, info: ObjectInfo) -> Outcome:
    """Returns the outcome of an object that was deleted."""
    return Outcome(S3Uri(bucket, info.key), info.size, etag=info.etag, version=info.version)


def pack_batches(
    batches: Iterable[Sequence[Outcome]], bucket: str
) -> Iterator[Union[Outcome, OutcomeBlock]]:
    """Yields batches of deleted objects as blocks, and the outcomes of other batches one by one."""
    for batch in batches:
        if isinstance(batch, DeletedObjects):
            yield batch.pack(bucket)
        else:
            yield from batch


def pack_deletions(batches: Iterable[Sequence[Outcome]], bucket: str) -> OutcomeBlock:
    """Returns all outcomes as one block; ``bucket`` is that of the manifest."""
    return join_blocks(
        [
            batch.pack(bucket)
            if isinstance(batch, DeletedObjects)
            else pack_outcomes(batch, bucket)
            for batch in batches
        ]
    )


def _deleted_line(info: ObjectInfo, elsewhere: str) -> str:
    """Returns the line that ``outcome_line`` returns for the outcome."""
    rest = elsewhere
    if info.etag:
        rest += f', "etag": {_text(info.etag)}'
    if info.version:
        rest += f', "version": {_text(info.version)}'
    return f'{{"key": {_text(info.key)}, "size": {info.size}, "status": "done"{rest}}}\n'
