"""The copies that s3.copy requests: which object goes where, and which are skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Optional, Union

from rolerunner.actions.base import StepContext
from rolerunner.actions.deletion_limits import DeletionLimits
from rolerunner.actions.existing_objects import LOOKS, NEVER_OVERWRITES, require_same
from rolerunner.actions.extra_objects import find_extra_objects
from rolerunner.actions.name_store import NameStore
from rolerunner.actions.object_names import is_folder_marker
from rolerunner.actions.source_objects import SourceObjects
from rolerunner.errors import AccessDenied, StepError, UnsafeKey
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.selection.filters import Selection
from rolerunner.selection.manifest import EMPTY_LIST, ObjectList
from rolerunner.selection.names import NameSet
from rolerunner.selection.target_index import TargetIndex
from rolerunner.spec.field_types import check_key
from rolerunner.storage import upload_journal
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome, Storage, make_skipped_copy

if TYPE_CHECKING:
    from rolerunner.actions.builtin.s3_copy import S3Copy
    from rolerunner.storage.compression import Compression
    from rolerunner.storage.upload_journal import UploadJournal


@dataclass(frozen=True)
class CopyTemplate:
    """The settings that all copies of a step share; can be sent to other machines."""

    objects: ObjectList
    place: S3Uri
    options: Mapping[str, Any]
    multipart_above: int
    part_size: int
    is_retry: bool
    compression: Optional[Compression]
    keep_times: bool
    journal: Optional[UploadJournal] = None
    """None in a worker, since the state is kept on the machine of the run."""

    def make(
        self,
        uri: S3Uri,
        target: S3Uri,
        info: ObjectInfo,
        skip: Optional[Callable[[], bool]] = None,
        there: Optional[ObjectInfo] = None,
    ) -> Copy:
        """Returns the copy of an object."""
        # an incomplete ETag would be no condition: the engine then asks for the object's own
        return Copy(
            uri,
            target,
            info if info.etag else None,
            self.options,
            self.multipart_above,
            self.part_size,
            skip,
            self.is_retry,
            there,
            self.compression,
            self.keep_times,
            self.journal if info.size >= upload_journal.RESUMABLE_BYTES else None,
        )

    def __call__(self, infos: Iterable[ObjectInfo]) -> Iterator[Copy]:
        """Yields the copies of objects to the same names under the target."""
        objects, place = self.objects, self.place
        for info in infos:
            if not info.deleted:
                yield self.make(objects.uri(info), place.join(objects.relative(info)), info)


class CopyItems:
    """The copies of a step, generated as the engine consumes them."""

    def __init__(
        self,
        action: S3Copy,
        gathered: SourceObjects,
        source: Storage,
        target: Storage,
        context: StepContext,
        journal: Optional[UploadJournal] = None,
    ) -> None:
        self.action = action
        self.cancel = context.cancel
        self.objects = gathered.objects
        self.target = target
        self.refused = gathered.refused
        self.is_retry = context.is_retry
        self.compression = action.compression()
        # a compressed copy cannot be compared with its source, and is made again
        self.lenient = (
            context.is_resumed and action.if_exists == "overwrite" and self.compression is None
        )
        # earlier copies are recognised by content, because a move deletes the source of each
        self.is_same = TargetComparison(
            "checksum" if self.lenient else action.compare, source, target, self.lenient
        )
        self.if_exists = "skip_same" if self.lenient else action.if_exists
        self.options = {
            **action.compression_options(),
            **action.put_options(),
            **({"IfNoneMatch": "*"} if self.if_exists in NEVER_OVERWRITES else {}),
        }
        self.place = action.place()
        self.namer = action.namer()
        self._names = NameStore(self.namer)
        self.template = CopyTemplate(
            self.objects,
            self.place,
            self.options,
            action.multipart_above,
            action.part_size,
            self.is_retry,
            self.compression,
            action.keep_times,
            journal,
        )

    def __iter__(self) -> Iterator[Union[Copy, Outcome]]:
        yield from self.refused
        looks = self.if_exists in LOOKS
        existing = (
            TargetIndex(
                self.target, self.place, self.objects.count, self.cancel, lenient=self.lenient
            )
            if looks
            else None
        )
        for info, target in self._find_targets():
            uri = self.objects.uri(info)
            try:
                if isinstance(target, StepError):
                    raise target
                there = existing.find(target) if existing is not None else None
            except StepError as error:
                yield Outcome(uri, status="failed", error=error)
                continue
            if there is not None and self.if_exists == "skip":
                yield Outcome(
                    target, info.size, etag=there.etag, status="skipped"
                )  # without its source, which no move may delete
                continue
            if there is None:
                yield self.template.make(uri, target, info)
                continue
            skip = partial(self.is_same, uri, info, target, there)
            if self.if_exists == "fail_different":
                skip = partial(require_same, skip, target)
            copy = self.template.make(uri, target, info, skip, there)
            is_same = self.is_same.decide(info, there)
            yield make_skipped_copy(copy, info) if is_same else copy

    def __length_hint__(self) -> int:
        return self.objects.count + len(self.refused)

    @property
    def can_be_made_elsewhere(self) -> bool:
        """True if a worker can make each copy from its object alone."""
        return (
            self.place.is_prefix
            and self.compression is None
            and not self.namer.renames
            and self.if_exists in ("overwrite", "fail")
        )

    def targets(self) -> Iterator[tuple[ObjectInfo, S3Uri]]:
        """Yields each object that can have a target, with its target."""
        for info, target in self._find_targets():
            if not isinstance(target, StepError):
                yield info, target

    def _find_targets(self) -> Iterator[tuple[ObjectInfo, Union[S3Uri, StepError]]]:
        """Yields each object with its target, or with the reason why it has none."""
        place, objects = self.place, self.objects
        renames, name_of = self.namer.renames, self._names.begin_pass()
        compressed_target = partial(
            self.action.compressed_target,
            is_named=not place.is_prefix or self.action.name is not None,
        )
        number = 0
        for info in objects:
            if info.deleted or (renames and is_folder_marker(info.key, info.size)):
                continue
            number += 1
            if not place.is_prefix:
                yield info, compressed_target(place)
                continue
            relative = objects.relative(info)
            if not renames:
                yield info, compressed_target(place.join(relative))
                continue
            try:
                name = name_of(info.key, relative, info.size, info.modified, number)
                yield info, check_target(compressed_target(place.join(name)), info.key)
            except StepError as error:
                yield info, error


def check_target(target: S3Uri, origin: str) -> S3Uri:
    """Returns the target of a renamed object. Raises UnsafeKey if S3 cannot have such a key."""
    try:
        check_key(target)
    except ValueError as error:
        raise UnsafeKey(f"the name of {origin} {error}") from None
    return target


class CopyMirror:
    """The target of a copy with ``delete_extra``: it keeps what any object of the source is there.

    Filters do not remove an object from the source, so ``add_left_out`` takes what they leave out.
    """

    def __init__(self, action: S3Copy, context: StepContext) -> None:
        self._action = action
        self._context = context
        self._place = action.place()
        self._namer = action.namer()
        self._kept = NameSet()

    def add_left_out(self, info: ObjectInfo, relative: str) -> None:
        """Adds an object that the filters leave out."""
        try:
            name = self._namer.name(info.key, relative, info.size, info.modified, 0)
        except UnsafeKey:  # no run stores it
            return
        self._kept.add(self._place.join(name).key)

    def find_extra(self, copies: CopyItems, limits: DeletionLimits) -> ObjectList:
        """Lists what the source does not have. Raises StepError if it is beyond the limits."""
        if not self._action.delete_extra:
            return EMPTY_LIST
        for _, uri in copies.targets():
            self._kept.add(uri.key)
        return find_extra_objects(
            self._place,
            lambda key, _: key in self._kept,
            # the globs are about names at the source, which are others at the target
            Selection() if self._namer.renames else self._action.selection(),
            limits,
            copies.target,
            self._context,
        )


@dataclass(frozen=True)
class TargetComparison:
    """Compares a target with its source as ``compare`` says; can be sent to other machines."""

    compare: str
    source: Storage
    target: Storage
    lenient: bool

    def decide(self, info: ObjectInfo, there: ObjectInfo) -> Optional[bool]:
        """Returns whether the target holds the source's content; None if HEADs have to tell."""
        if self.compare == "mtime":
            return there.modified >= info.modified
        if info.size != there.size:
            return False
        if self.compare == "size":
            return True
        if self.compare == "size_mtime":
            return there.modified >= info.modified
        if info.etag and info.etag == there.etag:
            return True
        return None if self.compare == "checksum" else False

    def __call__(self, uri: S3Uri, info: ObjectInfo, target: S3Uri, there: ObjectInfo) -> bool:
        """Returns True if the target already holds the source's content."""
        decided = self.decide(info, there)
        if decided is not None:
            return decided
        try:
            return _has_same_checksum(self.source.head(uri, info.version), self.target.head(target))
        except AccessDenied:
            if self.lenient:
                return False
            raise


def _has_same_checksum(one: ObjectInfo, other: ObjectInfo) -> bool:
    return bool(one.checksum) and one.checksum == other.checksum
