"""Downloads small objects over the event loop; large ones go in ranges."""

from __future__ import annotations

from dataclasses import replace

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.common.cancellation import Cancel
from rolerunner.common.file_errors import translate_os_errors
from rolerunner.model import S3Uri
from rolerunner.storage import file_comparison, integrity
from rolerunner.storage.boto.downloads import make_skipped_download
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.boto.errors import make_checksum_error
from rolerunner.storage.concurrency import PartExecutor
from rolerunner.storage.http.framing import Response
from rolerunner.storage.http.tasks import BlockingCall, RetryPolicy, Task, run_blocking
from rolerunner.storage.integrity import ExpectedChecksum
from rolerunner.storage.native.client import NativeClient, version_query
from rolerunner.storage.native.fallback import run_or_fall_back
from rolerunner.storage.native.tasks import ObjectTasks, is_skipped
from rolerunner.storage.protocol import Get, ObjectInfo, Outcome
from rolerunner.storage.responses import parse_object_headers
from rolerunner.storage.transfer_files import (
    DownloadSink,
    decompress_file,
    set_modified_time,
    verify_checksum,
)


class DownloadTasks:
    """Builds the tasks that download objects."""

    def __init__(self, client: NativeClient, tasks: ObjectTasks, fallback: BotoEngine) -> None:
        self._client = client
        self._tasks = tasks
        self._requests = fallback.requests
        self._reader = fallback.reader
        self._downloads = fallback.downloads
        self._large = fallback.tuning.large

    def download(self, item: Get, policy: RetryPolicy, parts: PartExecutor) -> Task[Outcome]:
        """Downloads one object. Raises StepError, ClientError, BotoCoreError."""
        if (yield from is_skipped(item.skip)):
            return make_skipped_download(item)
        info = item.info
        if info is None:
            info = yield from self._tasks.find_info(item.source, None, policy)

        def download_by_boto() -> Outcome:
            return self._downloads.download(replace(item, info=info, skip=None), parts)

        if info.size >= self._large:
            return (yield from run_blocking(download_by_boto, large=True))
        task = self._download_whole(item, info, policy)
        return (yield from run_or_fall_back(task, download_by_boto))

    def _download_whole(self, item: Get, info: ObjectInfo, policy: RetryPolicy) -> Task[Outcome]:
        uri, cancel = item.source, policy.cancel
        sink = DownloadSink(
            item.target,
            lambda count: self._requests.count_bytes(count, cancel),
            info.size,
            item.folder,
        )
        try:
            response = yield from self._client.send(
                policy,
                "get_object",
                uri,
                self._client.read_options,
                query=version_query(info.version),
                sink=sink,
            )
            now, is_verified = self._complete_file(uri, response, sink, cancel)
            if not is_verified:
                yield from self._verify_checksum(uri, now, response, sink)
            if (decompression := item.decompress) is not None:
                yield BlockingCall(
                    lambda: decompress_file(
                        sink.file, item.target, uri, item.folder, decompression, now.encoding
                    )
                )
            if item.keep_time:
                set_modified_time(sink.file, now)
            sink.commit()
            return Outcome(uri, now.size, item.target, now.etag, now.version, info=now)
        except ClientError as error:
            raise self._requests.to_step_error(error, uri, info.version) from error
        except BotoCoreError:
            raise  # some of them are OSErrors
        except OSError:
            with translate_os_errors(item.target):
                raise
        finally:
            sink.discard()

    def _complete_file(
        self, uri: S3Uri, response: Response, sink: DownloadSink, cancel: Cancel
    ) -> tuple[ObjectInfo, bool]:
        """Completes the file; returns the object, and whether its bytes are verified already."""
        now = parse_object_headers(uri, response.headers, response.sunk or len(response.body))
        if response.sunk:
            return now, False
        self._requests.count_bytes(now.size, cancel)
        sink.write_all(response.body)
        return now, integrity.has_checksum(response.body, now.checksum)

    def _verify_checksum(
        self, uri: S3Uri, now: ObjectInfo, response: Response, sink: DownloadSink
    ) -> Task[None]:
        """Raises IntegrityFailed if the file's bytes do not have the checksum S3 reports."""
        expected = ExpectedChecksum.of(now.checksum)
        if expected is None:
            return
        if sink.running is not None and response.sunk:
            verify_checksum(uri, now, sink.running)
        elif expected.parts or response.sunk:
            matches = yield BlockingCall(
                lambda: file_comparison.file_matches(
                    sink.file.descriptor,
                    now.checksum,
                    lambda: self._reader.get_part_size(uri, now),
                )
            )
            if matches is False:
                raise make_checksum_error(uri, now.checksum)
        else:
            running = expected.start(now.size, lambda: 0)
            if running is not None:
                running.update(response.body)
            verify_checksum(uri, now, running)
