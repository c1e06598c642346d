"""The objects that a step works on, listed in full before any of them is touched."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Optional, Union

from rolerunner.actions.base import StepContext
from rolerunner.actions.blocks import (
    add_listed,
    batch_listed,
    batch_objects,
    count_staged,
    list_blocks,
)
from rolerunner.common.wording import format_count
from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.selection.filters import Selection
from rolerunner.selection.manifest import ManifestWriter, ObjectList
from rolerunner.selection.past_versions import select_past_objects
from rolerunner.storage.object_lines import ListedBlock
from rolerunner.storage.protocol import ObjectInfo, Outcome, Storage

OnLeftOut = Callable[[ObjectInfo, str], None]
"""Takes an object and its key relative to the source."""
_LOOKED_UP_AT_ONCE = 5_000
"""Objects of a list whose HEADs are answered before the next are sent."""
_MAX_REFUSED = 10_000
"""Objects that cannot be looked up, of which each is kept in memory until it is reported."""


def check_one_source(source: Optional[S3Uri], objects: Any, action: str) -> None:
    """Raises ValueError unless exactly one of the two is given."""
    if (source is None) == (objects is None):
        raise ValueError(f"'{action}' takes either 'source' or 'objects'")


@dataclass(frozen=True)
class SourceObjects:
    """The objects of a step, listed in full first; ``refused`` could not be looked up."""

    objects: ObjectList
    refused: tuple[Outcome, ...] = ()

    @property
    def total(self) -> int:
        """Number of objects, including the refused ones."""
        return self.objects.count + len(self.refused)

    def summary(self) -> Mapping[str, Any]:
        """Returns count and bytes, and how many objects could not be looked up and why."""
        first = self.refused[0].error if self.refused else None
        refused = (
            {
                "refused": f"{format_count(len(self.refused), 'object')},"
                f" the first since {first.message}"
            }
            if first is not None
            else {}
        )
        return {"count": self.total, "bytes": self.objects.bytes, **refused}


def collect_source(
    source: Optional[S3Uri],
    objects: Any,
    chosen: Selection,
    storage: Storage,
    context: StepContext,
    *,
    versions: bool = False,
    version: str = "",
    as_of: str = "",
    looks_up: bool = True,
    on_left_out: Optional[OnLeftOut] = None,
) -> SourceObjects:
    """Lists the selected objects to disk. Raises StepError if the listing is not complete.

    ``version`` is that of the single object, and ``as_of`` the moment whose objects are taken.
    ``looks_up`` is False if the keys of a list from a file suffice, without sizes and ETags.
    ``on_left_out`` is called with each object that the filters leave out.
    """
    is_bare = isinstance(objects, ObjectList) and objects.is_bare and looks_up
    if isinstance(objects, ObjectList) and chosen.selects_everything and not is_bare:
        return SourceObjects(objects)
    prefix = (
        source
        if source is not None
        else objects.prefix
        if isinstance(objects, ObjectList)
        else _find_common_prefix(objects)
    )
    flat = objects.flat if isinstance(objects, ObjectList) else objects is not None
    refused: list[Outcome] = []
    found: Iterator[ObjectInfo]
    if isinstance(objects, ObjectList) and is_bare:
        found = _look_up_objects(objects, storage, context, refused)
    elif source is not None and version:
        found = iter([storage.head(source, version)])
    elif source is not None and as_of:
        found = _read_past_objects(source, storage, context, as_of)
    else:
        found = _read_source_objects(source, objects, storage, context, refused, versions=versions)
    if source is not None and (source.is_prefix and chosen.selects_everything and not as_of):
        blocks = list_blocks(storage, source, context, versions=versions)
        if blocks is not None:
            return _store_blocks(blocks, source, context)
    with context.manifest(".source") as manifest:
        listed = manifest.objects(prefix, flat=flat)
        all_are_meant = chosen.selects_everything
        for some in batch_objects(found):
            if all_are_meant:
                manifest.add_objects(some)
            else:
                _store_chosen(some, chosen, listed, manifest, on_left_out)
            context.cancel.stop_if_set()
    return SourceObjects(manifest.objects(prefix, flat=flat), tuple(refused))


def _store_chosen(
    infos: Sequence[ObjectInfo],
    chosen: Selection,
    listed: ObjectList,
    manifest: ManifestWriter,
    on_left_out: Optional[OnLeftOut],
) -> None:
    for info in infos:
        if chosen(listed.relative(info), info.size, info.modified):
            manifest.add_object(info)
        elif on_left_out is not None and not info.deleted:
            on_left_out(info, listed.relative(info))


def _store_blocks(
    blocks: Iterator[Union[ObjectInfo, ListedBlock]], prefix: S3Uri, context: StepContext
) -> SourceObjects:
    with context.manifest(".source") as manifest:
        for each in batch_listed(blocks):
            add_listed(each, manifest)
            context.cancel.stop_if_set()
    return SourceObjects(manifest.objects(prefix))


def _read_source_objects(
    source: Optional[S3Uri],
    objects: Any,
    storage: Storage,
    context: StepContext,
    refused: list[Outcome],
    *,
    versions: bool,
) -> Iterator[Any]:
    if isinstance(objects, ObjectList):
        yield from objects
    elif source is not None and (source.is_prefix or versions):
        listed = storage.list(source, versions=versions, cancel=context.cancel)
        yield from (
            listed if source.is_prefix else (info for info in listed if info.key == source.key)
        )
    else:
        wanted = list(dict.fromkeys([source] if source is not None else objects))
        bucket = _find_common_prefix(wanted).bucket
        outcomes = {outcome.uri: outcome for outcome in storage.head_many(wanted, context.cancel)}
        for uri in wanted:
            outcome = outcomes[uri]
            if outcome.info is None:
                refused.append(outcome)
            else:
                yield replace(outcome.info, bucket="" if uri.bucket == bucket else uri.bucket)


def _read_past_objects(
    source: S3Uri, storage: Storage, context: StepContext, as_of: str
) -> Iterator[ObjectInfo]:
    """Yields the objects under a prefix, or the one object, as they were at a moment."""
    listed = storage.list(source, versions=True, cancel=context.cancel)
    wanted = listed if source.is_prefix else (info for info in listed if info.key == source.key)
    return select_past_objects(wanted, as_of, source)


def _look_up_objects(
    objects: ObjectList, storage: Storage, context: StepContext, refused: list[Outcome]
) -> Iterator[ObjectInfo]:
    """Yields the objects of a list of keys as S3 reports them now, without their versions."""
    rest = iter(objects)
    size = count_staged(storage, context, _LOOKED_UP_AT_ONCE)
    for batch in iter(lambda: list(islice(rest, size)), []):
        outcomes = {
            outcome.uri: outcome
            for outcome in storage.head_many(map(objects.uri, batch), context.cancel)
        }
        for listed in batch:
            outcome = outcomes[objects.uri(listed)]
            if outcome.info is None:
                refused.append(outcome)
            else:
                yield replace(outcome.info, version="", bucket=listed.bucket)
        if len(refused) > _MAX_REFUSED:
            raise _too_many_refused_error(refused)


def _too_many_refused_error(refused: Sequence[Outcome]) -> StepError:
    error = refused[0].error
    reason = f"; the first: {error.message}" if error is not None else ""
    return StepError(
        f"more than {_MAX_REFUSED:,} of the listed objects cannot be read{reason}",
        hint=error.hint if error is not None else "",
        type=error.type if error is not None else "",
    )


def _find_common_prefix(uris: Sequence[S3Uri]) -> S3Uri:
    """Returns the folder of a single object, or the bucket of the first of several."""
    if not uris:
        return S3Uri("none")
    return S3Uri(
        uris[0].bucket, uris[0].key[: uris[0].key.rfind("/") + 1] if len(uris) == 1 else ""
    )
