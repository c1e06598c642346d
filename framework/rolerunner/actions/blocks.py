"""Objects in blocks that machines of a cluster list, work on and report.

With ``distribute`` this machine then creates no value for each object.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Optional, Union

from rolerunner.actions.base import StepContext
from rolerunner.model import S3Uri
from rolerunner.selection.manifest import ManifestWriter, ObjectList
from rolerunner.storage.object_lines import (
    ItemBlocks,
    ListedBlock,
    MakeItems,
    OutcomeBlock,
    find_latest,
)
from rolerunner.storage.protocol import ObjectInfo, ObjectRequest, Outcome, Storage

if TYPE_CHECKING:
    from rolerunner.storage.workers.distributed import DistributedStorage

_STORED_AT_ONCE = 1000
"""Objects that are written to a list together."""
_STAGED_AT_ONCE = 10_000
"""Objects that pass the stages of an operation together where each stage is a job of a cluster:
some 20 MB.
"""


def list_blocks(
    storage: Storage, source: S3Uri, context: StepContext, *, versions: bool
) -> Optional[Iterator[Union[ObjectInfo, ListedBlock]]]:
    """Returns a listing in blocks; None if no cluster lists."""
    cluster = _find_distributed(storage, context)
    if cluster is None:
        return None
    return cluster.list_blocks(source, versions=versions, cancel=context.cancel)


def count_staged(storage: Storage, context: StepContext, here: int) -> int:
    """Returns how many objects pass the stages of an operation together; ``here`` without cluster.

    Stages are such as to copy, to verify and to delete: the next begins when one has ended.
    """
    return here if _find_distributed(storage, context) is None else _STAGED_AT_ONCE


def batch_objects(objects: Iterable[ObjectInfo]) -> Iterator[Sequence[ObjectInfo]]:
    """Yields the objects in batches, which are written together."""
    rest = iter(objects)
    return iter(lambda: list(islice(rest, _STORED_AT_ONCE)), [])


def batch_listed(
    listed: Iterable[Union[ObjectInfo, ListedBlock]],
) -> Iterator[Union[ListedBlock, Sequence[ObjectInfo]]]:
    """Yields the blocks of a listing, and the objects between them in batches."""
    batch: list[ObjectInfo] = []
    for each in listed:
        if isinstance(each, ListedBlock):
            if batch:
                yield batch
                batch = []
            yield each
            continue
        batch.append(each)
        if len(batch) >= _STORED_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def add_listed(
    listed: Union[ListedBlock, Sequence[ObjectInfo]], manifest: ManifestWriter
) -> Optional[ObjectInfo]:
    """Adds a block or a batch; returns the object of it that was modified last.

    It is None if there are delete markers alone.
    """
    if isinstance(listed, ListedBlock):
        manifest.add_listed_block(listed)
        return listed.latest
    manifest.add_objects(listed)
    return find_latest(listed)


def run_blocks(
    storage: Storage,
    method: str,
    objects: ObjectList,
    make_items: MakeItems,
    arguments: tuple[Any, ...],
    bucket: str,
    context: StepContext,
) -> Optional[Iterator[OutcomeBlock]]:
    """Runs an operation on the objects of a list in blocks; None if no cluster works.

    ``make_items`` makes the items in the workers. ``bucket`` is that of the outcomes.
    """
    cluster = _find_distributed(storage, context)
    if cluster is None:
        return None
    blocks = ItemBlocks(objects.path, objects.count, objects.bytes, make_items, bucket)
    return cluster.run_blocks(method, blocks, arguments, context.cancel)


def send_each(
    storage: Storage,
    objects: ObjectList,
    make_items: MakeItems,
    request: ObjectRequest,
    context: StepContext,
) -> Iterator[Union[Outcome, OutcomeBlock]]:
    """Sends a request for each object of a list, on a cluster in blocks.

    ``make_items`` chooses the objects, in the workers of a cluster.
    """
    bucket = objects.prefix.bucket
    blocks = run_blocks(
        storage, "send_each", objects, make_items, (bucket, request), bucket, context
    )
    if blocks is not None:
        return blocks
    return storage.send_each(make_items(objects), bucket, request, context.cancel)


def leave_out_markers(objects: Iterable[ObjectInfo]) -> Iterator[ObjectInfo]:
    """Yields the objects but for delete markers."""
    return (info for info in objects if not info.deleted)


def drop_versions(objects: Iterable[ObjectInfo]) -> Iterator[ObjectInfo]:
    """Yields the objects but for delete markers, without their versions.

    HEAD returned these for objects named by their keys: requests for the present version need fewer
    permissions, and a deletion leaves a delete marker.
    """
    return (replace(info, version="") for info in leave_out_markers(objects))


def _find_distributed(storage: Storage, context: StepContext) -> Optional["DistributedStorage"]:
    """Returns the storage if a cluster works for it."""
    if context.open_cluster is None:
        return None
    from rolerunner.storage.workers.distributed import DistributedStorage  # noqa: PLC0415

    return storage if isinstance(storage, DistributedStorage) else None
