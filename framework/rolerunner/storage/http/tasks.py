"""Tasks on one object, as generators that yield what they wait for.

A task yields a ``Request`` and is sent its ``Response``; a number of seconds to pause; or a
``BlockingCall``, and is sent its result. Failures are thrown into it.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.errors import ServiceFailed
from rolerunner.iam.aws_errors import EXPIRED_CODES
from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.http import errors
from rolerunner.storage.http.framing import Response
from rolerunner.storage.latency import LATENCY
from rolerunner.storage.native.templates import Request

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.pacing import Pacer

T = TypeVar("T")
RequestError = Union[BotoCoreError, ClientError, ServiceFailed]
MAX_BACKOFF = 20.0
"""Longest wait between two tries of a request in seconds, as in botocore's standard mode."""
_BASE = 0.25
_ERROR = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<Error\b")
"""The start of a body that is an error though the status is 200: S3 sends the status before it
knows the result.
"""


@dataclass(frozen=True)
class BlockingCall:
    """A call to run in a thread.

    ``large`` calls transfer objects in parts and have threads of their own.
    """

    call: Callable[[], Any]
    large: bool = False


Task = Generator[Union[Request, float, BlockingCall], Any, T]


def run_blocking(call: Callable[[], T], *, large: bool = False) -> Task[T]:
    """Returns the result of a blocking call."""
    result: T = yield BlockingCall(call, large)
    return result


@dataclass(frozen=True)
class RetryPolicy:
    """Sends the requests of an operation: paced, and repeated if that may help.

    ``invalidate`` discards the session that has expired and returns True if it can be renewed.
    """

    tries: int
    pacer: Pacer
    cancel: Cancel
    invalidate: Callable[[], bool]

    def send(
        self,
        create_request: Callable[[], Request],
        redirect: Callable[[], bool],
        *,
        may_be_error: bool = False,
    ) -> Task[Response]:
        """Returns the response to a request that ``create_request`` creates for each try.

        ``redirect`` lets botocore find the bucket's region and returns True if it did.
        ``may_be_error``: a response with status 200 may hold an error. Raises ClientError,
        BotoCoreError, StepError.
        """
        tried = resent = 0
        is_renewed = is_redirected = False
        throttle = self.pacer.throttle
        while True:
            while wait := throttle.wait():
                yield wait
            self.pacer.pace_request(self.cancel)
            tried += 1
            era = throttle.era
            request = create_request()
            sent_at = time.monotonic()
            try:
                response: Response = yield request
                resent += request.resent
                refused = _find_error(
                    response,
                    request.operation,
                    may_be_error=may_be_error,
                    retried=tried - 1 + resent,
                )
            except (BotoCoreError, ClientError, ServiceFailed) as error:
                # of the connection, or of the source of a body
                resent += request.resent
                failed: RequestError = error
            else:
                if refused is None:
                    LATENCY.add(time.monotonic() - sent_at)
                    return response
                code = refused.response["Error"]["Code"]
                if code in EXPIRED_CODES and not is_renewed and self.invalidate():
                    is_renewed = True
                    continue
                if errors.is_redirect(refused) and not is_redirected:
                    is_redirected = True
                    if (yield BlockingCall(redirect)):
                        continue
                failed = refused
            if errors.is_throttled(failed):
                throttle.on_refused(era)
            if tried >= self.tries or not errors.is_retryable_error(failed):
                raise failed
            yield random.random() * min(MAX_BACKOFF, _BASE * 2**tried)


def _find_error(
    response: Response, operation: str, *, may_be_error: bool, retried: int
) -> Optional[ClientError]:
    """Returns the error that a response holds, or None."""
    if 200 <= response.status < 300:  # noqa: PLR2004 - HTTP
        if not may_be_error or not _ERROR.match(response.body):
            return None
        response.status = 500  # as botocore takes it
    return errors.from_response(response, operation, retried=retried)
