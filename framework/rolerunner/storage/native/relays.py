"""Copies small objects between two roles over the event loop; large ones go in parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.boto.copies import make_copied
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.boto.errors import NOT_IMPLEMENTED_CODES
from rolerunner.storage.boto.relays import check_not_encoded
from rolerunner.storage.compression import compress_bytes
from rolerunner.storage.concurrency import PartExecutor
from rolerunner.storage.hashing import compute_digest
from rolerunner.storage.http import xml
from rolerunner.storage.http.framing import Response
from rolerunner.storage.http.tasks import BlockingCall, RetryPolicy, Task, run_blocking
from rolerunner.storage.integrity import ExpectedChecksum
from rolerunner.storage.kept_metadata import kept_headers
from rolerunner.storage.kept_times import MTIME_HEADER, source_mtime
from rolerunner.storage.native.client import (
    NativeClient,
    checksum_header,
    split_checksum,
    version_query,
)
from rolerunner.storage.native.fallback import run_or_fall_back
from rolerunner.storage.native.tasks import ObjectTasks, check_computable, is_skipped
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome, make_skipped_copy
from rolerunner.storage.responses import parse_object_headers
from rolerunner.storage.transfer_files import verify_checksum

if TYPE_CHECKING:
    from rolerunner.storage.native.engine import NativeEngine


class SourceTasks:
    """Builds the tasks that read an object of the source's role."""

    def __init__(self, client: NativeClient, tasks: ObjectTasks, fallback: BotoEngine) -> None:
        self._client = client
        self._tasks = tasks
        self._reader = fallback.reader

    def find_info(self, item: Copy, policy: RetryPolicy) -> Task[ObjectInfo]:
        """Returns the source as it was listed, or as HEAD reports it."""
        return self._tasks.find_info(item.source, item.info, policy)

    def read(self, uri: S3Uri, version: str, policy: RetryPolicy) -> Task[Response]:
        """Returns the response to a GET of the whole object."""
        task = self._client.send(
            policy,
            "get_object",
            uri,
            self._client.read_options,
            query=version_query(version),
        )
        return self._tasks.attribute(task, uri, version=version)

    def read_tags(self, uri: S3Uri, version: str, policy: RetryPolicy) -> Task[Mapping[str, str]]:
        """Returns the header that stores the object's tags; nothing if it has none."""
        query = version_query(version)
        task = self._client.send(policy, "get_object_tagging", uri, {}, query=query)
        try:
            response = yield from self._tasks.attribute(task, uri, version=version)
        except StepError as error:
            if error.type in NOT_IMPLEMENTED_CODES:  # a server without tags has none to keep
                return {}
            raise
        tags = xml.parse_tags(response.body)
        return {"x-amz-tagging": tags} if tags else {}

    def verify(self, uri: S3Uri, info: ObjectInfo, data: bytes) -> Task[None]:
        """Raises IntegrityFailed if the bytes do not have the checksum that S3 reports."""
        expected = ExpectedChecksum.of(info.checksum)
        if expected is None:
            return
        part_size = 0
        if expected.parts:
            part_size = yield BlockingCall(lambda: self._reader.get_part_size(uri, info))
        running = expected.start(info.size, lambda: part_size)
        if running is not None:
            running.update(data)
        verify_checksum(uri, info, running)


class RelayTasks:
    """Builds the tasks that store what another role reads."""

    def __init__(self, client: NativeClient, tasks: ObjectTasks, fallback: BotoEngine) -> None:
        self._client = client
        self._tasks = tasks
        self._requests = fallback.requests
        self._relays = fallback.relays
        self._large = fallback.tuning.large

    def relay(
        self,
        item: Copy,
        source: NativeEngine,
        policy: RetryPolicy,
        source_policy: RetryPolicy,
        parts: PartExecutor,
    ) -> Task[Outcome]:
        """Copies one object that ``source`` reads. Raises StepError, ClientError."""
        if (yield from is_skipped(item.skip)):
            return make_skipped_copy(item, item.info)
        info = item.info
        if info is None:
            info = yield from source.source_tasks.find_info(item, source_policy)

        def relay_by_boto() -> Outcome:
            return self._relays.relay(replace(item, skip=None), source, parts)

        if info.size >= self._large:
            return (yield from run_blocking(relay_by_boto, large=True))
        task = self._relay_whole(item, info, source.source_tasks, policy, source_policy)
        return (yield from run_or_fall_back(task, relay_by_boto))

    def _relay_whole(
        self,
        item: Copy,
        info: ObjectInfo,
        source: SourceTasks,
        policy: RetryPolicy,
        source_policy: RetryPolicy,
    ) -> Task[Outcome]:
        uri, version = item.source, info.version
        algorithm, options = split_checksum(item.options)
        check_computable(algorithm)
        options = {name: value for name, value in options.items() if value}
        response = yield from source.read(uri, version, source_policy)
        headers = kept_headers(uri, response.headers, options)
        if "Tagging" not in item.options:
            headers.update((yield from source.read_tags(uri, version, source_policy)))
        data = response.body
        now = parse_object_headers(uri, response.headers, len(data))
        digest = compute_digest(algorithm, data)
        if now.checksum != f"{algorithm}:{digest}":  # most often one digest serves both ends
            yield from source.verify(uri, now, data)
        if (compression := item.compression) is not None:
            check_not_encoded(item, now.encoding)
            plain = data
            data = yield BlockingCall(lambda: compress_bytes(plain, compression))
            digest = compute_digest(algorithm, data)
        self._requests.count_bytes(len(data), policy.cancel)
        headers.update(checksum_header(algorithm, digest))
        if item.keep_time and (mtime := source_mtime(now)):
            headers[MTIME_HEADER] = mtime
        task = self._client.send(policy, "put_object", item.target, options, headers, body=data)
        etag, stored = yield from self._tasks.store(
            task, item.target, data, options, repeated=item.repeated
        )
        copied = make_copied(item, now, etag, stored)
        return copied if item.compression is None else replace(copied, size=len(data))
