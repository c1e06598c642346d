"""Keeps what a step overwrites or deletes: copied to a backup first, or left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Optional, Union

from rolerunner.actions.base import StepContext
from rolerunner.actions.blocks import count_staged
from rolerunner.actions.targets import is_access_point
from rolerunner.errors import NotFound, StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import Copy, Get, ObjectInfo, Outcome, Put, Storage

Item = Union[Copy, Put, Outcome]
Transfer = Callable[[Iterable[Any]], Iterator[Outcome]]
_EXISTS = "AlreadyThere"
"""The type of the error of a conditional write that finds another object."""
_BATCH = 500
"""Objects whose backups are complete before the first of them is overwritten."""


@dataclass(frozen=True)
class Backups:
    """The backup of one step: ``place`` holds what lay below ``within``.

    ``suffix`` is added to each name.
    """

    place: S3Uri
    within: S3Uri
    storage: Storage
    context: StepContext
    suffix: str = ""

    def place_of(self, relative: str) -> S3Uri:
        """Returns where an object is kept, by its name relative to ``within``."""
        return self.place.join(f"{relative}{self.suffix}")

    def transfer(self, items: Iterable[Item], run: Transfer) -> Iterator[Outcome]:
        """Runs copies or uploads, each batch after its backups.

        Each write carries the ETag of the object that was kept, or the condition that there is
        none, so that S3 refuses to overwrite what was written meanwhile.
        """
        for batch in split_batches(items, self._count_at_once()):
            yield from run(list(self._prepare(batch)))

    def delete(
        self, objects: Iterable[ObjectInfo], bucket: str, relative: Callable[[ObjectInfo], str]
    ) -> Iterator[Outcome]:
        """Deletes objects, each only after its backup and if it is still the object kept."""
        for batch in split_batches(objects, self._count_at_once()):
            by_uri = {S3Uri(each.bucket or bucket, each.key): each for each in batch}
            failed = self._keep({uri: (info, relative(info)) for uri, info in by_uri.items()})
            yield from failed.values()
            kept = [replace(each, version="") for uri, each in by_uri.items() if uri not in failed]
            yield from self.storage.delete(kept, bucket, self.context.cancel, unchanged=True)

    def _count_at_once(self) -> int:
        return count_staged(self.storage, self.context, _BATCH)

    def find_existing(self, items: Sequence[Item]) -> dict[S3Uri, S3Uri]:
        """Returns the objects that exist where items would write, and where they would be kept."""
        return {
            uri: self.place_of(self._relative(uri))
            for uri, head in self._look_up(items).items()
            if head.info is not None
        }

    def _look_up(self, items: Sequence[Item]) -> dict[S3Uri, Outcome]:
        writes = [
            each.target
            for each in items
            if not isinstance(each, Outcome) and "IfNoneMatch" not in each.options
        ]
        return {head.uri: head for head in self.storage.head_many(writes, self.context.cancel)}

    def _prepare(self, batch: Sequence[Item]) -> Iterator[Item]:
        """Yields the items of a batch, those whose backup failed as failures."""
        decided = [decide_skip(each) for each in batch]
        heads = self._look_up(decided)
        existing = {
            uri: (head.info, self._relative(uri))
            for uri, head in heads.items()
            if head.info is not None
        }
        failed = self._keep(existing)
        for item in decided:
            if isinstance(item, Outcome) or item.target not in heads:
                yield item
            elif item.target in failed:
                yield failed[item.target]
            else:
                yield _add_condition(item, heads[item.target])

    def _keep(self, objects: Mapping[S3Uri, tuple[ObjectInfo, str]]) -> dict[S3Uri, Outcome]:
        """Copies objects to the backup; returns those that were not kept, as failures."""
        places = {uri: self.place_of(relative) for uri, (_, relative) in objects.items()}
        found = {
            head.uri: head
            for head in self.storage.head_many(list(places.values()), self.context.cancel)
        }
        copies: dict[S3Uri, Copy] = {}
        failed: dict[S3Uri, Outcome] = {}
        for uri, (info, _) in objects.items():
            place = places[uri]
            error = _find_obstacle(uri, info, found[place])
            if error is not None:
                failed[uri] = _fail_kept(uri, place, error)
            elif found[place].info is None:
                copies[place] = _make_backup(uri, place, info)
        for outcome in self.storage.copy(list(copies.values()), self.context.cancel):
            if outcome.error is not None:
                uri = copies[outcome.uri].source
                failed[uri] = _fail_kept(uri, outcome.uri, outcome.error)
        return failed

    def _relative(self, uri: S3Uri) -> str:
        folder = self.within.key
        return uri.key[len(folder) :] if self.within.is_prefix else uri.name


def split_batches(items: Iterable[Any], size: int = _BATCH) -> Iterator[list[Any]]:
    """Yields the items in lists of those whose backups are made together."""
    rest = iter(items)
    return iter(lambda: list(islice(rest, size)), [])


def decide_skip(item: Any) -> Any:
    """Returns an item that is skipped as its outcome: what is right already is not kept."""
    if isinstance(item, Outcome) or item.skip is None:
        return item
    try:
        if not item.skip():
            return replace(item, skip=None)
    except StepError as error:
        uri = item.source if isinstance(item, Get) else item.target
        return Outcome(uri, status="failed", error=error)
    if isinstance(item, Put):
        return Outcome(item.target, 0, item.source, status="skipped")
    if isinstance(item, Get):
        return Outcome(
            item.source, item.info.size if item.info else 0, item.target, status="skipped"
        )
    return Outcome(
        item.target,
        item.info.size if item.info is not None else 0,
        etag=item.there.etag if item.there is not None else "",
        status="skipped",
        source=item.source,
        source_info=item.info,
    )


def _add_condition(item: Union[Copy, Put], head: Outcome) -> Item:
    """Returns the item so that it writes only over what was kept."""
    if head.info is not None:
        condition = {"IfMatch": f'"{head.info.etag}"'}
    elif isinstance(head.error, NotFound):
        condition = {"IfNoneMatch": "*"}
    else:
        return Outcome(item.target, status="failed", error=_unknown_error(item.target, head.error))
    return replace(item, options={**item.options, **condition})


def _find_obstacle(uri: S3Uri, info: ObjectInfo, place: Outcome) -> Optional[StepError]:
    """Returns why an object cannot be kept at a place; None if it can, or is there already."""
    there = place.info
    if place.uri == uri or (there is not None and _may_be_one(uri, info, place.uri, there)):
        return StepError("that is the object itself", hint="name another prefix", type="SameKey")
    if there is None:
        return None if isinstance(place.error, NotFound) else place.error
    if (there.size, there.etag) == (info.size, info.etag):
        return None
    return StepError("another object is there", type=_EXISTS)


def _may_be_one(uri: S3Uri, info: ObjectInfo, place: S3Uri, there: ObjectInfo) -> bool:
    """Returns True if two names of buckets, one of an access point, may show one object."""
    names_differ = uri.bucket != place.bucket
    if not names_differ or not (is_access_point(uri.bucket) or is_access_point(place.bucket)):
        return False
    return (there.etag, there.modified) == (info.etag, info.modified)


def _make_backup(uri: S3Uri, place: S3Uri, info: ObjectInfo) -> Copy:
    """Returns the copy to the backup, which servers that know the condition never overwrite."""
    known = replace(info, version="") if info.etag else None
    return Copy(uri, place, known, {"IfNoneMatch": "*"}, repeated=True)


def _fail_kept(uri: S3Uri, place: S3Uri, error: StepError) -> Outcome:
    if error.type == _EXISTS:
        failure = StepError(
            f"{uri} is left as it is: the backup {place} has another object",
            hint="put ${{ run.id }} into 'backup', so that no run overwrites another's",
            type="BackupExists",
        )
    else:
        message = f"{uri} is left as it is, since it could not be copied to {place}"
        failure = StepError(f"{message}: {error.message}", hint=error.hint, type=error.type)
    return Outcome(uri, status="failed", error=failure)


def _unknown_error(uri: S3Uri, error: Optional[StepError]) -> StepError:
    reason = error.message if error is not None else "no response"
    return StepError(
        f"{uri} is left as it is, since it could not be looked up for its backup: {reason}",
        hint=error.hint if error is not None else "",
        type=error.type if error is not None else "",
    )
