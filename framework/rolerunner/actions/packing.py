"""Packs objects into archives: which object goes into which archive, and under which name."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.actions.archive_formats import (
    FORMATS,
    archive_pattern,
    check_member_name,
    number_archive,
)
from rolerunner.actions.archive_writing import Member, bound_size, open_archive
from rolerunner.errors import AccessDenied, NotFound, StepError, UnsafeKey
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.selection.collisions import find_collision
from rolerunner.storage.protocol import ObjectInfo, Outcome

if TYPE_CHECKING:
    from rolerunner.actions.base import StepContext
    from rolerunner.actions.builtin.s3_pack import S3Pack
    from rolerunner.actions.source_objects import SourceObjects
    from rolerunner.selection.manifest import ManifestWriter
    from rolerunner.storage.protocol import ObjectBlock, Storage, UploadStream

CONTENT_KEY = "rolerunner-content"
"""The user metadata of an archive that holds the digest of what was packed."""


@dataclass(frozen=True)
class PlannedArchive:
    """An archive before it is written: the next ``count`` objects of the list."""

    target: S3Uri
    count: int
    bytes: int
    names: int
    """Bytes of all names."""
    digest: str
    """Digest of the members' keys, sizes, ETags and names, in their order."""


def is_archive_of(uri: S3Uri, target: S3Uri, max_archive_size: Optional[int]) -> bool:
    """Returns True if an object is, or would be, one of the archives of a target."""
    if uri.bucket != target.bucket:
        return False
    if max_archive_size is None:
        return uri.key == target.key
    before, _, after = archive_pattern(target).key.rpartition("*")
    number = uri.key[len(before) : len(uri.key) - len(after)]
    return uri.key.startswith(before) and uri.key.endswith(after) and number.isdigit()


def own_archive_error(uri: S3Uri) -> StepError:
    """Returns the error of an archive that would be packed into itself."""
    return StepError(
        f"{uri} is an archive of this step, and among the objects to pack",
        hint="nothing was packed; name a target apart from the source, or leave it out"
        " with 'exclude'",
        type="TargetInSource",
    )


def _describe_member(info: ObjectInfo, name: str) -> bytes:
    return f"{info.key}\0{info.size}\0{info.etag}\0{name}\0".encode("utf-8", "surrogatepass")


class Packing:
    """The archives of a step, written one after the other."""

    def __init__(
        self,
        action: S3Pack,
        gathered: SourceObjects,
        source: Storage,
        target: Storage,
        context: StepContext,
    ) -> None:
        self.action = action
        self.objects = gathered.objects
        self.refused = gathered.refused
        self._total = gathered.total
        self._source = source
        self._target = target
        self._context = context
        self._format = FORMATS[action.format_name()]
        self._failed = 0
        self._lenient = context.is_resumed and action.if_exists == "overwrite"
        self._if_exists = "skip_same" if self._lenient else action.if_exists

    def members(self) -> Iterator[tuple[ObjectInfo, str]]:
        """Yields each object with its name; folder markers and delete markers are left out."""
        for info in self.objects:
            if not (info.deleted or (info.key.endswith("/") and info.size == 0)):
                yield info, self.objects.relative(info)

    def check_names(self) -> None:
        """Raises UnsafeKey, before anything is stored, if names are unsafe or shared."""
        for info, name in self.members():
            uri = self.objects.uri(info)
            check_member_name(name, str(uri))
            if is_archive_of(uri, self.action.target, self.action.max_archive_size):
                raise own_archive_error(uri)
        if self.objects.ascending and not self.objects.flat:
            return
        found = find_collision(lambda: ((name, info) for info, name in self.members()))
        if found is not None:
            one, other = (self.objects.uri(info) for info in (found.one, found.other))
            raise UnsafeKey(
                f"{one} and {other} would both be the member {found.name}",
                hint="nothing was packed; pack them in separate steps, into different archives",
                type="SameName",
            )

    def plan(self) -> Iterator[PlannedArchive]:
        """Yields the archives in their order, as 'max_archive_size' divides the objects."""
        limit = self.action.max_archive_size
        number, count, size, names = 1, 0, 0, 0
        digest = self._new_digest()
        for info, name in self.members():
            if limit is not None and count and size + info.size > limit:
                yield PlannedArchive(self._place(number), count, size, names, digest.hexdigest())
                number, count, size, names = number + 1, 0, 0, 0
                digest = self._new_digest()
            digest.update(_describe_member(info, name))
            count, size, names = count + 1, size + info.size, names + len(name.encode())
        if count:
            yield PlannedArchive(self._place(number), count, size, names, digest.hexdigest())

    def _new_digest(self) -> Any:
        described = json.dumps([self.action.format_name(), self.action.level])
        return hashlib.sha256(described.encode())

    def _place(self, number: int) -> S3Uri:
        target = self.action.target
        return target if self.action.max_archive_size is None else number_archive(target, number)

    def pack(self, archives: ManifestWriter) -> Iterator[Outcome]:
        """Writes the archives to ``archives``; yields an outcome for each object."""
        yield from self.refused
        if self._count_failures(len(self.refused)):
            return  # the recorded failures end the step before an archive is written
        written, reported = self.members(), self.members()
        for planned in self.plan():
            members, ended = islice(written, planned.count), islice(reported, planned.count)
            failed: dict[str, StepError] = {}
            there = self._find_archive(planned)
            archives.add_object(there or self._write(planned, members, failed))
            deque(members, maxlen=0)  # those of an archive that is kept
            status = "skipped" if there is not None else "done"
            yield from self._outcomes(planned, ended, failed, status)

    def _find_archive(self, planned: PlannedArchive) -> Optional[ObjectInfo]:
        """Returns the archive that exists already, if it is to be kept. Raises StepError."""
        if self._if_exists not in ("skip", "skip_same"):
            return None
        try:
            info, options = self._target.describe(planned.target, "", tags=False)
        except NotFound:
            return None
        except AccessDenied:
            if self._lenient:
                return None
            raise
        metadata: Mapping[str, str] = options.get("Metadata", {})
        is_same = metadata.get(CONTENT_KEY) == planned.digest
        return info if self._if_exists == "skip" or is_same else None

    def _write(
        self,
        planned: PlannedArchive,
        members: Iterator[tuple[ObjectInfo, str]],
        failed: dict[str, StepError],
    ) -> ObjectInfo:
        size = bound_size(planned.count, planned.bytes, planned.names)
        # an archive that may lack members is never taken for the same
        is_complete = self.action.may_fail(self._total) == 0
        options = self.action.archive_options(planned.digest if is_complete else "")
        if self._if_exists == "fail":
            options["IfNoneMatch"] = "*"
        with self._target.open_upload(
            planned.target,
            options,
            size,
            self._context.cancel,
            repeated=self._context.is_retry,
        ) as stream:
            self._write_members(stream, members, failed)
            if len(failed) == planned.count:
                raise next(iter(failed.values()))
        assert stream.info is not None  # noqa: S101 - it is stored
        return stream.info

    def _write_members(
        self,
        stream: UploadStream,
        members: Iterator[tuple[ObjectInfo, str]],
        failed: dict[str, StepError],
    ) -> None:
        names: dict[int, str] = {}

        def items() -> Iterator[tuple[S3Uri, ObjectInfo]]:
            for info, name in members:
                names[id(info)] = name
                yield self.objects.uri(info), info

        folder, cancel = self._context.workdir, self._context.cancel
        with (
            closing(self._source.read_in_order(items(), cancel)) as blocks,
            open_archive(self._format, stream, self.action.level, folder) as archive,
        ):
            for block in blocks:
                if block.error is not None:
                    names.pop(id(block.info), None)
                    self._handle_failure(block, failed)
                    continue
                if block.start == 0:
                    name = names[id(block.info)]
                    archive.begin(Member(name, block.info.size, block.info.modified))
                archive.write(block.data)
                if block.is_last:
                    archive.end()
                    del names[id(block.info)]

    def _handle_failure(self, block: ObjectBlock, failed: dict[str, StepError]) -> None:
        """Records a failed object. Raises its error if too many failed, or in its middle."""
        error = block.error
        assert error is not None  # noqa: S101 - it is a failed one
        if block.start:
            message = f"{block.uri}: failed in the middle of the archive: {error.message}"
            raise StepError(message, hint=error.hint, type=error.type)
        failed[str(block.uri)] = error
        if self._count_failures(1):
            raise error

    def _count_failures(self, count: int) -> bool:
        """Counts failures; returns True if there are more than may be."""
        self._failed += count
        return self._failed > self.action.may_fail(self._total)

    def _outcomes(
        self,
        planned: PlannedArchive,
        members: Iterator[tuple[ObjectInfo, str]],
        failed: Mapping[str, StepError],
        status: str,
    ) -> Iterator[Outcome]:
        """Yields the outcomes of an archive's members, now that it is stored."""
        for info, name in members:
            uri = self.objects.uri(info)
            error = failed.get(str(uri))
            path = f"{planned.target}/{name}"
            if error is not None:
                yield Outcome(uri, path=path, status="failed", error=error)
            else:
                yield Outcome(uri, info.size, path, info.etag, info.version, status=status)
