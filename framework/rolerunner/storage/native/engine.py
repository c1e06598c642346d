"""The fast engine: many objects over the lane, everything about one object as the plain engine does it.

What the lane declines (a proxy, a directory bucket) goes to the plain engine object by object, and is said once.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.common.cancellation import Cancel
from rolerunner.common.files import translate_os_errors
from rolerunner.errors import IntegrityFailed, StepError
from rolerunner.iam.aws_errors import AwsError, is_retryable
from rolerunner.model import S3Uri
from rolerunner.storage import integrity
from rolerunner.storage.boto.engine import TRIES, skipped
from rolerunner.storage.boto.objects import ALREADY, KEPT
from rolerunner.storage.concurrency import PartExecutor
from rolerunner.storage.deletions import Command, Commands, DeleteTogether, Look, Pause
from rolerunner.storage.http import xml
from rolerunner.storage.http.event_loop import EventLoop, WeightedTask
from rolerunner.storage.http.list_parser import ListPage
from rolerunner.storage.http.sigv4 import quote_key
from rolerunner.storage.http.tasks import BlockingCall, RetryPolicy, Task, run_blocking
from rolerunner.storage.integrity import ExpectedChecksum, compute_digest
from rolerunner.storage.kept_metadata import kept_headers
from rolerunner.storage.local_files import (
    DownloadSink,
    UploadSource,
    decompress_file,
    set_modified_time,
    verify_checksum,
)
from rolerunner.storage.native import listing
from rolerunner.storage.native.listing import Listing, RangeCursor, Unordered, queries
from rolerunner.storage.native.ranges import LaneLarge
from rolerunner.storage.native.requests import checksum_header, hashed_by, version_query
from rolerunner.storage.native.templates import PLACE, Declined
from rolerunner.storage.protocol import Copy, Get, ObjectInfo, Outcome, Put
from rolerunner.storage.responses import check_etag_returned, parse_etag, parse_object_headers
from rolerunner.storage.tuning import KEYS_PER_DELETE
from rolerunner.storage.workers.pool import WorkerPool
from rolerunner.storage.workers.protocol import OperationSpec

if TYPE_CHECKING:
    from rolerunner.storage.http.framing import Response
    from rolerunner.storage.protocol import Storage

T = TypeVar("T")
_KEPT = frozenset(KEPT)


@dataclass(frozen=True)
class NativeEngine(LaneLarge):
    """Many objects at once, over the lane."""

    # listing

    def list(
        self,
        prefix: S3Uri,
        *,
        versions: bool = False,
        after: str = "",
        page: int = KEYS_PER_DELETE,
        parallel: bool = True,
        cancel: Optional[Cancel] = None,
    ) -> Iterator[ObjectInfo]:
        """Lists objects with parallel requests; versions, small pages and ``parallel=False`` page by page."""
        if versions or page != KEYS_PER_DELETE:
            yield from super().list(
                prefix, versions=versions, after=after, page=page, cancel=cancel
            )
            return
        try:
            given = yield from self._listed(prefix, after, cancel, cuts=parallel, given=0)
            if given is not None:
                yield from self._listed(prefix, after, cancel, cuts=False, given=given)
        except Declined as why:
            self._say(why)
            yield from super().list(prefix, after=after, cancel=cancel)

    def _listed(
        self, prefix: S3Uri, after: str, cancel: Optional[Cancel], *, cuts: bool, given: int
    ) -> Generator[ObjectInfo, None, Optional[int]]:
        """Objects but for the first ``given``; where the server cannot list side by side, how many came out until that was seen."""
        loop, asking = self._loop(cancel or Cancel(), connections=listing.AT_ONCE)
        pages = Listing(
            prefix.key,
            lambda cursor: loop.begin(0, self._page_steps(prefix, cursor, asking)),
            self.tuning.memory // 2,
            cuts=cuts,
            after=after,
        )
        try:
            with self._translated(prefix):
                found = self._pages_of(pages, loop)
                yield from islice(found, given, None) if given else found
        except Unordered:
            return pages.given
        return None

    def _pages_of(self, pages: Listing, loop: EventLoop) -> Iterator[ObjectInfo]:
        pages.more()
        for cursor, page in loop.run(()):
            if isinstance(page, Exception):
                raise page
            pages.took(cursor, page)
            if pages.given:  # not before the second page is asked for: how long that one takes tells how far the server is
                pages.more()
                loop.assign_requests()  # the next page comes while this one's objects are worked on
            yield from pages.ready()
            pages.more()

    def _page_steps(
        self, prefix: S3Uri, cursor: RangeCursor, asking: RetryPolicy
    ) -> Task[tuple[RangeCursor, Union[ListPage, Exception]]]:
        for tried in range(1, TRIES + 1):
            try:
                options = {"Prefix": prefix.key}
                answer = yield from self._asked(
                    asking, "list_objects_v2", S3Uri(prefix.bucket), options, query=queries(cursor)
                )
                return cursor, ListPage(answer.body)
            except (StepError, ClientError, BotoCoreError, Declined) as error:
                if tried == TRIES or not (isinstance(error, StepError) and is_retryable(error)):
                    return cursor, error
            yield 0.2 * 2**tried
        raise AssertionError  # the last try returns

    # many objects

    def _create_pool(
        self, method: str, cancel: Cancel, source: Optional[NativeEngine] = None
    ) -> WorkerPool:
        """Whoever may take a share of an operation."""
        opening = OperationSpec(
            method,
            (self.role, self.access),
            (source.role, source.access) if source is not None else None,
        )
        return WorkerPool(self.processes, opening, self.flow, cancel)

    def _is_small(self, info: Optional[ObjectInfo]) -> bool:
        """Is it known to be an object that goes in one request?"""
        return info is not None and info.size < self.tuning.large

    def head_many(self, items: Iterable[S3Uri], cancel: Cancel) -> Iterator[Outcome]:
        """HEAD of many."""
        loop, asking = self._loop(cancel)

        def begun(uri: S3Uri) -> WeightedTask:
            return 0, self._settled(uri, partial(self._head_steps, uri, asking))

        with self._create_pool("head_many", loop.cancel) as pool:
            yield from loop.run(pool.dispatch(items, begun, lambda uri: uri))

    def get(self, items: Iterable[Union[Get, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Fetch objects to files."""
        loop, asking = self._loop(cancel)

        def begun(item: Get) -> WeightedTask:
            return 0, self._tried_again(
                item, item.source, lambda each: self._get_steps(each, asking, parts)
            )

        def name_of(item: Get) -> Optional[S3Uri]:
            return item.source if item.skip is None and self._is_small(item.info) else None

        # the threads of parts keep connections until they end
        with (
            closing(self._lines),
            self._create_pool("get", loop.cancel) as pool,
            PartExecutor(loop.cancel, self.tuning, pool) as parts,
        ):
            yield from loop.run(pool.dispatch(items, begun, name_of))

    def put(self, items: Iterable[Union[Put, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Store files as objects."""
        loop, asking = self._loop(cancel)

        def begun(item: Put) -> WeightedTask:
            return _weight_of(item.source, self.tuning.large), self._tried_again(
                item, item.target, lambda each: self._put_steps(each, asking, parts)
            )

        def name_of(item: Put) -> Optional[S3Uri]:
            return (
                item.target
                if item.skip is None and _weight_of(item.source, self.tuning.large)
                else None
            )

        with (
            closing(self._lines),
            self._create_pool("put", loop.cancel) as pool,
            PartExecutor(loop.cancel, self.tuning, pool) as parts,
        ):
            yield from loop.run(pool.dispatch(items, begun, name_of))

    def copy(self, items: Iterable[Union[Copy, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Copy within S3."""
        loop, asking = self._loop(cancel)

        def begun(item: Copy) -> WeightedTask:
            return 0, self._tried_again(
                item, item.target, lambda each: self._copy_steps(each, asking, parts)
            )

        def name_of(item: Copy) -> Optional[S3Uri]:
            return (
                item.target
                if item.skip is None and item.info is not None and item.info.size < item.large
                else None
            )

        with (
            self._create_pool("copy", loop.cancel) as pool,
            PartExecutor(loop.cancel, self.tuning) as parts,
        ):
            yield from loop.run(pool.dispatch(items, begun, name_of))

    def relay(
        self, items: Iterable[Union[Copy, Outcome]], source: Storage, cancel: Cancel
    ) -> Iterator[Outcome]:
        """Copy what another role may read."""
        if not isinstance(source, NativeEngine):
            yield from super().relay(items, source, cancel)
            return
        loop, asking = self._loop(cancel)
        reading = source._asking(loop.cancel)  # noqa: SLF001 - one of our own kind

        def begun(item: Copy) -> WeightedTask:
            held = (
                item.info.size
                if item.info is not None and item.info.size < self.tuning.large
                else 0
            )
            return held, self._tried_again(
                item,
                item.target,
                lambda each: self._relay_steps(each, source, asking, reading, parts),
            )

        def name_of(item: Copy) -> Optional[S3Uri]:
            return item.target if item.skip is None and self._is_small(item.info) else None

        pool = self._create_pool("relay", loop.cancel, source)
        with (
            closing(self._lines),
            closing(source._lines),  # noqa: SLF001
            pool,
            PartExecutor(loop.cancel, self.tuning, pool) as parts,
        ):
            yield from loop.run(pool.dispatch(items, begun, name_of))

    def delete(
        self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel, *, unchanged: bool = False
    ) -> Iterator[Outcome]:
        """Delete in batches, several at once."""
        loop, asking = self._loop(cancel, connections=self.tuning.workers)
        work = (
            self._deletion(*batch, unchanged=unchanged).steps()
            for batch in self._batches(items, bucket, unchanged=unchanged)
        )
        for outcomes in loop.run((0, self._delete_steps(commands, asking)) for commands in work):
            yield from outcomes

    # download

    def _get_steps(self, item: Get, asking: RetryPolicy, parts: PartExecutor) -> Task[Outcome]:
        uri = item.source
        if item.skip is not None and (yield BlockingCall(item.skip)):
            return Outcome(
                uri,
                item.info.size if item.info else 0,
                item.target,
                item.info.etag if item.info else "",
                status="skipped",
            )
        info = item.info if item.info is not None else (yield from self._known(uri, None, asking))
        if info.size >= self.tuning.large:
            return (
                yield from run_blocking(
                    lambda: self._get(replace(item, info=info, skip=None), parts), large=True
                )
            )
        arrival = DownloadSink(
            item.target, lambda count: self._moved(count, asking.cancel), info.size, item.folder
        )
        try:
            answer = yield from self._asked(
                asking,
                "get_object",
                uri,
                self._checked,
                query=version_query(info.version),
                sink=arrival,
            )
            now, proved = self._arrived(uri, answer, arrival, asking.cancel)
            if not proved:
                yield from self._looked_at(uri, now, answer, arrival)
            if item.decompress:
                yield BlockingCall(
                    lambda: decompress_file(arrival.file, item.target, uri, item.folder)
                )
            if item.keep_time and now.modified:
                set_modified_time(arrival.file, now)
            arrival.commit()
            return Outcome(uri, now.size, item.target, now.etag, now.version, info=now)
        except Declined as why:
            return (
                yield from self._plainly(
                    why, lambda: self._get(replace(item, info=info, skip=None), parts)
                )
            )
        except ClientError as error:
            raise self._as_step_error(error, uri, info.version) from error
        except BotoCoreError:
            raise  # some of them are OSErrors
        except OSError:
            with translate_os_errors(item.target):
                raise
        finally:
            arrival.discard()

    def _arrived(
        self, uri: S3Uri, answer: Response, arrival: DownloadSink, cancel: Cancel
    ) -> tuple[ObjectInfo, bool]:
        """The bytes are all in the file; what S3 tells of them, and is it seen already that they are the ones?"""
        now = parse_object_headers(uri.key, answer.headers, answer.sunk or len(answer.body))
        if answer.sunk:
            return now, False
        self._moved(now.size, cancel)
        arrival.write_all(answer.body)
        return now, integrity.has_checksum(answer.body, now.checksum)

    def _looked_at(
        self, uri: S3Uri, now: ObjectInfo, answer: Response, arrival: DownloadSink
    ) -> Task[None]:
        """The bytes in the file are the ones that S3 tells of. Raises IntegrityFailed."""
        expected = ExpectedChecksum.of(now.checksum)
        if expected is None:
            return
        if arrival.running is not None and answer.sunk:
            verify_checksum(uri, now, arrival.running)
        elif expected.parts or answer.sunk:
            same = yield BlockingCall(
                lambda: integrity.file_matches(
                    arrival.file.descriptor, now.checksum, lambda: self.get_part_size(uri, now)
                )
            )
            if same is False:
                raise IntegrityFailed(
                    f"{uri}: the bytes that came do not have the checksum {now.checksum} that S3 tells"
                )
        else:
            running = expected.start(now.size, lambda: 0)
            if running is not None:
                running.update(answer.body)
            verify_checksum(uri, now, running)

    # upload

    def _put_steps(self, item: Put, asking: RetryPolicy, parts: PartExecutor) -> Task[Outcome]:
        uri = item.target
        file = UploadSource.of(item.source, follow=item.follow)
        size = file.before.st_size
        if item.skip is not None and (yield BlockingCall(item.skip)):
            return Outcome(uri, size, item.source, status="skipped")
        algorithm, options = hashed_by(item.options)

        def plain() -> Outcome:
            return self._put(replace(item, skip=None), parts)

        if size >= self.tuning.large:
            return (yield from run_blocking(plain, large=True))
        try:
            _check_computable(algorithm)
            data = file(0, size)
            self._moved(size, asking.cancel)
            steps = self._asked(
                asking,
                "put_object",
                uri,
                options,
                checksum_header(algorithm, compute_digest(algorithm, data)),
                body=data,
            )
            etag, version = yield from self._put_or_own(steps, uri, data, repeated=item.repeated)
        except Declined as why:
            return (yield from self._plainly(why, plain))
        return Outcome(uri, size, item.source, etag, version)

    # copy

    def _copy_steps(self, item: Copy, asking: RetryPolicy, parts: PartExecutor) -> Task[Outcome]:
        info = yield from self._known(item.source, item.info, asking)
        if item.skip is not None and (yield BlockingCall(item.skip)):
            return skipped(item, info)

        def plain() -> Outcome:
            return self._copy(replace(item, info=info, skip=None), parts)

        if info.size >= item.large:
            return (yield from run_blocking(plain, large=True))
        if not _KEPT.isdisjoint(item.options):
            return (yield from run_blocking(plain))  # what is kept is asked for, object by object
        options = {
            **item.options,
            **({"TaggingDirective": "REPLACE"} if "Tagging" in item.options else {}),
        }
        bucket = item.source.bucket
        options["CopySource"] = (
            {"Bucket": bucket, "Key": PLACE} if bucket.startswith("arn:") else f"{bucket}/{PLACE}"
        )
        version = f"?versionId={info.version}" if info.version else ""
        try:
            made = self._template("copy_object", item.target.bucket, options)
            headers = {
                "x-amz-copy-source": made.headers["x-amz-copy-source"].removesuffix(PLACE)
                + quote_key(item.source.key)
                + version,
                "x-amz-copy-source-if-match": f'"{info.etag}"',
            }
            steps = self._copy_or_own(
                self._asked(
                    asking, "copy_object", item.target, options, headers, may_be_error=True
                ),
                item,
                info,
            )
            etag, stored = yield from self._steps_about(
                steps, item.target, item.source, info.version
            )
        except Declined as why:
            return (yield from self._plainly(why, plain))
        self._moved(info.size, asking.cancel)
        return Outcome(
            item.target, info.size, None, etag, stored, source=item.source, source_info=info
        )

    def _copy_or_own(
        self, steps: Task[Response], item: Copy, info: ObjectInfo
    ) -> Task[tuple[str, str]]:
        """The ETag and version of what a CopyObject stored, or an earlier try of it."""
        try:
            answer = yield from steps
        except ClientError as error:
            if AwsError.from_client_error(error).code not in ALREADY:
                raise
            refused = error
            own = yield from run_blocking(
                lambda: self._own_copy(
                    refused, item.source, item.target, info, item.options, repeated=item.repeated
                )
            )
            return parse_etag(own), own["VersionId"]
        etag = xml.find_field(answer.body, "ETag").strip('"')
        check_etag_returned({"ETag": etag}, item.target, "the copy")
        return etag, answer.headers.get("x-amz-version-id", "")

    # copy between two roles

    def _relay_steps(
        self,
        item: Copy,
        source: NativeEngine,
        asking: RetryPolicy,
        reading: RetryPolicy,
        parts: PartExecutor,
    ) -> Task[Outcome]:
        uri = item.source
        if item.skip is not None and (yield BlockingCall(item.skip)):
            return skipped(item, item.info)
        info = yield from source._known(uri, item.info, reading)

        def plain() -> Outcome:
            return self._relay(replace(item, skip=None), source, parts)

        if info.size >= self.tuning.large:
            return (yield from run_blocking(plain, large=True))
        algorithm, options = hashed_by(item.options)
        options = {name: value for name, value in options.items() if value}
        try:
            steps = source._asked(
                reading, "get_object", uri, source._checked, query=version_query(info.version)
            )
            answer = yield from source._steps_about(steps, uri, version=info.version)
            headers = kept_headers(uri, answer.headers, options)
            if "Tagging" not in item.options:
                headers.update((yield from source._tags(uri, info.version, reading)))
            if not integrity.can_compute(algorithm):
                return (yield from run_blocking(plain))
            now = parse_object_headers(uri.key, answer.headers, len(answer.body))
            digest = compute_digest(algorithm, answer.body)
            if now.checksum != f"{algorithm}:{digest}":  # most often one proof serves both
                yield from source._proved(uri, now, answer.body)
            self._moved(now.size, asking.cancel)
            headers.update(checksum_header(algorithm, digest))
            steps = self._asked(
                asking, "put_object", item.target, options, headers, body=answer.body
            )
            etag, stored = yield from self._put_or_own(
                steps, item.target, answer.body, repeated=item.repeated
            )
        except Declined as why:
            return (yield from self._plainly(why, plain))
        return Outcome(item.target, now.size, None, etag, stored, source=uri, source_info=now)

    def _tags(self, uri: S3Uri, version: str, reading: RetryPolicy) -> Task[Mapping[str, str]]:
        steps = self._asked(reading, "get_object_tagging", uri, {}, query=version_query(version))
        answer = yield from self._steps_about(steps, uri, version=version)
        tags = xml.parse_tags(answer.body)
        return {"x-amz-tagging": tags} if tags else {}

    def _proved(self, uri: S3Uri, info: ObjectInfo, data: bytes) -> Task[None]:
        """The bytes are the ones that S3 tells of. Raises IntegrityFailed."""
        expected = ExpectedChecksum.of(info.checksum)
        if expected is None:
            return
        part = (yield BlockingCall(lambda: self.get_part_size(uri, info))) if expected.parts else 0
        running = expected.start(info.size, lambda: part)
        if running is not None:
            running.update(data)
        verify_checksum(uri, info, running)

    # delete

    def _delete_steps(self, commands: Commands[T], asking: RetryPolicy) -> Task[T]:
        """Drives the commands of a deletion; their result."""
        value: Any = None
        failed = False
        try:
            while True:
                command = commands.throw(value) if failed else commands.send(value)
                try:
                    value, failed = (yield from self._command_steps(command, asking)), False
                except StepError as error:
                    value, failed = error, True
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _command_steps(self, command: Command, asking: RetryPolicy) -> Task[Any]:
        if isinstance(command, Pause):
            if command.throttled:
                self.flow.throttle.refused(self.flow.throttle.era)
            yield command.seconds
            return None
        try:
            if isinstance(command, Look):
                return (yield from self._known(command.uri, None, asking))
            if isinstance(command, DeleteTogether):
                headers = {
                    "content-md5": xml.content_md5(command.body),
                    "content-type": "application/xml",
                }
                bucket = S3Uri(command.uri.bucket)
                answer = yield from self._asked(
                    asking,
                    "delete_objects",
                    bucket,
                    {},
                    headers,
                    body=command.body,
                    may_be_error=True,
                )
                return xml.parse_delete_result(answer.body)
            headers = {"if-match": f'"{command.etag}"'} if command.etag else {}
            yield from self._asked(
                asking,
                "delete_object",
                command.uri,
                {},
                headers,
                query=version_query(command.version),
            )
        except Declined as why:
            return (yield from self._plainly(why, partial(self._execute, command, asking.cancel)))
        except (ClientError, BotoCoreError) as error:
            raise self._as_step_error(error, command.uri, command.version) from error
        return None


def _weight_of(path: Union[str, Path], large: int) -> int:
    """Bytes that the file takes in memory while it is sent; large ones go block by block."""
    try:
        size = os.stat(path).st_size  # noqa: PTH116 - one of each of a million files
    except OSError:
        return 0  # which is told when it is its turn
    return size if size < large else 0


def _check_computable(algorithm: str) -> None:
    if not integrity.can_compute(algorithm):
        raise Declined(f"{algorithm} cannot be computed without awscrt")
