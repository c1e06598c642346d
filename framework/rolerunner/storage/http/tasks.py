"""Work on one object as steps: a generator that yields what it waits for, so that one loop has hundreds of them under way.

It yields a ``Request`` and is sent its ``Answer``; a number of seconds to pause; or ``Work`` to be done in a thread, and is
sent what comes of it. What fails is thrown into it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.errors import ServiceFailed
from rolerunner.iam.aws_errors import EXPIRED_CODES
from rolerunner.storage.http import errors
from rolerunner.storage.http.framing import Response
from rolerunner.storage.native.templates import Request

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.pacing import Pacer

T = TypeVar("T")
MAX_BACKOFF = 20.0
"""Seconds of the longest wait between two tries of a request, as botocore's standard mode has it."""
_BASE = 0.25
_ERROR = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<Error\b")
"""What an answer of 200 begins with that is none: S3 sent the status before it knew."""


@dataclass(frozen=True)
class BlockingCall:
    """A call that blocks; ``large`` ones move objects in parts and have threads of their own."""

    call: Callable[[], Any]
    large: bool = False


Task = Generator[Union[Request, float, BlockingCall], Any, T]


def run_blocking(call: Callable[[], T], *, large: bool = False) -> Task[T]:
    """What comes of a call that blocks."""
    done: T = yield BlockingCall(call, large)
    return done


@dataclass(frozen=True)
class RetryPolicy:
    """How requests of an operation are made: at their pace, and again where that may help.

    ``invalidate`` gives the session up that is said to have expired: is there hope for another one? ``look_elsewhere`` lets
    botocore find the bucket's region: did it?
    """

    tries: int
    flow: Pacer
    cancel: Cancel
    invalidate: Callable[[], bool]

    def send(
        self,
        make: Callable[[], Request],
        look_elsewhere: Callable[[], bool],
        *,
        may_be_error: bool = False,
    ) -> Task[Response]:
        """The good answer to the request that ``make`` makes for every try. Raises ClientError, BotoCoreError, StepError.

        ``may_be_error``: an answer of 200 may have an error inside.
        """
        tried = resent = 0
        renewed = moved = False
        throttle = self.flow.throttle
        while True:
            while wait := throttle.wait():
                yield wait
            self.flow.pace_request(self.cancel)
            tried += 1
            era = throttle.era
            request = make()
            try:
                answer: Response = yield request
                resent += request.resent
                refused = _refused(
                    answer, request.operation, may_be_error=may_be_error, retried=tried - 1 + resent
                )
            except (
                BotoCoreError,
                ClientError,
                ServiceFailed,
            ) as error:  # of the connection, or of what a body comes from
                resent += request.resent
                failed: Union[BotoCoreError, ClientError, ServiceFailed] = error
            else:
                if refused is None:
                    return answer
                code = refused.response["Error"]["Code"]
                if code in EXPIRED_CODES and not renewed and self.invalidate():
                    renewed = True
                    continue
                if errors.is_redirect(refused) and not moved:
                    moved = True
                    if (yield BlockingCall(look_elsewhere)):
                        continue
                failed = refused
            if errors.is_throttled(failed):
                throttle.refused(era)
            if tried >= self.tries or not errors.is_retryable_error(failed):
                raise failed
            yield random.random() * min(MAX_BACKOFF, _BASE * 2**tried)


def _refused(
    answer: Response, operation: str, *, may_be_error: bool, retried: int
) -> Optional[ClientError]:
    if 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP
        if not may_be_error or not _ERROR.match(answer.body):
            return None
        answer.status = 500  # as botocore takes it
    return errors.from_response(answer, operation, retried=retried)
