"""How the fast engine makes requests: kinds that botocore works out once, tried again where that may help."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Optional, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import AwsError, is_retryable
from rolerunner.model import S3Uri
from rolerunner.storage.boto.engine import TRIES, BotoEngine
from rolerunner.storage.boto.objects import ALREADY
from rolerunner.storage.http.connection_pool import ConnectionPool
from rolerunner.storage.http.event_loop import EventLoop
from rolerunner.storage.http.framing import Response
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.http.tasks import RetryPolicy, Task, run_blocking
from rolerunner.storage.native.templates import Declined, Request, Template, template
from rolerunner.storage.protocol import ObjectInfo, Outcome, prepare_retry
from rolerunner.storage.responses import check_etag_returned, parse_etag, parse_object_headers
from rolerunner.storage.workers.forked import ForkedProcesses

T = TypeVar("T")
_LOG = logging.getLogger("rolerunner.storage")
_SAID: set[str] = set()


@dataclass(frozen=True)
class LaneRequests(BotoEngine):
    """S3 over sockets of our own. ``credentials`` are asked for at every signature; ``net`` makes the sockets."""

    credentials: Any = None
    net: SocketFactory = field(default_factory=lambda: SocketFactory(None, 10, 60))
    processes: Optional[ForkedProcesses] = field(default=None, compare=False)
    """That may take a share of an operation."""
    _templates: dict[Any, Template] = field(default_factory=dict, repr=False, compare=False)
    _looking: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _lines: ConnectionPool = field(init=False, repr=False, compare=False)

    _checked: Mapping[str, Any] = field(init=False, repr=False, compare=False)
    """What asks GET and HEAD for checksums, where this boto3 knows of them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_checked", self._read_options(""))
        object.__setattr__(self, "_lines", ConnectionPool(self.net))

    def _loop(self, cancel: Cancel, connections: int = 0) -> tuple[EventLoop, RetryPolicy]:
        tuning = self.tuning
        loop = EventLoop(
            self.net, cancel, connections=min(connections or tuning.connections, tuning.connections), memory=tuning.memory // 2 // tuning.processes,
            threads=tuning.workers, paced=self.flow.paces_bytes,
        )  # fmt: skip
        return loop, self._asking(loop.cancel)

    def _asking(self, cancel: Cancel) -> RetryPolicy:
        return RetryPolicy(self.tries, self.flow, cancel, lambda: _invalidate(self.credentials))

    def _template(self, method: str, bucket: str, options: Mapping[str, Any]) -> Template:
        """The kind of request, made once for each bucket and set of options. Raises Declined, and what signing raises."""
        key: tuple[Any, ...] = (method, bucket, *options.items())
        try:
            found = self._templates.get(key)
        except TypeError:  # one of the values is a dict
            key = (
                method,
                bucket,
                *(
                    (name, tuple(sorted(value.items())) if isinstance(value, dict) else value)
                    for name, value in options.items()
                ),
            )
            found = self._templates.get(key)
        if found is None:
            found = self._templates[key] = template(
                self.client, self.credentials, method, bucket, {**self._said(method), **options}
            )
        return found

    def _look_elsewhere(self, bucket: str, sent: Optional[Template]) -> bool:
        """Let botocore find the bucket, which follows redirects and remembers them; do requests go elsewhere now than ``sent`` did?"""
        with self._looking, suppress(ClientError, BotoCoreError, Declined):
            if self._is_elsewhere(bucket, sent):
                return True  # somebody else has looked meanwhile
            with suppress(
                ClientError, RecursionError
            ):  # some botocores ask themselves for ever where no answer names a region
                self.client.head_bucket(Bucket=bucket)
            self._templates.clear()
            return self._is_elsewhere(bucket, sent)
        return False

    def _is_elsewhere(self, bucket: str, sent: Optional[Template]) -> bool:
        now = self._template("head_bucket", bucket, {})
        return sent is None or (sent.address, sent.signer.region) != (
            now.address,
            now.signer.region,
        )

    def _asked(
        self,
        asking: RetryPolicy,
        method: str,
        uri: S3Uri,
        options: Mapping[str, Any],
        headers: Optional[Mapping[str, str]] = None,
        *,
        may_be_error: bool = False,
        **more: Any,
    ) -> Task[Response]:
        """The good answer to one request."""
        sent: Optional[Template] = None

        def make() -> Request:
            nonlocal sent
            sent = self._template(method, uri.bucket, options)
            return sent.request(uri.key, headers, **more)

        return asking.send(
            make, lambda: self._look_elsewhere(uri.bucket, sent), may_be_error=may_be_error
        )

    def _settled(self, uri: S3Uri, begin: Callable[[], Task[Outcome]]) -> Task[Outcome]:
        """The outcome, a failure as a value; what changed or broke off meanwhile is begun again."""
        for tried in range(1, TRIES + 1):
            try:
                return (yield from begin())
            except (StepError, ClientError, BotoCoreError) as error:
                failed = self._as_step_error(error, uri)
                if tried == TRIES or not is_retryable(failed):
                    return Outcome(uri, status="failed", error=failed)
            yield 0.2 * 2**tried
        raise AssertionError  # the last try returns

    def _as_step_error(self, error: Exception, uri: S3Uri, version: str = "") -> StepError:
        try:
            with self._translated(uri, version=version):
                raise error
        except StepError as translated_one:
            return translated_one

    def _steps_about(
        self, steps: Task[T], uri: S3Uri, source: Optional[S3Uri] = None, version: str = ""
    ) -> Task[T]:
        """Steps whose failures are about this role and ``uri``, whoever has use for what comes of them; ``source`` as of ``_translated``."""
        with self._translated(uri, source, version):
            return (yield from steps)

    def _put_or_own(
        self, steps: Task[Response], uri: S3Uri, data: bytes, *, repeated: bool
    ) -> Task[tuple[str, str]]:
        """The ETag and version of what a PutObject stored, or an earlier try of it."""
        try:
            headers = (yield from steps).headers
        except ClientError as error:
            if AwsError.from_client_error(error).code not in ALREADY:
                raise
            refused = error
            own = yield from run_blocking(
                lambda: self._own_data(refused, uri, data, repeated=repeated)
            )
            return parse_etag(own), own["VersionId"]
        check_etag_returned({"ETag": headers.get("etag")}, uri, "the upload")
        return headers.get("etag", "").strip('"'), headers.get("x-amz-version-id", "")

    def _tried_again(
        self, item: Any, uri: S3Uri, begin: Callable[[Any], Task[Outcome]]
    ) -> Task[Outcome]:
        """Settled; from the second try on the item is taken as a further try takes it."""
        began = False

        def once() -> Task[Outcome]:
            nonlocal began
            again, began = began, True
            return begin(prepare_retry(item) if again else item)

        return self._settled(uri, once)

    def _plainly(self, why: Declined, call: Callable[[], T]) -> Task[T]:
        """What the lane declines, done by the plain engine."""
        self._say(why)
        return run_blocking(call)

    def _say(self, why: Declined) -> None:
        reason = str(why)
        if reason not in _SAID:
            _SAID.add(reason)
            _LOG.warning("boto3 is used where the fast engine is not: %s", reason)

    # head

    def _head_steps(self, uri: S3Uri, asking: RetryPolicy, version: str = "") -> Task[Outcome]:
        try:
            answer = yield from self._asked(
                asking, "head_object", uri, self._checked, query=version_query(version)
            )
            info = parse_object_headers(
                uri.key, answer.headers, int(answer.headers.get("content-length", "0"))
            )
        except Declined as why:
            info = yield from self._plainly(why, lambda: self.head(uri, version))
        except ClientError as error:
            if AwsError.from_client_error(error).code not in {"400", "403"}:
                raise
            info = yield from run_blocking(
                lambda: self.head(uri, version)
            )  # which asks a GET for the reason
        return Outcome(uri, info.size, etag=info.etag, version=info.version, info=info)

    def _known(
        self, uri: S3Uri, info: Optional[ObjectInfo], asking: RetryPolicy
    ) -> Task[ObjectInfo]:
        if info is not None:
            return info
        outcome = yield from self._steps_about(self._head_steps(uri, asking), uri)
        assert outcome.info is not None  # noqa: S101 - HEAD tells it
        return outcome.info


def _invalidate(credentials: Any) -> bool:
    invalidate = getattr(credentials, "invalidate", None)
    return bool(invalidate(None)) if invalidate is not None else False


def version_query(version: str) -> tuple[tuple[str, str], ...]:
    """What a request for a version says besides."""
    return (("versionId", version),) if version else ()


def hashed_by(options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The checksum's algorithm that S3 is told, CRC32 if the step says none, and the other options."""
    rest = dict(options)
    return str(rest.pop("ChecksumAlgorithm", "CRC32")), rest


def checksum_header(algorithm: str, digest: str) -> dict[str, str]:
    """The header that tells S3 what it gets; ``digest`` is in base64."""
    return {f"x-amz-checksum-{algorithm.lower()}": digest}
