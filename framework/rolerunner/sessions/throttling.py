"""Waits while STS throttles requests."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from rolerunner.iam.aws_errors import AwsError, is_throttling_response

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_WAIT_SECONDS = 90.0
"""Time after which throttling becomes the request's failure."""
FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS = 0.5, 8.0
"""Upper bounds of the first delay between two requests and of all delays."""


def wait_out_throttling(send: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Returns the response of ``send``, repeated after random, growing delays while throttled.

    Jobs that start together assume many roles at once, and STS allows some 600 requests a second
    for an account and region. Raises ClientError.
    """
    deadline, max_delay = time.monotonic() + MAX_WAIT_SECONDS, FIRST_DELAY_SECONDS
    while True:
        try:
            return send()
        except ClientError as error:
            delay = random.uniform(max_delay / 4, max_delay)
            is_throttled = is_throttling_response(AwsError.from_client_error(error))
            if not is_throttled or time.monotonic() + delay > deadline:
                raise
        time.sleep(delay)
        max_delay = min(2 * max_delay, MAX_DELAY_SECONDS)
