"""Objects in blocks that machines of a cluster list, work on and report.

With ``distribute`` this machine then creates no value for each object.
"""

from collections.abc import Iterator
from typing import Any, Optional, Union

from rolerunner.actions.base import StepContext
from rolerunner.model import S3Uri
from rolerunner.selection.manifest import ManifestWriter, ObjectList
from rolerunner.storage.object_lines import ItemBlocks, ListedBlock, MakeItems, OutcomeBlock
from rolerunner.storage.protocol import ObjectInfo, Storage


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


def add_listed(
    listed: Union[ObjectInfo, ListedBlock], manifest: ManifestWriter
) -> Optional[ObjectInfo]:
    """Adds an object or a block; returns the object of it that was modified last."""
    if isinstance(listed, ListedBlock):
        manifest.add_listed_block(listed)
        return listed.latest
    manifest.add_object(listed)
    return listed


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
