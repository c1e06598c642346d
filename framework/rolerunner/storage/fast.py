"""The fast engine: many objects over the lane, everything about one object as the plain engine does it.

What the lane declines (a proxy, a directory bucket) goes to the plain engine object by object, and is said once.
"""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.diagnosis import AwsError, is_passing
from rolerunner.errors import IntegrityFailed, StepError
from rolerunner.model import S3Uri
from rolerunner.storage import checksums
from rolerunner.storage.answers import check_there, info_by
from rolerunner.storage.base import Cancel, Copy, Get, ObjectInfo, Outcome, Put
from rolerunner.storage.boto import TRIES, BotoStorage
from rolerunner.storage.checksums import Expected, digest_of
from rolerunner.storage.files import Arrival, FromFile, check_range, keep_time, prove, unpack
from rolerunner.storage.lane import listing, xml
from rolerunner.storage.lane.listing import Listing, Span, Unordered, queries
from rolerunner.storage.lane.loop import Loop, Weighed
from rolerunner.storage.lane.net import Net
from rolerunner.storage.lane.pages import Page
from rolerunner.storage.lane.requests import PLACE, Declined, Request, Template, template
from rolerunner.storage.lane.signing import quoted
from rolerunner.storage.lane.steps import Asking, Steps, Work, worked
from rolerunner.storage.lane.straight import FileRange, Lines, Straight
from rolerunner.storage.local import translated
from rolerunner.storage.many import Parts, batches, stop_if_told
from rolerunner.storage.objects import KEPT

if TYPE_CHECKING:
    from rolerunner.storage.base import Storage
    from rolerunner.storage.lane.http import Answer

T = TypeVar("T")
_LOG = logging.getLogger("rolerunner.storage")
_KEPT_HEADERS = {
    "content-type": "ContentType", "cache-control": "CacheControl", "content-disposition": "ContentDisposition", "expires": "Expires",
    "content-encoding": "ContentEncoding", "content-language": "ContentLanguage", "x-amz-website-redirect-location": "WebsiteRedirectLocation",
}  # fmt: skip
_SAID: set[str] = set()


@dataclass(frozen=True)
class FastStorage(BotoStorage):
    """S3 over sockets of our own. ``credentials`` are asked for at every signature; ``net`` makes the sockets."""

    credentials: Any = None
    net: Net = field(default_factory=lambda: Net(None, 10, 60))
    _templates: dict[Any, Template] = field(default_factory=dict, repr=False, compare=False)
    _lines: Lines = field(init=False, repr=False, compare=False)

    _checked: Mapping[str, Any] = field(init=False, repr=False, compare=False)
    """What asks GET and HEAD for checksums, where this boto3 knows of them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_checked", self._read_options(""))
        object.__setattr__(self, "_lines", Lines(self.net))

    # listing

    def list(self, prefix: S3Uri, *, versions: bool = False) -> Iterator[ObjectInfo]:
        """Every object or version under a prefix; pages of objects come side by side."""
        if versions:
            yield from super().list(prefix, versions=True)
            return
        given = 0
        for cuts in (True, False):
            loop, asking = self._loop(Cancel(), connections=listing.AT_ONCE)
            pages = Listing(prefix.key, lambda span: loop.begin(0, self._page_steps(prefix, span, asking)), self.tuning.memory // 2, cuts=cuts)  # noqa: B023
            try:
                with self._translated(prefix):
                    yield from islice(self._pages_of(pages, loop), given, None)
                return
            except Declined as why:
                self._say(why)
                yield from super().list(prefix)
                return
            except Unordered:
                given = pages.given

    def _pages_of(self, pages: Listing, loop: Loop) -> Iterator[ObjectInfo]:
        pages.more()
        for span, page in loop.run(()):
            if isinstance(page, Exception):
                raise page
            pages.took(span, page)
            yield from pages.ready()
            pages.more()

    def _page_steps(self, prefix: S3Uri, span: Span, asking: Asking) -> Steps[tuple[Span, Union[Page, Exception]]]:
        for tried in range(1, TRIES + 1):
            try:
                options = {"Prefix": prefix.key}
                answer = yield from self._asked(asking, "list_objects_v2", S3Uri(prefix.bucket), options, query=queries(span))
                return span, Page(answer.body)
            except (StepError, ClientError, BotoCoreError, Declined) as error:
                if tried == TRIES or not (isinstance(error, StepError) and is_passing(error)):
                    return span, error
            yield 0.2 * 2**tried
        raise AssertionError  # the last try returns

    # many objects

    def heads(self, items: Iterable[S3Uri], cancel: Cancel) -> Iterator[Outcome]:
        """HEAD of many."""
        loop, asking = self._loop(cancel)
        return loop.run((0, self._settled(uri, partial(self._head_steps, uri, asking))) for uri in items)

    def get(self, items: Iterable[Union[Get, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Fetch objects to files."""
        loop, asking = self._loop(cancel)

        def begun(item: Get) -> Weighed:
            return 0, self._tried_again(item, item.source, lambda each: self._get_steps(each, asking, parts))

        with Parts(loop.cancel, self.tuning) as parts, closing(self._lines):
            yield from loop.run(item if isinstance(item, Outcome) else begun(item) for item in items)

    def put(self, items: Iterable[Union[Put, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Store files as objects."""
        loop, asking = self._loop(cancel)

        def begun(item: Put) -> Weighed:
            return _weight_of(item.source, self.tuning.large), self._settled(item.target, partial(self._put_steps, item, asking, parts))

        with Parts(loop.cancel, self.tuning) as parts, closing(self._lines):
            yield from loop.run(item if isinstance(item, Outcome) else begun(item) for item in items)

    def copy(self, items: Iterable[Union[Copy, Outcome]], cancel: Cancel) -> Iterator[Outcome]:
        """Copy within S3."""
        loop, asking = self._loop(cancel)

        def begun(item: Copy) -> Weighed:
            return 0, self._tried_again(item, item.target, lambda each: self._copy_steps(each, asking, parts))

        with Parts(loop.cancel, self.tuning) as parts:
            yield from loop.run(item if isinstance(item, Outcome) else begun(item) for item in items)

    def relay(self, items: Iterable[Union[Copy, Outcome]], source: Storage, cancel: Cancel) -> Iterator[Outcome]:
        """Copy what another role may read."""
        if not isinstance(source, FastStorage):
            yield from super().relay(items, source, cancel)
            return
        loop, asking = self._loop(cancel)
        reading = source._asking(loop.cancel)  # noqa: SLF001 - one of our own kind

        def begun(item: Copy) -> Weighed:
            held = item.info.size if item.info is not None and item.info.size < self.tuning.large else 0
            return held, self._tried_again(item, item.target, lambda each: self._relay_steps(each, source, asking, reading, parts))

        with Parts(loop.cancel, self.tuning) as parts, closing(self._lines), closing(source._lines):  # noqa: SLF001
            yield from loop.run(item if isinstance(item, Outcome) else begun(item) for item in items)

    def delete(self, items: Iterable[ObjectInfo], bucket: str, cancel: Cancel) -> Iterator[Outcome]:
        """Delete in batches, several at once."""
        loop, asking = self._loop(cancel, connections=self.tuning.workers)
        for outcomes in loop.run((0, self._delete_steps(name, batch, asking)) for name, batch in batches(items, bucket)):
            yield from outcomes

    # how requests are made

    def _loop(self, cancel: Cancel, connections: int = 0) -> tuple[Loop, Asking]:
        loop = Loop(
            self.net, cancel, connections=connections or self.tuning.connections, memory=self.tuning.memory // 2, threads=self.tuning.workers,
            paced=self.flow.paces_bytes,
        )  # fmt: skip
        return loop, self._asking(loop.cancel)

    def _asking(self, cancel: Cancel) -> Asking:
        retries = self.client.meta.config.retries or {}
        tries = int(retries.get("total_max_attempts") or retries.get("max_attempts") or 5)
        return Asking(tries, self.flow, cancel, lambda: _give_up(self.credentials))

    def _template(self, method: str, bucket: str, options: Mapping[str, Any]) -> Template:
        """The kind of request, made once for each bucket and set of options. Raises Declined, and what signing raises."""
        key = (method, bucket, *((name, tuple(sorted(value.items())) if isinstance(value, dict) else value) for name, value in options.items()))
        found = self._templates.get(key)
        if found is None:
            found = self._templates[key] = template(self.client, self.credentials, method, bucket, {**self._said(method), **options})
        return found

    def _look_elsewhere(self, bucket: str) -> bool:
        """Let botocore find the bucket, which follows redirects and remembers them; did that change where requests go?"""
        with suppress(ClientError, BotoCoreError, Declined):
            before = self._template("head_bucket", bucket, {})
            with suppress(ClientError, RecursionError):  # some botocores ask themselves for ever where no answer names a region
                self.client.head_bucket(Bucket=bucket)
            self._templates.clear()
            now = self._template("head_bucket", bucket, {})
            return (before.address, before.signer.region) != (now.address, now.signer.region)
        return False

    def _asked(
        self, asking: Asking, method: str, uri: S3Uri, options: Mapping[str, Any], headers: Optional[Mapping[str, str]] = None, *,
        may_be_error: bool = False, **more: Any,
    ) -> Steps[Answer]:  # fmt: skip
        """The good answer to one request."""

        def make() -> Request:
            return self._template(method, uri.bucket, options).request(uri.key, headers, **more)

        return asking.ask(make, lambda: self._look_elsewhere(uri.bucket), may_be_error=may_be_error)

    def _settled(self, uri: S3Uri, begin: Callable[[], Steps[Outcome]]) -> Steps[Outcome]:
        """The outcome, a failure as a value; what changed or broke off meanwhile is begun again."""
        for tried in range(1, TRIES + 1):
            try:
                return (yield from begin())
            except (StepError, ClientError, BotoCoreError) as error:
                failed = self._as_step_error(error, uri)
                if tried == TRIES or not is_passing(failed):
                    return Outcome(uri, status="failed", error=failed)
            yield 0.2 * 2**tried
        raise AssertionError  # the last try returns

    def _as_step_error(self, error: Exception, uri: S3Uri) -> StepError:
        try:
            with self._translated(uri):
                raise error
        except StepError as translated_one:
            return translated_one

    def _tried_again(self, item: Any, uri: S3Uri, begin: Callable[[Any], Steps[Outcome]]) -> Steps[Outcome]:
        """Settled; from the second try on without what was known of the object, which may have changed."""
        tries = iter([item])
        known = item.info
        return self._settled(uri, lambda: begin(next(tries, item if known is not None and known.version else replace(item, info=None))))

    def _plainly(self, why: Declined, call: Callable[[], T]) -> Steps[T]:
        """What the lane declines, done by the plain engine."""
        self._say(why)
        return worked(call)

    def _say(self, why: Declined) -> None:
        reason = str(why)
        if reason not in _SAID:
            _SAID.add(reason)
            _LOG.info("boto3 is used where the fast engine is not: %s", reason)

    # head

    def _head_steps(self, uri: S3Uri, asking: Asking, version: str = "") -> Steps[Outcome]:
        try:
            answer = yield from self._asked(asking, "head_object", uri, self._checked, query=_version(version))
            info = info_by(uri.key, answer.headers, int(answer.headers.get("content-length", "0")))
        except Declined as why:
            info = yield from self._plainly(why, lambda: self.head(uri, version))
        except ClientError as error:
            if AwsError.of(error).code not in {"400", "403"}:
                raise
            info = yield from worked(lambda: self.head(uri, version))  # which asks a GET for the reason
        return Outcome(uri, info.size, etag=info.etag, version=info.version, info=info)

    def _known(self, uri: S3Uri, info: Optional[ObjectInfo], asking: Asking) -> Steps[ObjectInfo]:
        if info is not None:
            return info
        outcome = yield from self._head_steps(uri, asking)
        assert outcome.info is not None  # noqa: S101 - HEAD tells it
        return outcome.info

    # download

    def _get_steps(self, item: Get, asking: Asking, parts: Parts) -> Steps[Outcome]:
        uri = item.source
        if item.skip is not None and (yield Work(item.skip)):
            return Outcome(uri, item.info.size if item.info else 0, item.target, item.info.etag if item.info else "", status="skipped")
        info = yield from self._known(uri, item.info, asking)
        if info.size >= self.tuning.large:
            return (yield from worked(lambda: self._get(replace(item, info=info, skip=None), parts), large=True))
        arrival = Arrival(item.target, lambda count: self._moved(count, asking.cancel))
        try:
            answer = yield from self._asked(asking, "get_object", uri, self._checked, query=_version(info.version), sink=arrival)
            now = yield from self._arrived(uri, answer, arrival, asking)
            if item.decompress:
                yield Work(lambda: unpack(Path(arrival.temporary), uri))
            if item.keep_time and now.modified:
                keep_time(Path(arrival.temporary), now)
            arrival.appear()
            return Outcome(uri, now.size, item.target, now.etag, now.version, info=now)
        except Declined as why:
            return (yield from self._plainly(why, lambda: self._get(replace(item, info=info, skip=None), parts)))
        finally:
            arrival.discard()

    def _arrived(self, uri: S3Uri, answer: Answer, arrival: Arrival, asking: Asking) -> Steps[ObjectInfo]:
        """The bytes are all in the file, and are the ones that S3 tells of. Raises IntegrityFailed."""
        size = answer.sunk or len(answer.body)
        now = info_by(uri.key, answer.headers, size)
        if not answer.sunk:
            self._moved(size, asking.cancel)
            arrival.whole(answer.body)
        expected = Expected.of(now.checksum)
        if expected is None:
            return now
        if arrival.running is not None and answer.sunk:
            prove(uri, now, arrival.running)
        elif expected.parts or answer.sunk:
            same = yield Work(lambda: checksums.file_matches(Path(arrival.temporary), now.checksum, lambda: self.part_size(uri, now)))
            if same is False:
                raise IntegrityFailed(f"{uri}: the bytes that came do not have the checksum {now.checksum} that S3 tells")
        else:
            running = expected.start(size, lambda: 0)
            if running is not None:
                running.update(answer.body)
            prove(uri, now, running)
        return now

    def _range(self, uri: S3Uri, info: ObjectInfo, start: int, length: int, landing: Any, cancel: Cancel) -> None:
        """As the plain engine's, over the lane."""
        began = landing.got
        steps = self._range_steps(uri, info, start, length, landing, self._asking(cancel))
        try:
            Straight(self._lines, cancel).run(steps)
        except Declined:
            assert landing.got == began  # noqa: S101 - it is declined before anything is asked
            super()._range(uri, info, start, length, landing, cancel)

    def _range_steps(self, uri: S3Uri, info: ObjectInfo, start: int, length: int, sink: Any, asking: Asking) -> Steps[Answer]:
        wanted = {"range": f"bytes={start}-{start + length - 1}", "if-match": f'"{info.etag}"'}
        return self._asked(asking, "get_object", uri, self._checked, wanted, query=_version(info.version), sink=sink)

    def fetch(self, uri: S3Uri, info: ObjectInfo, start: int, length: int, cancel: Optional[Cancel] = None) -> bytes:
        """A range, of the object with the ETag of ``info`` alone."""
        if length == 0:
            return b""
        cancel = cancel or Cancel()
        collected = _Collected(start, length)
        try:
            with self._translated(uri):
                Straight(self._lines, cancel).run(self._range_steps(uri, info, start, length, collected, self._asking(cancel)))
        except Declined:
            return super().fetch(uri, info, start, length, cancel)
        if collected.got != length:
            raise IntegrityFailed(f"{uri}: {collected.got:,} bytes came of {length:,}")
        return collected.data  # type: ignore[return-value]  # bytes in all but name, and not copied

    # upload

    def _put_steps(self, item: Put, asking: Asking, parts: Parts) -> Steps[Outcome]:
        uri = item.target
        with translated(item.source):
            before = os.stat(item.source)  # noqa: PTH116 - one of each of a million files
        size = before.st_size
        if item.skip is not None and (yield Work(item.skip)):
            return Outcome(uri, size, item.source, status="skipped")
        algorithm, options = _hashed_by(item.options)
        plain = partial(self._put, replace(item, skip=None), parts)
        if size >= self.tuning.large:
            return (yield from worked(plain, large=True))
        try:
            _check_computable(algorithm)
            data = FromFile(item.source, before)(0, size)
            self._moved(size, asking.cancel)
            answer = yield from self._asked(asking, "put_object", uri, options, _checksum(algorithm, data), body=data)
        except Declined as why:
            return (yield from self._plainly(why, plain))
        return Outcome(uri, size, item.source, answer.headers.get("etag", "").strip('"'), answer.headers.get("x-amz-version-id", ""))

    def _put_parts(self, item: Put, file: FromFile, parts: Parts) -> Mapping[str, Any]:
        """As the plain engine's, each part sent straight from the file: first its checksum is computed, then it goes."""
        algorithm, _ = _hashed_by(item.options)
        options = self._with_crc(item.options)
        if "ChecksumAlgorithm" not in options or not checksums.can_compute(algorithm):
            return super()._put_parts(item, file, parts)
        with translated(file.path), file.path.open("rb") as opened:
            descriptor = opened.fileno()

            def send(upload: str, number: int, start: int, length: int) -> dict[str, Any]:
                body = FileRange(descriptor, start, length, lambda count: self._moved(count, parts.cancel))
                running = checksums.hash_of(algorithm)
                for block in body.blocks():
                    running.update(block)
                    stop_if_told(parts.cancel)
                told = self._part_sent(item.target, upload, options, number, _header(algorithm, running.digest()), body, parts.cancel)
                file.check(descriptor)
                return told

            return self._in_parts(item.target, options, file.before.st_size, send, parts, lambda _: 0)

    def _send_part(self, target: S3Uri, upload: str, options: Mapping[str, Any], number: int, data: bytes, cancel: Cancel) -> dict[str, Any]:
        """As the plain engine's, over the lane."""
        algorithm, _ = _hashed_by(options)
        if "ChecksumAlgorithm" not in options or not checksums.can_compute(algorithm):
            return super()._send_part(target, upload, options, number, data, cancel)
        try:
            return self._part_sent(target, upload, options, number, _checksum(algorithm, data), data, cancel)
        except Declined:
            return super()._send_part(target, upload, options, number, data, cancel)

    def _part_sent(
        self, target: S3Uri, upload: str, options: Mapping[str, Any], number: int, headers: Mapping[str, str], body: Any, cancel: Cancel
    ) -> dict[str, Any]:
        said = {name: value for name, value in options.items() if name in ("SSECustomerAlgorithm", "SSECustomerKey")}

        def make() -> Request:
            made = self._template("upload_part", target.bucket, said)
            made = replace(made, query=(("partNumber", str(number)), ("uploadId", upload)))
            return made.request(target.key, headers, body=body, length=len(body))

        answer = Straight(self._lines, cancel).run(self._asking(cancel).ask(make, lambda: self._look_elsewhere(target.bucket)))
        etag = answer.headers.get("etag", "")
        check_there({"ETag": etag}, target, f"part {number}")
        sums = {f"Checksum{name.rpartition('-')[2].upper()}": value for name, value in headers.items()}
        return {"PartNumber": number, "ETag": etag, **sums}

    # copy

    def _copy_steps(self, item: Copy, asking: Asking, parts: Parts) -> Steps[Outcome]:
        info = yield from self._known(item.source, item.info, asking)
        if item.skip is not None and (yield Work(item.skip)):
            return Outcome(item.target, info.size, status="skipped", source=item.source)
        plain = partial(self._copy, replace(item, info=info, skip=None), parts)
        if info.size >= item.large:
            return (yield from worked(plain, large=True))
        if any(name in item.options for name in KEPT):
            return (yield from worked(plain))  # what is kept is asked for, object by object
        options = {**item.options, **({"TaggingDirective": "REPLACE"} if "Tagging" in item.options else {})}
        options["CopySource"] = {"Bucket": item.source.bucket, "Key": PLACE}
        version = f"?versionId={info.version}" if info.version else ""
        try:
            made = self._template("copy_object", item.target.bucket, options)
            headers = {
                "x-amz-copy-source": made.headers["x-amz-copy-source"].removesuffix(PLACE) + quoted(item.source.key) + version,
                "x-amz-copy-source-if-match": f'"{info.etag}"',
            }
            answer = yield from self._asked(asking, "copy_object", item.target, options, headers, may_be_error=True)
        except Declined as why:
            return (yield from self._plainly(why, plain))
        etag = xml.field(answer.body, "ETag").strip('"')
        check_there({"ETag": etag}, item.target, "the copy")
        self._moved(info.size, asking.cancel)
        return Outcome(item.target, info.size, None, etag, answer.headers.get("x-amz-version-id", ""), source=item.source)

    # copy between two roles

    def _relay_steps(self, item: Copy, source: FastStorage, asking: Asking, reading: Asking, parts: Parts) -> Steps[Outcome]:
        uri = item.source
        if item.skip is not None and (yield Work(item.skip)):
            return Outcome(item.target, item.info.size if item.info else 0, status="skipped", source=uri)
        info = yield from source._known(uri, item.info, reading)
        plain = partial(self._relay, replace(item, skip=None), source, parts)
        if info.size >= self.tuning.large:
            return (yield from worked(plain, large=True))
        algorithm, options = _hashed_by(item.options)
        options = {name: value for name, value in options.items() if value}
        try:
            answer = yield from source._asked(reading, "get_object", uri, source._checked, query=_version(info.version))
            headers = _kept(answer.headers, options)
            if "Tagging" not in item.options:
                headers.update((yield from source._tags(uri, info.version, reading)))
            if not checksums.can_compute(algorithm) or not all(value.isascii() for value in headers.values()):
                return (yield from worked(plain))
            now = info_by(uri.key, answer.headers, len(answer.body))
            yield from source._proved(uri, now, answer.body)
            self._moved(now.size, asking.cancel)
            headers.update(_checksum(algorithm, answer.body))
            stored = yield from self._asked(asking, "put_object", item.target, options, headers, body=answer.body)
        except Declined as why:
            return (yield from self._plainly(why, plain))
        return Outcome(item.target, now.size, None, stored.headers.get("etag", "").strip('"'), stored.headers.get("x-amz-version-id", ""), source=uri)

    def _tags(self, uri: S3Uri, version: str, reading: Asking) -> Steps[Mapping[str, str]]:
        answer = yield from self._asked(reading, "get_object_tagging", uri, {}, query=_version(version))
        tags = xml.tags(answer.body)
        return {"x-amz-tagging": tags} if tags else {}

    def _proved(self, uri: S3Uri, info: ObjectInfo, data: bytes) -> Steps[None]:
        """The bytes are the ones that S3 tells of. Raises IntegrityFailed."""
        expected = Expected.of(info.checksum)
        if expected is None:
            return
        part = (yield Work(lambda: self.part_size(uri, info))) if expected.parts else 0
        running = expected.start(info.size, lambda: part)
        if running is not None:
            running.update(data)
        prove(uri, info, running)

    # delete

    def _delete_steps(self, bucket: str, batch: Sequence[ObjectInfo], asking: Asking) -> Steps[Any]:
        plain = partial(self._delete, bucket, batch, asking.cancel)
        body = xml.deletion([(info.key, info.version) for info in batch])
        if body is None:
            return (yield from worked(plain))  # keys that XML cannot hold
        try:
            headers = {"content-md5": xml.md5(body), "content-type": "application/xml"}
            answer = yield from self._asked(asking, "delete_objects", S3Uri(bucket), {}, headers, body=body, may_be_error=True)
            told = xml.refused(answer.body)
        except Declined as why:
            return (yield from self._plainly(why, plain))
        except (StepError, ClientError, BotoCoreError) as error:
            failed = self._as_step_error(error, S3Uri(bucket))
            return [Outcome(S3Uri(bucket, info.key), version=info.version, status="failed", error=failed) for info in batch]
        return [self._deleted(S3Uri(bucket, info.key), info, told.get((info.key, info.version))) for info in batch]


class _Collected:
    """A range in memory, in one piece."""

    def __init__(self, start: int, length: int) -> None:
        self._start = start
        self.data = bytearray(length)
        self.got = 0

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        check_range(status, headers, self._start, len(self.data))
        self.got = 0

    def write(self, data: Any) -> None:
        self.data[self.got : self.got + len(data)] = data
        self.got += len(data)


def _give_up(credentials: Any) -> bool:
    give_up = getattr(credentials, "give_up", None)
    return bool(give_up(None)) if give_up is not None else False


def _version(version: str) -> tuple[tuple[str, str], ...]:
    return (("versionId", version),) if version else ()


def _weight_of(path: Path, large: int) -> int:
    """Bytes that the file takes in memory while it is sent; large ones go block by block."""
    try:
        size = os.stat(path).st_size  # noqa: PTH116 - one of each of a million files
    except OSError:
        return 0  # which is told when it is its turn
    return size if size < large else 0


def _hashed_by(options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The checksum's algorithm that S3 is told, CRC32 if the step says none, and the other options."""
    rest = dict(options)
    return str(rest.pop("ChecksumAlgorithm", "CRC32")), rest


def _check_computable(algorithm: str) -> None:
    if not checksums.can_compute(algorithm):
        raise Declined(f"{algorithm} cannot be computed without awscrt")


def _checksum(algorithm: str, data: bytes) -> dict[str, str]:
    return {f"x-amz-checksum-{algorithm.lower()}": digest_of(algorithm, data)}


def _header(algorithm: str, digest: bytes) -> dict[str, str]:
    return {f"x-amz-checksum-{algorithm.lower()}": base64.b64encode(digest).decode()}


def _kept(headers: Mapping[str, str], options: Mapping[str, Any]) -> dict[str, str]:
    """What a copy keeps of its source, as the headers that told it: what the step says otherwise aside."""
    kept = {name: headers[name] for name, option in _KEPT_HEADERS.items() if name in headers and option not in options}
    if "Metadata" not in options:
        kept.update({name: value for name, value in headers.items() if name.startswith("x-amz-meta-")})
    return kept
