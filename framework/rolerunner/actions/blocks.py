"""Objects in blocks that machines of a cluster list, work on and report.

With ``distribute`` this machine then creates no value for each object.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Optional, Union

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
from rolerunner.storage.protocol import ObjectInfo, Storage

_STORED_AT_ONCE = 1000
"""Objects that are written to a list together."""


def list_blocks(
    storage: Storage, source: S3Uri, context: StepContext, *, versions: bool
) -> Optional[Iterator[Union[ObjectInfo, ListedBlock]]]:
    """Returns a listing in blocks; None if no cluster lists."""
    if context.open_cluster is None:
        return None
    from rolerunner.storage.workers.distributed import DistributedStorage  # noqa: PLC0415

    if not isinstance(storage, DistributedStorage):
        return None
    return storage.list_blocks(source, versions=versions, cancel=context.cancel)


def batch_objects(objects: Iterable[ObjectInfo]) -> Iterator[Sequence[ObjectInfo]]:
    """Yields the objects in batches, which are written together."""
    rest = iter(objects)
    return iter(lambda: list(islice(rest, _STORED_AT_ONCE)), [])


def add_listed(
    listed: Union[ObjectInfo, ListedBlock, Sequence[ObjectInfo]], manifest: ManifestWriter
) -> Optional[ObjectInfo]:
    """Adds an object, a block or a batch; returns the object of it that was modified last.

    It is None if there are delete markers alone.
    """
    if isinstance(listed, ListedBlock):
        manifest.add_listed_block(listed)
        return listed.latest
    batch = [listed] if isinstance(listed, ObjectInfo) else listed
    manifest.add_objects(batch)
    return find_latest(batch)


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
    if context.open_cluster is None:
        return None
    from rolerunner.storage.workers.distributed import DistributedStorage  # noqa: PLC0415

    if not isinstance(storage, DistributedStorage):
        return None
    blocks = ItemBlocks(objects.path, objects.count, objects.bytes, make_items, bucket)
    return storage.run_blocks(method, blocks, arguments, context.cancel)
