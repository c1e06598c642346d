"""The work of ``sftp.download``: which file becomes which object, and what is read when."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional, Union

from rolerunner.actions.archive_formats import find_name_problem
from rolerunner.actions.object_plans import ObjectPlan
from rolerunner.actions.places import resolve_target
from rolerunner.actions.sftp_moves import delete_copied_files
from rolerunner.actions.source_objects import SourceObjects
from rolerunner.actions.upload_items import guess_content_type
from rolerunner.errors import AccessDenied, StepError, UnsafeKey
from rolerunner.model import S3Uri
from rolerunner.selection.collisions import find_collision
from rolerunner.selection.target_index import TargetIndex
from rolerunner.sftp.listing import RemoteFile, RemoteListing, join_path
from rolerunner.sftp.names import encode_path, is_utf8, show_path
from rolerunner.sftp.reading import MIB, read_segments, read_whole
from rolerunner.sftp.sessions import wait_for
from rolerunner.spec.field_types import MAX_KEY
from rolerunner.storage.kept_times import MTIME, format_mtime, parse_mtime
from rolerunner.storage.protocol import ObjectInfo, Outcome, Storage, Store
from rolerunner.storage.sorting import sort_objects
from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from rolerunner.actions.base import StepContext
    from rolerunner.actions.builtin.sftp_download import SftpDownload
    from rolerunner.actions.object_plans import Report
    from rolerunner.sftp.sessions import SftpSessions

_SMALL = MIB
"""Bytes up to which a file is read whole, several at once; larger ones follow one another."""
_READ_AHEAD = 4
"""Files in flight for each session, so that sessions do not wait for S3."""
_NANOSECONDS = 1_000_000_000
_LISTED = S3Uri("sftp")
"""Stands for the source in lists, whose keys are relative to it."""


def list_files(action: SftpDownload, sessions: SftpSessions, context: StepContext) -> SourceObjects:
    """Lists the selected files to disk, in the order of their keys. Raises StepError."""
    selection = action.selection()
    listing = RemoteListing(sessions, action.source, action.symlinks, context.cancel)

    def select() -> Iterator[ObjectInfo]:
        count = 0
        for file in listing.list():
            info = file.as_info()
            if selection(file.relative, file.size, info.modified):
                _check_age_is_known(file, action)
                count += 1
                action.check_file_count(count)
                yield info

    with context.manifest(".source") as manifest:
        for info in sort_objects(select(), lambda each: encode_path(each.key)):
            manifest.add_object(info)
    if listing.left_out.counts:
        context.note("warning", f"{action.source}: {listing.left_out}", {})
    return SourceObjects(manifest.objects(_LISTED))


def _check_age_is_known(file: RemoteFile, action: SftpDownload) -> None:
    if file.mtime is None and (action.min_age or action.max_age):
        raise StepError(
            f"{show_path(file.path)}: the server does not report when the file was changed, so"
            " 'min_age' and 'max_age' cannot select it",
            hint="leave them out, and copy files that are not written any more",
            type="NoAttributes",
        )


class SftpDownloads:
    """The transfers of a step."""

    def __init__(
        self,
        action: SftpDownload,
        gathered: SourceObjects,
        sessions: SftpSessions,
        storages: tuple[Storage, Storage],
        context: StepContext,
    ) -> None:
        """``storages`` are S3 under the step's role, for small and for large objects."""
        self._action = action
        self._objects = gathered.objects
        self._sessions = sessions
        self._storage, self._storage_of_large = storages
        self._context = context
        self._lenient = context.is_resumed and action.if_exists == "overwrite"
        self.if_exists = "skip_same" if self._lenient else action.if_exists
        self._compare = "size_mtime" if self._lenient else action.compare
        self.place = resolve_target(action.target, to_folder=action.goes_to_folder())
        self._options = {
            **action.put_options(),
            **({"IfNoneMatch": "*"} if self.if_exists == "fail" else {}),
        }
        self._in_flight: dict[S3Uri, RemoteFile] = {}

    def check_targets(self) -> None:
        """Raises UnsafeKey, before anything is stored, if two files would be one object."""
        action, context = self._action, self._context

        def names() -> Iterator[tuple[str, str]]:
            for file, target in self.targets():
                if isinstance(target, S3Uri):
                    yield str(target), self._sessions.server.url(file.path)

        found = find_collision(names) if action.renames else None
        claims = action.move or action.renames
        if found is None and claims and context.target_claims is not None:
            found = context.target_claims.claim(str(context.workdir), names())
        if found is not None:
            raise UnsafeKey(
                f"{found.one} and {found.other} would both be {found.name}",
                hint="nothing was stored; store them in separate steps, to different targets",
                type="SameKey",
            )

    def targets(self) -> Iterator[tuple[RemoteFile, Union[S3Uri, StepError]]]:
        """Yields each file with its target, or with the reason why it cannot be stored."""
        namer = self._action.namer()
        is_folder = self._action.source.endswith("/")
        for number, info in enumerate(self._objects, 1):
            source = self._action.source
            path = join_path(source, info.key) if is_folder else source
            file = RemoteFile.from_info(path, info)
            try:
                name = namer.name(info.key, info.key, info.size, info.modified, number)
                yield file, self._place_object(path, name)
            except UnsafeKey as error:
                yield file, error

    def _place_object(self, path: str, name: str) -> S3Uri:
        place = self.place
        target = place.join(name) if place.is_prefix or self._action.renames else place
        if not is_utf8(target.key):
            raise UnsafeKey(
                f"{show_path(path)}: the name is not UTF-8, as keys must be",
                hint="rename it on the server, give it another 'name', or leave it out with"
                " 'exclude'",
            )
        problem = find_name_problem(name) or _find_length_problem(target.key)
        if problem:
            raise UnsafeKey(
                f"{show_path(path)}: the name {name!r} {problem}, so it cannot be a key below"
                f" {place}",
                hint="leave it out with 'exclude', or give it another 'name'",
            )
        return target

    def plan(self, report: Report) -> None:
        """Reports what would be stored and skipped."""
        then = "the file is deleted" if self._action.move else ""
        for item in self._plan():
            self._context.cancel.stop_if_set()
            if isinstance(item, Outcome):
                place = str(item.path or item.uri)
                reason = item.error.message if item.error is not None else "it exists"
                report(ObjectPlan("fail" if item.error is not None else "skip", place, reason))
                continue
            file, target, there = item
            url = self._sessions.server.url(file.path)
            if there is not None and self._is_same(file, target, there):
                report(ObjectPlan("skip", str(target), "it is the same", url, file.size, then=then))
            else:
                looked = self.if_exists in ("skip", "skip_same")
                reason = "it does not exist or differs" if looked else "it is stored in any case"
                report(ObjectPlan("send", str(target), reason, url, file.size, then=then))

    def transfer(self) -> Iterator[Outcome]:
        """Transfers the files; yields an outcome for each, and deletes those that are moved."""
        stored = map(self._describe, self._storage.store(self._items(), self._context.cancel))
        if not self._action.move:
            return stored
        return delete_copied_files(stored, self._sessions, self._storage, self._context.cancel)

    def _items(self) -> Iterator[Union[Store, Outcome]]:
        """Yields what is to be stored; the files behind it are being read already."""
        in_flight: deque[Future[Union[Store, Outcome]]] = deque()
        at_once = self._sessions.limit
        cancel = self._context.cancel
        with (
            ThreadPool(at_once, thread_name_prefix="rolerunner-sftp") as pool,
            ThreadPool(1, thread_name_prefix="rolerunner-sftp-large") as large_pool,
        ):
            try:
                for item in self._plan():
                    cancel.stop_if_set()
                    if isinstance(item, Outcome):
                        yield item
                        continue
                    file = item[0]
                    chosen = pool if file.size <= _SMALL else large_pool
                    in_flight.append(chosen.submit(self._fetch, *item))
                    while len(in_flight) > at_once * _READ_AHEAD:
                        yield wait_for(in_flight.popleft(), cancel)
                while in_flight:
                    yield wait_for(in_flight.popleft(), cancel)
            finally:
                for each in in_flight:
                    each.cancel()
                if in_flight:
                    self._sessions.close()  # ends what is still being read

    def _plan(self) -> Iterator[Union[tuple[RemoteFile, S3Uri, Optional[ObjectInfo]], Outcome]]:
        existing = (
            TargetIndex(
                self._storage,
                self.place,
                self._objects.count,
                self._context.cancel,
                lenient=self._lenient,
            )
            if self.if_exists in ("skip", "skip_same")
            else None
        )
        for file, target in self.targets():
            url = self._sessions.server.url(file.path)
            if isinstance(target, StepError):
                yield Outcome(self.place, path=url, status="failed", error=target)
                continue
            try:
                there = existing.find(target) if existing is not None else None
            except StepError as error:
                yield Outcome(target, path=url, status="failed", error=error)
                continue
            if there is not None and self.if_exists == "skip":
                yield Outcome(target, there.size, url, there.etag, status="skipped")
            else:
                yield file, target, there

    def _fetch(
        self, file: RemoteFile, target: S3Uri, there: Optional[ObjectInfo]
    ) -> Union[Store, Outcome]:
        """Returns what is to be stored of a file, or how it ended. Raises nothing of one file."""
        self._in_flight[target] = file
        try:
            if there is not None and self._is_same(file, target, there):
                return Outcome(target, file.size, etag=there.etag, status="skipped")
            if file.size > _SMALL:
                return self._stream(file, target)
            data = read_whole(self._sessions, file)
        except StepError as error:
            self._context.cancel.stop_if_set()
            return Outcome(target, status="failed", error=error)
        options, repeated = self._options_of(file), self._context.is_retry
        return Store(target, file.size, [data], options, repeated=repeated)

    def _stream(self, file: RemoteFile, target: S3Uri) -> Outcome:
        context = self._context
        with self._storage_of_large.open_upload(
            target, self._options_of(file), file.size, context.cancel, repeated=context.is_retry
        ) as stream:
            for block in read_segments(self._sessions, file, context.cancel):
                stream.write(block)
        info = stream.info
        assert info is not None  # noqa: S101 - it is stored
        return Outcome(target, info.size, etag=info.etag, version=info.version)

    def _options_of(self, file: RemoteFile) -> dict[str, Any]:
        options = {"ContentType": guess_content_type(file.path), **self._options}
        if self._action.keep_times and file.mtime is not None:
            time = format_mtime(file.mtime * _NANOSECONDS)
            options["Metadata"] = {**options.get("Metadata", {}), MTIME: time}
        return options

    def _is_same(self, file: RemoteFile, target: S3Uri, there: ObjectInfo) -> bool:
        """Returns True if the object has the size of the file and, if compared, its time."""
        if there.size != file.size:
            return False
        if self._compare == "size":
            return True
        try:
            head = self._storage.head(target)
        except AccessDenied:
            if self._lenient:
                return False
            raise
        kept = None if file.mtime is None else file.mtime * _NANOSECONDS
        return head.size == file.size and kept is not None and parse_mtime(head.mtime) == kept

    def _describe(self, outcome: Outcome) -> Outcome:
        """Adds the source to an outcome."""
        file = self._in_flight.pop(outcome.uri, None)
        if file is None or outcome.path is not None:
            return outcome
        return replace(
            outcome,
            path=self._sessions.server.url(file.path),
            source_info=replace(file.as_info(), key=file.path),
        )


def _find_length_problem(key: str) -> str:
    length = len(key.encode())
    return f"makes a key of {length:,} bytes, {MAX_KEY:,} at most" if length > MAX_KEY else ""
