"""The work of ``sftp.upload``: which object becomes which file, and what is written when."""

from __future__ import annotations

import stat
from concurrent.futures import wait
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Optional, Union

from rolerunner.actions.archive_formats import find_name_problem
from rolerunner.actions.object_names import is_folder_marker
from rolerunner.actions.object_plans import ObjectPlan
from rolerunner.actions.sftp_moves import delete_copied_objects
from rolerunner.actions.unfinished_files import FileWriter
from rolerunner.errors import StepError, UnsafeKey
from rolerunner.lazy_dataclass import dataclass
from rolerunner.selection.collisions import find_collision
from rolerunner.selection.names import fold_name
from rolerunner.sftp.listing import join_path, lstat_or_none, may_be
from rolerunner.sftp.name_folding import is_case_insensitive
from rolerunner.sftp.reading import MIB
from rolerunner.sftp.sessions import wait_for
from rolerunner.sftp.writing import (
    LargeFile,
    NewFile,
    RemoteFolders,
    make_exists_error,
    write_whole,
)
from rolerunner.storage.kept_times import find_mtime
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import ObjectInfo, Outcome, Storage
from rolerunner.storage.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from rolerunner.actions.base import StepContext
    from rolerunner.actions.builtin.sftp_upload import SftpUpload
    from rolerunner.actions.object_plans import Report
    from rolerunner.actions.source_objects import SourceObjects
    from rolerunner.model import S3Uri
    from rolerunner.sftp.sessions import SftpSessions

_SMALL = MIB
"""Bytes up to which an object is read whole, several at once; larger ones follow one another."""
_BATCH = 1000
"""Objects that are looked up, written and, if they are moved, deleted together."""
_READ_AHEAD = 4
"""Objects in flight for each session, so that sessions do not wait for S3."""
_ENDING_SECONDS = 3.0
"""Time to complete or remove unfinished files when the run is stopped."""
_NANOSECONDS = 1_000_000_000
_TIMES_END = 1 << 32
"""Seconds since 1970 that SFTP cannot express any more, in 2106."""


@dataclass(frozen=True)
class PlannedUpload:
    """An object and the path that it becomes on the server."""

    uri: S3Uri
    info: ObjectInfo
    path: str

    @property
    def mtime(self) -> Optional[int]:
        """The time of the object in seconds, if it is known and SFTP can express it."""
        nanoseconds = find_mtime(self.info)
        seconds = None if nanoseconds is None else nanoseconds // _NANOSECONDS
        return seconds if seconds is not None and 0 <= seconds < _TIMES_END else None


class SftpUploads:
    """The transfers of a step."""

    def __init__(
        self,
        action: SftpUpload,
        gathered: SourceObjects,
        sessions: SftpSessions,
        storages: tuple[Storage, Storage],
        context: StepContext,
    ) -> None:
        """``storages`` are S3 under the step's role, for small and for large objects."""
        self._action = action
        self._objects = gathered.objects
        self._refused = gathered.refused
        self._sessions = sessions
        self._storage, self._storage_of_large = storages
        self._context = context
        lenient = context.is_resumed and action.if_exists == "overwrite"
        self.if_exists = "skip_same" if lenient else action.if_exists
        self._compare = "size_mtime" if lenient else action.compare
        self._folders = RemoteFolders(sessions)
        self._writer = FileWriter(context)
        self._in_small: list[Future[Outcome]] = []
        self._in_large: list[Future[Outcome]] = []

    def check_targets(self) -> None:
        """Raises UnsafeKey, before anything is written, if two objects would be one file."""
        action, context = self._action, self._context
        server = self._sessions.server

        def names() -> Iterator[tuple[str, str]]:
            for item in self.targets():
                if isinstance(item, PlannedUpload):
                    yield server.url(item.path), str(item.uri)

        may_collide = (
            action.renames
            or self._objects.flat
            or not self._objects.ascending
            or not action.goes_to_folder()
        )
        found = find_collision(names) if may_collide else None
        claims = action.move or action.renames
        if found is None and claims and context.target_claims is not None:
            found = context.target_claims.claim(str(context.workdir), names())
        if found is not None:
            raise UnsafeKey(
                f"{found.one} and {found.other} would both be {found.name}",
                hint="nothing was written; write them in separate steps, to different folders",
                type="SameFile",
            )
        if self._objects.count > 1:
            self._check_case(names)

    def _check_case(self, names: Callable[[], Iterator[tuple[str, str]]]) -> None:
        """Raises UnsafeKey if two objects would be one file on a server that ignores case."""
        found = find_collision(lambda: ((fold_name(name), owner) for name, owner in names()))
        if found is not None and is_case_insensitive(self._sessions, self._action.target):
            raise UnsafeKey(
                f"{found.one} and {found.other} differ in case alone, so they would be one file on"
                " the server, which ignores case",
                hint="nothing was written; write them in separate steps, to different folders",
                type="SameFile",
            )

    def targets(self) -> Iterator[Union[PlannedUpload, Outcome]]:
        """Yields each object with its path, or the reason why it can have none."""
        namer, action = self._action.namer(), self._action
        number = 0
        for info in self._objects:
            if info.deleted or is_folder_marker(info.key, info.size):
                continue
            number += 1
            uri, relative = self._objects.uri(info), self._objects.relative(info)
            try:
                name = namer.name(info.key, relative, info.size, info.modified, number)
                problem = find_name_problem(name)
            except UnsafeKey as error:
                yield Outcome(uri, status="failed", error=error)
                continue
            if problem:
                refused = UnsafeKey(
                    f"{uri}: the name {name!r} {problem}, so it could leave {action.target}",
                    hint="leave it out with 'exclude', or give it another 'name'",
                )
                yield Outcome(uri, status="failed", error=refused)
                continue
            path = join_path(action.target, name) if action.goes_to_folder() else action.target
            yield PlannedUpload(uri, info, path)

    def plan(self, report: Report) -> None:
        """Reports what would be written and skipped."""
        for item in self.targets():
            self._context.cancel.stop_if_set()
            decision = item if isinstance(item, Outcome) else self._decide(item)
            if isinstance(decision, PlannedUpload):
                url = self._sessions.server.url(decision.path)
                then = "the object is deleted" if self._action.move else ""
                source, size = str(decision.uri), decision.info.size
                report(
                    ObjectPlan(
                        "send",
                        url,
                        "it does not exist or differs"
                        if self.if_exists != "overwrite"
                        else "'if_exists' is overwrite",
                        source,
                        size,
                        then=then,
                    )
                )
            elif decision.error is not None:
                report(ObjectPlan("fail", str(decision.uri), decision.error.message))
            else:
                url, source = str(decision.path), str(decision.uri)
                report(ObjectPlan("skip", url, "it exists", source, decision.size))

    def transfer(self) -> Iterator[Outcome]:
        """Transfers the objects; yields an outcome for each, and deletes those that are moved."""
        yield from self._refused
        rest = self.targets()
        at_once = self._sessions.limit
        with (
            ThreadPool(at_once, thread_name_prefix="rolerunner-sftp") as pool,
            ThreadPool(1, thread_name_prefix="rolerunner-sftp-large") as large_pool,
        ):
            try:
                for batch in iter(lambda: list(islice(rest, _BATCH)), []):
                    done = self._transfer_batch(batch, pool, large_pool)
                    yield from (
                        self._delete_sources(done, batch, pool) if self._action.move else done
                    )
            except BaseException:
                if self._context.cancel.is_set():
                    # small files are being completed, and a large one that nobody continues removed
                    large = [] if self._writer.is_continued else self._in_large
                    wait([*self._in_small, *large], timeout=_ENDING_SECONDS)
                self._sessions.close()  # ends what is still being written
                large_pool.shutdown(wait=False)
                raise

    def _transfer_batch(
        self, batch: list[Union[PlannedUpload, Outcome]], pool: ThreadPool, large_pool: ThreadPool
    ) -> Iterator[Outcome]:
        cancel = self._context.cancel
        yield from (each for each in batch if isinstance(each, Outcome))
        decided = [
            pool.submit(self._decide, each) for each in batch if not isinstance(each, Outcome)
        ]
        wanted: list[PlannedUpload] = []
        for future in decided:
            decision = wait_for(future, cancel)
            if isinstance(decision, Outcome):
                yield decision
            else:
                wanted.append(decision)
        large = [
            large_pool.submit(self._write_large, each) for each in wanted if each.info.size > _SMALL
        ]
        self._in_large = large
        try:
            yield from self._write_small_ones(
                [each for each in wanted if each.info.size <= _SMALL], pool
            )
            for future_of_large in large:
                yield wait_for(future_of_large, cancel)
        finally:
            for each in large:
                each.cancel()

    def _write_small_ones(self, wanted: list[PlannedUpload], pool: ThreadPool) -> Iterator[Outcome]:
        """Writes small objects, which are read in their order and written several at once."""
        if not wanted:
            return
        cancel, pending = self._context.cancel, iter(wanted)
        self._in_small = in_flight = []
        items = ((each.uri, each.info) for each in wanted)
        with closing(self._storage.read_in_order(items, cancel)) as blocks:
            for block, planned in zip(blocks, pending):
                if block.error is not None:
                    yield Outcome(planned.uri, status="failed", error=block.error)
                    continue
                in_flight.append(pool.submit(self._write_small, planned, block.data))
                if len(in_flight) > self._sessions.limit * _READ_AHEAD:
                    yield wait_for(in_flight.pop(0), cancel)
            for future in in_flight:
                yield wait_for(future, cancel)

    def _decide(self, planned: PlannedUpload) -> Union[PlannedUpload, Outcome]:
        """Returns what is to be written, or the outcome of an object that is not."""
        try:
            if self._action.keep_times and not planned.info.modified:
                info = self._storage.head(planned.uri, planned.info.version)
                planned = replace(planned, info=replace(info, version=planned.info.version))
            if self.if_exists == "overwrite":
                return planned
            there = self._sessions.run(
                lambda client: lstat_or_none(client, planned.path), planned.path, "look it up"
            )
        except StepError as error:
            self._context.cancel.stop_if_set()
            return self._fail(planned, error)
        if there is None:
            return planned
        if self.if_exists == "fail":
            return self._fail(planned, make_exists_error(planned.path))
        if self.if_exists == "skip":
            return self._end(planned, "skipped", is_same=False)
        return self._end(planned, "skipped") if self._is_same(planned, there) else planned

    def _is_same(self, planned: PlannedUpload, there: Any) -> bool:
        """Returns True if a file has the size of the object and, if compared, its time."""
        if not may_be(there.st_mode, stat.S_IFREG) or there.st_size != planned.info.size:
            return False
        return self._compare == "size" or (
            planned.mtime is not None and int(there.st_mtime or 0) == planned.mtime
        )

    def _new_file(self, planned: PlannedUpload, writer: str) -> NewFile:
        info = planned.info
        self._folders.ensure(planned.path.rpartition("/")[0])
        return NewFile(
            planned.path,
            f"{planned.uri}\0{info.version}\0{info.etag}",
            info.size,
            planned.mtime if self._action.keep_times else None,
            replaces=self.if_exists != "fail",
            writer=writer,
        )

    def _write_small(self, planned: PlannedUpload, data: bytes) -> Outcome:
        try:
            write_whole(self._sessions, self._new_file(planned, self._writer.of_small), data)
        except StepError as error:
            self._context.cancel.stop_if_set()
            return self._fail(planned, error)
        return self._end(planned, "done")

    def _write_large(self, planned: PlannedUpload) -> Outcome:
        uri, info, cancel = planned.uri, planned.info, self._context.cancel

        def read_from(start: int) -> Iterator[bytes]:
            within = (start, info.size - start) if start else None
            with closing(
                self._storage_of_large.read_in_order([(uri, info)], cancel, within=within)
            ) as blocks:
                for block in blocks:
                    if block.error is not None:
                        raise block.error
                    yield block.data

        def read_range(start: int, length: int) -> bytes:
            return self._storage_of_large.read_range(ObjectRange(uri, info, start, length), cancel)

        try:
            new = self._new_file(planned, self._writer.of_large)
            large = LargeFile(new, read_from, read_range, is_kept=self._writer.is_continued)
            large.write(self._sessions)
        except StepError as error:
            cancel.stop_if_set()
            return self._fail(planned, error)
        if large.resumed:
            self._context.note(
                "info",
                f"{planned.path}: continued at {large.resumed:,} bytes of an earlier run",
                {},
            )
        return self._end(planned, "done")

    def _end(self, planned: PlannedUpload, status: str, *, is_same: bool = True) -> Outcome:
        """Returns the outcome of a file that is right; ``is_same`` is False if that is unknown."""
        info = planned.info
        return Outcome(
            planned.uri,
            info.size,
            self._sessions.server.url(planned.path),
            info.etag,
            info.version,
            status,
            source_info=info if is_same else None,
        )

    def _fail(self, planned: PlannedUpload, error: StepError) -> Outcome:
        url = self._sessions.server.url(planned.path)
        return Outcome(planned.uri, path=url, status="failed", error=error)

    def _delete_sources(
        self,
        done: Iterator[Outcome],
        batch: Sequence[Union[PlannedUpload, Outcome]],
        pool: ThreadPool,
    ) -> Iterator[Outcome]:
        paths = {each.uri: each.path for each in batch if isinstance(each, PlannedUpload)}
        cancel = self._context.cancel
        return delete_copied_objects(done, paths, self._sessions, self._storage, pool, cancel)
