"""Copies small objects within S3 over the event loop; large ones go in parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from rolerunner.iam.aws_errors import AwsError
from rolerunner.model import S3Uri
from rolerunner.storage.boto.copies import make_copied
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.boto.errors import PRECONDITION_CODES
from rolerunner.storage.boto.reader import KEPT_OPTIONS
from rolerunner.storage.concurrency import PartExecutor
from rolerunner.storage.http import xml
from rolerunner.storage.http.framing import Response
from rolerunner.storage.http.sigv4 import quote_key
from rolerunner.storage.http.tasks import BlockingCall, RetryPolicy, Task, run_blocking
from rolerunner.storage.native.client import NativeClient
from rolerunner.storage.native.fallback import run_or_fall_back
from rolerunner.storage.native.tasks import ObjectTasks, is_skipped
from rolerunner.storage.native.templates import KEY_PLACEHOLDER
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome, make_skipped_copy
from rolerunner.storage.responses import check_etag_returned, parse_etag

_KEPT_OPTIONS = frozenset(KEPT_OPTIONS)


class CopyTasks:
    """Builds the tasks that copy objects."""

    def __init__(self, client: NativeClient, tasks: ObjectTasks, fallback: BotoEngine) -> None:
        self._client = client
        self._tasks = tasks
        self._requests = fallback.requests
        self._recovery = fallback.recovery
        self._copies = fallback.copies

    def copy(self, item: Copy, policy: RetryPolicy, parts: PartExecutor) -> Task[Outcome]:
        """Copies one object. Raises StepError, ClientError, BotoCoreError."""
        info = item.info
        if info is None:
            info = yield from self._find_source(item.source, policy)
        if (yield from is_skipped(item.skip)):
            return make_skipped_copy(item, info)

        def copy_by_boto() -> Outcome:
            return self._copies.copy(replace(item, info=info, skip=None), parts)

        if info.size >= item.large:
            return (yield from run_blocking(copy_by_boto, large=True))
        if item.keep_time or not _KEPT_OPTIONS.isdisjoint(
            item.options
        ):  # the others are read from each source
            return (yield from run_blocking(copy_by_boto))
        task = self._copy_whole(item, info, policy)
        return (yield from run_or_fall_back(task, copy_by_boto))

    def _find_source(self, source: S3Uri, policy: RetryPolicy) -> Task[ObjectInfo]:
        access = self._requests.access
        if access.of_source == access:
            return (yield from self._tasks.find_info(source, None, policy))
        return (yield from run_blocking(lambda: self._copies.source_reader.head(source)))

    def _copy_whole(self, item: Copy, info: ObjectInfo, policy: RetryPolicy) -> Task[Outcome]:
        options = _build_options(item)
        if "IfNoneMatch" in options and not self._requests.is_on_aws:
            yield BlockingCall(
                lambda: self._recovery.check_absent(item.target, options, repeated=item.repeated)
            )
        template = self._client.find_template("copy_object", item.target.bucket, options)
        prefix = template.headers["x-amz-copy-source"].removesuffix(KEY_PLACEHOLDER)
        version = f"?versionId={info.version}" if info.version else ""
        headers = {
            "x-amz-copy-source": prefix + quote_key(item.source.key) + version,
            "x-amz-copy-source-if-match": f'"{info.etag}"',
        }
        response = self._client.send(
            policy, "copy_object", item.target, options, headers, may_be_error=True
        )
        etag, stored = yield from self._tasks.attribute(
            self._finish_copy(response, item, info), item.target, item.source, info.version
        )
        self._requests.count_bytes(info.size, policy.cancel)
        return make_copied(item, info, etag, stored)

    def _finish_copy(
        self, task: Task[Response], item: Copy, info: ObjectInfo
    ) -> Task[tuple[str, str]]:
        """Returns the ETag and version that a CopyObject, or an earlier attempt, stored."""
        try:
            response = yield from task
        except ClientError as error:
            if AwsError.from_client_error(error).code not in PRECONDITION_CODES:
                raise
            refusal = error
            found = yield from run_blocking(lambda: self._copies.recover(refusal, item, info))
            return parse_etag(found), found["VersionId"]
        etag = xml.find_field(response.body, "ETag").strip('"')
        check_etag_returned({"ETag": etag}, item.target, "the copy")
        yield from self._tasks.check_encrypted(item.target, item.options, response.headers)
        return etag, response.headers.get("x-amz-version-id", "")


def _build_options(item: Copy) -> Mapping[str, Any]:
    """Returns the options of the template: one serves all sources of a bucket."""
    bucket = item.source.bucket
    source: Any = f"{bucket}/{KEY_PLACEHOLDER}"
    if bucket.startswith("arn:"):
        source = {"Bucket": bucket, "Key": KEY_PLACEHOLDER}
    directive = {"TaggingDirective": "REPLACE"} if "Tagging" in item.options else {}
    return {**item.options, **directive, "CopySource": source}
