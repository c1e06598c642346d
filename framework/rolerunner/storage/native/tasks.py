"""Tasks that the operations of the native engine share: retries, HEAD, and storing bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import AwsError
from rolerunner.model import S3Uri
from rolerunner.storage import hashing
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.boto.errors import PRECONDITION_CODES
from rolerunner.storage.boto.reader import UNEXPLAINED_CODES
from rolerunner.storage.boto.retries import backoff_seconds, can_retry
from rolerunner.storage.http.framing import Response
from rolerunner.storage.http.tasks import RetryPolicy, Task, run_blocking
from rolerunner.storage.native.client import NativeClient
from rolerunner.storage.native.fallback import run_or_fall_back
from rolerunner.storage.native.templates import UnsupportedRequest
from rolerunner.storage.protocol import ObjectInfo, Outcome, QuickCheck, prepare_retry
from rolerunner.storage.responses import (
    CUSTOMER_ALGORITHM_HEADER,
    check_etag_returned,
    parse_etag,
    parse_object_headers,
)

T = TypeVar("T")


def is_skipped(skip: Optional[Callable[[], bool]]) -> Task[bool]:
    """Returns True if the check of an item says so; it runs in a thread if it may block."""
    if skip is None:
        return False
    if isinstance(skip, QuickCheck):
        return skip()
    return (yield from run_blocking(skip))


class ObjectTasks:
    """Builds tasks about single objects of one role."""

    def __init__(self, client: NativeClient, fallback: BotoEngine) -> None:
        self._client = client
        self._requests = fallback.requests
        self._reader = fallback.reader
        self._recovery = fallback.recovery

    def retry(self, uri: S3Uri, begin: Callable[[], Task[Outcome]]) -> Task[Outcome]:
        """Returns the outcome of the last attempt, whose failure becomes a value."""
        try:
            return (yield from self.repeat(uri, begin))
        except StepError as error:
            return Outcome(uri, status="failed", error=error)

    def repeat(self, uri: S3Uri, begin: Callable[[], Task[T]]) -> Task[T]:
        """Returns the result of the first attempt that succeeds. Raises StepError of the last."""
        tried = 1
        while True:
            try:
                return (yield from begin())
            except (StepError, ClientError, BotoCoreError) as error:
                failure = self._requests.to_step_error(error, uri)
                if not can_retry(failure, tried):
                    raise failure from error
            yield backoff_seconds(tried)
            tried += 1

    def retry_item(
        self, item: Any, uri: S3Uri, begin: Callable[[Any], Task[Outcome]]
    ) -> Task[Outcome]:
        """Retries an item, which is prepared for each attempt but the first."""
        is_first = True

        def attempt() -> Task[Outcome]:
            nonlocal is_first
            prepared = item if is_first else prepare_retry(item)
            is_first = False
            return begin(prepared)

        return self.retry(uri, attempt)

    def attribute(
        self, task: Task[T], uri: S3Uri, source: Optional[S3Uri] = None, version: str = ""
    ) -> Task[T]:
        """Translates the errors of a task into those of this role and ``uri``."""
        try:
            return (yield from task)
        except Exception as error:  # a context manager costs 3 us for each of a million objects
            with self._requests.translate_errors(uri, source, version):
                raise error  # noqa: TRY201 - raised inside the translation

    def head(self, uri: S3Uri, policy: RetryPolicy) -> Task[ObjectInfo]:
        """Returns what S3 reports of one object. Raises ClientError, StepError."""
        return run_or_fall_back(self._head_object(uri, policy), lambda: self._reader.head(uri))

    def _head_object(self, uri: S3Uri, policy: RetryPolicy) -> Task[ObjectInfo]:
        options = self._client.read_options
        try:
            response = yield from self._client.send(policy, "head_object", uri, options)
        except ClientError as error:
            if AwsError.from_client_error(error).code not in UNEXPLAINED_CODES:
                raise
            # the plain engine asks a GET for the reason
            return (yield from run_blocking(lambda: self._reader.head(uri)))
        length = int(response.headers.get("content-length", "0"))
        return parse_object_headers(uri, response.headers, length)

    def head_outcome(self, uri: S3Uri, policy: RetryPolicy) -> Task[Outcome]:
        """Returns the outcome of HEAD."""
        info = yield from self.head(uri, policy)
        return Outcome(uri, info.size, etag=info.etag, version=info.version, info=info)

    def find_info(
        self, uri: S3Uri, info: Optional[ObjectInfo], policy: RetryPolicy
    ) -> Task[ObjectInfo]:
        """Returns ``info``, or what HEAD reports if it is None. Raises StepError."""
        if info is not None:
            return info
        return (yield from self.attribute(self.head(uri, policy), uri))

    def store(
        self,
        task: Task[Response],
        uri: S3Uri,
        data: bytes,
        options: Mapping[str, Any],
        *,
        repeated: bool,
    ) -> Task[tuple[str, str]]:
        """Returns the ETag and version that a PutObject, or an earlier attempt of it, stored."""
        try:
            headers = (yield from task).headers
        except ClientError as error:
            if AwsError.from_client_error(error).code not in PRECONDITION_CODES:
                raise
            refusal = error
            found = yield from run_blocking(
                lambda: self._recovery.recover_data(refusal, uri, data, repeated=repeated)
            )
            return parse_etag(found), found["VersionId"]
        check_etag_returned({"ETag": headers.get("etag")}, uri, "the upload")
        yield from self.check_encrypted(uri, options, headers)
        return headers.get("etag", "").strip('"'), headers.get("x-amz-version-id", "")

    def check_encrypted(
        self, uri: S3Uri, options: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Task[None]:
        """Checks that an object was stored with the customer key. Raises StepError."""
        algorithm = headers.get(CUSTOMER_ALGORITHM_HEADER)
        if "SSECustomerKey" in options and not algorithm:
            yield from run_blocking(lambda: self._requests.check_encrypted(uri, options, algorithm))


def check_computable(algorithm: str) -> None:
    """Raises UnsupportedRequest for a checksum that needs awscrt, if that is not installed."""
    if not hashing.can_compute(algorithm):
        raise UnsupportedRequest(f"{algorithm} cannot be computed without awscrt")
