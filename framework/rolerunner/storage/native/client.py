"""Sends S3 requests over this package's own HTTP transport.

botocore builds the first request of each kind; its copies are signed anew for each object.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Optional, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.common.cancellation import Cancel
from rolerunner.model import S3Uri
from rolerunner.sessions.deferred_client import find_template_client
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.http.blocking import BlockingClient
from rolerunner.storage.http.connection_pool import ConnectionPool
from rolerunner.storage.http.event_loop import EventLoop
from rolerunner.storage.http.framing import Response
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.http.tasks import RetryPolicy, Task
from rolerunner.storage.native.templates import (
    KEY_PLACEHOLDER,
    Request,
    RequestTemplate,
    UnsupportedRequest,
    build_template,
)
from rolerunner.storage.tuning import Tuning

T = TypeVar("T")


class NativeClient:
    """Sends requests under one role; ``credentials`` are read for every signature."""

    def __init__(
        self, requests: BotoRequests, tuning: Tuning, credentials: Any, sockets: SocketFactory
    ) -> None:
        self.requests = requests
        self.tuning = tuning
        self.connections = ConnectionPool(sockets)
        """Connections of threads that transfer ranges and parts."""
        self.read_options: Mapping[str, Any] = requests.read_options("")
        """Options of GET and HEAD that ask for checksums, if this version of boto3 has them."""
        self._credentials = credentials
        self._sockets = sockets
        self._templates: dict[Any, RequestTemplate] = {}
        self._locating = threading.Lock()

    def open_loop(self, cancel: Cancel, connections: int = 0) -> tuple[EventLoop, RetryPolicy]:
        """Returns an event loop for one operation, and the retry policy of its requests."""
        tuning = self.tuning
        loop = EventLoop(
            self._sockets,
            cancel,
            connections=min(connections or tuning.connections, tuning.connections),
            memory=tuning.memory // 2 // tuning.processes,
            threads=tuning.workers,
            paced=self.requests.pacer.paces_bytes,
        )
        return loop, self.make_policy(loop.cancel)

    def make_policy(self, cancel: Cancel) -> RetryPolicy:
        """Returns the retry policy of requests that stop when ``cancel`` is set."""
        requests = self.requests
        return RetryPolicy(requests.max_attempts, requests.pacer, cancel, self._invalidate_session)

    def _invalidate_session(self) -> bool:
        """Gives up a session that S3 calls expired; returns True if another one can be had."""
        invalidate = getattr(self._credentials, "invalidate", None)
        return bool(invalidate(None)) if invalidate is not None else False

    def send(
        self,
        policy: RetryPolicy,
        method: str,
        uri: S3Uri,
        options: Mapping[str, Any],
        headers: Optional[Mapping[str, str]] = None,
        *,
        may_be_error: bool = False,
        **content: Any,
    ) -> Task[Response]:
        """Returns the successful response to one request.

        ``may_be_error`` tells that a response of 200 may hold an error; ``content`` is what
        ``RequestTemplate.sign`` takes. Raises UnsupportedRequest, ClientError, BotoCoreError,
        StepError.
        """
        template: Optional[RequestTemplate] = None

        def sign() -> Request:
            nonlocal template
            template = self.find_template(method, uri.bucket, options)
            return template.sign(uri.key, headers, **content)

        return policy.send(
            sign, lambda: self._locate_bucket(uri.bucket, template), may_be_error=may_be_error
        )

    def run(self, task: Task[T], cancel: Cancel) -> T:
        """Runs a task in the calling thread, over a connection of the pool."""
        return BlockingClient(self.connections, cancel).run(task)

    def supports(self, method: str) -> bool:
        """Returns True if such requests can be sent, as far as that is the same in any bucket."""
        try:
            self.find_template(method, KEY_PLACEHOLDER, {})
        except UnsupportedRequest:
            return False
        return True

    def find_template(
        self, method: str, bucket: str, options: Mapping[str, Any]
    ) -> RequestTemplate:
        """Returns the template of the requests with these options, built when first needed.

        Raises UnsupportedRequest and what signing raises.
        """
        key: tuple[Any, ...] = (method, bucket, *options.items())
        try:
            template = self._templates.get(key)
        except TypeError:  # one of the values is a dict
            key = (
                method,
                bucket,
                *((name, _freeze_value(value)) for name, value in options.items()),
            )
            template = self._templates.get(key)
        if template is None:
            parameters = {**self.requests.access_options(method), **options}
            template = build_template(
                find_template_client(self.requests.client),
                self._credentials,
                method,
                bucket,
                parameters,
            )
            self._templates[key] = template
        return template

    def _locate_bucket(self, bucket: str, sent: Optional[RequestTemplate]) -> bool:
        """Lets botocore find the bucket's region; returns True if it is not where ``sent`` went.

        botocore follows redirects and remembers them.
        """
        with self._locating, suppress(ClientError, BotoCoreError, UnsupportedRequest):
            if self._has_moved(bucket, sent):
                return True  # another thread has found it meanwhile
            # some versions of botocore recurse without end if no response names a region
            with suppress(ClientError, RecursionError):
                self.requests.client.head_bucket(Bucket=bucket)
            self._templates.clear()
            return self._has_moved(bucket, sent)
        return False

    def _has_moved(self, bucket: str, sent: Optional[RequestTemplate]) -> bool:
        now = self.find_template("head_bucket", bucket, {})
        if sent is None:
            return True
        return (sent.address, sent.signer.region) != (now.address, now.signer.region)


def _freeze_value(value: Any) -> Any:
    return tuple(sorted(value.items())) if isinstance(value, dict) else value


def version_query(version: str) -> tuple[tuple[str, str], ...]:
    """Returns the query parameters that name a version."""
    return (("versionId", version),) if version else ()


def split_checksum(options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns the algorithm of the checksum, CRC32 by default, and the other options."""
    rest = dict(options)
    return str(rest.pop("ChecksumAlgorithm", "CRC32")), rest


def checksum_header(algorithm: str, digest: str) -> dict[str, str]:
    """Returns the header that holds the checksum of a body; ``digest`` is in base64."""
    return {f"x-amz-checksum-{algorithm.lower()}": digest}
