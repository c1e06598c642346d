"""Uploads small files over the event loop; large ones go in parts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Union

from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.compression import compress_bytes
from rolerunner.storage.concurrency import PartExecutor
from rolerunner.storage.hashing import compute_digest
from rolerunner.storage.http.tasks import BlockingCall, RetryPolicy, Task, run_blocking
from rolerunner.storage.kept_times import MTIME_HEADER, format_mtime
from rolerunner.storage.native.client import NativeClient, checksum_header, split_checksum
from rolerunner.storage.native.fallback import run_or_fall_back
from rolerunner.storage.native.tasks import ObjectTasks, check_computable, is_skipped
from rolerunner.storage.protocol import Outcome, Put
from rolerunner.storage.upload_source import UploadSource


class UploadTasks:
    """Builds the tasks that upload files."""

    def __init__(self, client: NativeClient, tasks: ObjectTasks, fallback: BotoEngine) -> None:
        self._client = client
        self._tasks = tasks
        self._requests = fallback.requests
        self._uploads = fallback.uploads
        self._large = fallback.tuning.large

    def upload(self, item: Put, policy: RetryPolicy, parts: PartExecutor) -> Task[Outcome]:
        """Uploads one file. Raises StepError, ClientError, BotoCoreError."""
        file = UploadSource.of(item.source, follow=item.follow)
        size = file.before.st_size
        if (yield from is_skipped(item.skip)):
            return Outcome(item.target, size, item.source, status="skipped")

        def upload_by_boto() -> Outcome:
            return self._uploads.upload(replace(item, skip=None), parts)

        if size >= self._large:
            return (yield from run_blocking(upload_by_boto, large=True))
        task = self._upload_whole(item, file, policy)
        return (yield from run_or_fall_back(task, upload_by_boto))

    def _upload_whole(self, item: Put, file: UploadSource, policy: RetryPolicy) -> Task[Outcome]:
        size = file.before.st_size
        algorithm, options = split_checksum(item.options)
        check_computable(algorithm)
        data = file(0, size)
        if (compression := item.compression) is not None:
            plain = data
            data = yield BlockingCall(lambda: compress_bytes(plain, compression))
        self._requests.count_bytes(len(data), policy.cancel)
        headers = dict(checksum_header(algorithm, compute_digest(algorithm, data)))
        if item.keep_time:
            headers[MTIME_HEADER] = format_mtime(file.before.st_mtime_ns)
        task = self._client.send(policy, "put_object", item.target, options, headers, body=data)
        etag, version = yield from self._tasks.store(
            task, item.target, data, options, repeated=item.repeated
        )
        return Outcome(item.target, len(data), item.source, etag, version)


def measure_memory(path: Union[str, Path], large: int) -> int:
    """Returns the bytes that the file takes in memory while it is sent; large ones take none."""
    try:
        size = os.stat(path).st_size  # noqa: PTH116 - called for each of a million files
    except OSError:
        return 0  # the upload itself reports it
    return size if size < large else 0
