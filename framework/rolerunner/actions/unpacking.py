"""Unpacks archives into objects: which member becomes which object, and which are refused."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Optional, Union

from rolerunner.actions.archive_formats import FORMATS, find_format, find_name_problem
from rolerunner.actions.archive_reading import PackedArchive, PackedMember
from rolerunner.actions.targets import claim_names
from rolerunner.actions.upload_items import guess_content_type
from rolerunner.errors import StepError, UnsafeKey
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.selection.collisions import find_collision
from rolerunner.selection.names import NameSet
from rolerunner.selection.target_index import TargetIndex
from rolerunner.storage.decompression import DecompressionBounds
from rolerunner.storage.integrity import has_checksum
from rolerunner.storage.protocol import ObjectInfo, Outcome, Storage, Store

if TYPE_CHECKING:
    from rolerunner.actions.base import StepContext
    from rolerunner.actions.builtin.s3_unpack import S3Unpack
    from rolerunner.actions.source_objects import SourceObjects

_MANY = 1000
"""Objects that are expected at the target, so that it is looked up by a listing."""


@dataclass(frozen=True)
class _Chosen:
    """A member that is unpacked to ``target``."""

    member: PackedMember
    archive: PackedArchive
    target: S3Uri

    def __str__(self) -> str:
        return f"the member {self.member.name!r} of {self.archive.uri}"


class Unpacking:
    """The members of a step's archives, read one after the other."""

    def __init__(
        self,
        action: S3Unpack,
        gathered: SourceObjects,
        source: Storage,
        target: Storage,
        context: StepContext,
    ) -> None:
        self._action = action
        self._objects = gathered.objects
        self._refused = gathered.refused
        self._source = source
        self._target = target
        self._context = context
        self._selection = action.selection()
        self._lenient = context.is_resumed and action.if_exists == "overwrite"
        self._if_exists = "skip_same" if self._lenient else action.if_exists
        self._compare = "checksum" if self._lenient else action.compare
        self._archives = self._find_archives_in_target()

    def _find_archives_in_target(self) -> NameSet:
        """Returns the keys of the archives that lie below the target, where a member may be one."""
        place, found = self._action.target.as_folder(), NameSet()
        for info in self._objects:
            uri = self._objects.uri(info)
            if uri.bucket == place.bucket and uri.key.startswith(place.key):
                found.add(uri.key)
        return found

    def check(self) -> None:
        """Reads all archives once. Raises StepError, before anything is stored, for any mistake."""
        failures: list[StepError] = []

        def names() -> Iterator[tuple[str, str]]:
            failures.clear()
            for each in self._members():
                if isinstance(each, Outcome):
                    if each.error is not None:
                        failures.append(each.error)
                        self._stop_if_too_many(failures)
                    continue
                yield str(each.target), str(each)

        found = find_collision(names)
        if found is not None:
            raise _same_name_error(found.name, str(found.one), str(found.other), "nothing")

    def _stop_if_too_many(self, failures: list[StepError]) -> None:
        limit = self._action.max_failures
        if isinstance(limit, int) and len(failures) > limit:
            first = failures[0]
            raise StepError(
                f"{first.message}; nothing was unpacked", hint=first.hint, type=first.type
            )

    def __iter__(self) -> Iterator[Union[Store, Outcome]]:
        yield from self._refused
        existing = (
            TargetIndex(
                self._target,
                self._action.target,
                _MANY,
                self._context.cancel,
                lenient=self._lenient,
            )
            if self._if_exists in ("skip", "skip_same")
            else None
        )
        seen = NameSet(folds=False)
        for each in self._members(drain=False):
            if isinstance(each, Outcome):
                yield each
            elif each.target.key in seen:
                error = _same_name_error(str(each.target), str(each), "an earlier one", "")
                yield Outcome(each.target, status="failed", error=error)
            else:
                if not self._action.check_first:
                    seen.add(each.target.key)
                yield self._claim_and_plan(each, existing)

    def _claim_and_plan(
        self, chosen: _Chosen, existing: Optional[TargetIndex]
    ) -> Union[Store, Outcome]:
        try:
            claim_names([(str(chosen.target), str(chosen))], self._context)
        except UnsafeKey as error:
            return Outcome(chosen.target, status="failed", error=error)
        return self._plan(chosen, existing)

    def _plan(self, chosen: _Chosen, existing: Optional[TargetIndex]) -> Union[Store, Outcome]:
        target, member = chosen.target, chosen.member
        try:
            there = existing.find(target) if existing is not None else None
        except StepError as error:
            return Outcome(target, status="failed", error=error)
        if there is not None and self._if_exists == "skip":
            return Outcome(target, there.size, etag=there.etag, status="skipped")
        options = {
            "ContentType": guess_content_type(member.name),
            **self._action.put_options(),
            **({"IfNoneMatch": "*"} if self._if_exists == "fail" else {}),
        }
        skip = None if there is None else partial(self._is_same, target, there, member.size)
        return Store(
            target,
            member.size,
            member.blocks,
            options,
            skip,
            chosen.archive.uri,
            self._context.is_retry,
        )

    def _is_same(
        self, target: S3Uri, there: ObjectInfo, size: int, content: Optional[bytes]
    ) -> bool:
        """Returns True if the object there has the member's content, as far as that is known."""
        if there.size != size:
            return False
        if self._compare == "size":
            return True
        if content is None:  # larger than what is held: it is stored again
            return False
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return there.etag == digest or has_checksum(content, self._target.head(target).checksum)

    def _members(self, *, drain: bool = True) -> Iterator[Union[_Chosen, Outcome]]:
        """Yields the selected members of all archives; ``drain`` reads their content."""
        for info in self._objects:
            uri = self._objects.uri(info)
            if info.deleted or (info.key.endswith("/") and not info.size):
                continue
            try:
                yield from self._members_of(uri, info, drain=drain)
            except StepError as error:
                self._context.cancel.stop_if_set()
                yield Outcome(uri, status="failed", error=error)

    def _members_of(
        self, uri: S3Uri, info: ObjectInfo, *, drain: bool
    ) -> Iterator[Union[_Chosen, Outcome]]:
        action = self._action
        name = action.format or find_format(uri.key)
        if name is None:
            raise StepError(
                f"{uri}: its suffix names no format of archives",
                hint=f"set 'format': {', '.join(FORMATS)}",
                type="NotAnArchive",
            )
        archive = PackedArchive(uri, info, FORMATS[name], self._source, self._context.cancel)
        bounds = DecompressionBounds(str(uri), action.max_bytes, action.max_ratio)
        with closing(archive.members(bounds)) as members:
            for member in members:
                chosen = self._choose(archive, member)
                if chosen is None:
                    continue
                yield chosen
                if drain and isinstance(chosen, _Chosen):
                    deque(member.blocks, maxlen=0)

    def _choose(
        self, archive: PackedArchive, member: PackedMember
    ) -> Union[_Chosen, Outcome, None]:
        """Returns a member with its target, why it is refused, or None if it is left out."""
        name = member.name
        while name.startswith("./"):  # as 'tar c .' names them
            name = name[2:]
        selection = self._selection
        if not (selection.selects_everything or selection(name, member.size, member.modified)):
            return None
        subject = f"the member {member.name!r} of {archive.uri}"
        if member.special:
            return self._refuse_special(archive, member.special, subject)
        problem = find_name_problem(name)
        target = self._action.target.join(name) if not problem else archive.uri
        problem = problem or find_name_problem(target.key.lstrip("/"))
        if problem:
            return _refuse_archive(
                archive.uri,
                UnsafeKey(
                    f"{subject}: its name {problem}, so it could leave {self._action.target}",
                    hint="leave it out with 'exclude', if the others are wanted",
                ),
            )
        if target.key in self._archives:
            what = "the archive itself" if target == archive.uri else f"the archive {target}"
            error = StepError(
                f"{subject} would overwrite {what}",
                hint="name a target apart from the archives",
                type="TargetInSource",
            )
            return _refuse_archive(archive.uri, error)
        return _Chosen(member, archive, target)

    def _refuse_special(
        self, archive: PackedArchive, special: str, subject: str
    ) -> Optional[Outcome]:
        if self._action.special == "skip":
            self._context.note("info", f"{subject} is {special}, and left out", {})
            return None
        hint = "set 'special: skip' to leave such members out"
        return _refuse_archive(
            archive.uri, StepError(f"{subject} is {special}", hint=hint, type="NotAFile")
        )


def _refuse_archive(archive: S3Uri, error: StepError) -> Outcome:
    return Outcome(archive, status="failed", error=error)


def _same_name_error(target: str, one: str, other: str, what: str) -> UnsafeKey:
    hint = f"{what} was unpacked; " if what else ""
    return UnsafeKey(
        f"{one} and {other} would both be {target}",
        hint=f"{hint}leave one out with 'exclude', or unpack them to different targets",
        type="SameName",
    )
