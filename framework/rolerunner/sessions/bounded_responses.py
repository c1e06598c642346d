"""A bound on what botocore reads of an answer into memory: it has none itself, and an answer may have no end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    HTTPClientError,
    ReadTimeoutError,
)
from urllib3.exceptions import ProtocolError
from urllib3.exceptions import ReadTimeoutError as SocketTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_RESPONSE = 64 << 20
"""Bytes of an answer that is no stream: AWS's own have 16 MiB at most, a page of S3's listing some 5."""
MAX_ERROR = 1 << 20
"""Bytes of an error's answer."""
MAX_SECONDS = 300.0
"""Seconds in which such an answer must have come."""
_FIRST_ERROR = 300


class ResponseTooLarge(BotoCoreError):  # type: ignore[misc]  # botocore has no annotations
    """An answer was given up. Another try would be no shorter, so botocore is not to repeat the request."""

    fmt = "the server's answer is too long: {reason}"


def bound_responses(client: Any) -> None:
    """Make a botocore client fail where an answer is too long or takes too long. Bodies that are streamed are left to their readers."""
    session = getattr(getattr(client, "_endpoint", None), "http_session", None)
    if session is None:  # another version of botocore
        return
    send = session.send

    def send_bounded(request: Any) -> Any:
        is_stream, request.stream_output = request.stream_output, True
        response = send(request)
        if not is_stream or response.status_code >= _FIRST_ERROR:
            response._content = _read_all(response, request)  # noqa: SLF001 - what its property ``content`` keeps
        return response

    session.send = send_bounded


def _read_all(response: Any, request: Any) -> bytes:
    try:
        return b"".join(_bounded_blocks(response))
    except SocketTimeoutError as error:
        raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
    except ProtocolError as error:
        raise ConnectionClosedError(
            error=error, request=request, endpoint_url=request.url
        ) from error
    except ResponseTooLarge:
        raise
    except Exception as error:
        raise HTTPClientError(error=error) from error


def _bounded_blocks(response: Any) -> Iterator[bytes]:
    limit = MAX_ERROR if response.status_code >= _FIRST_ERROR else MAX_RESPONSE
    end, received = time.monotonic() + MAX_SECONDS, 0
    for block in response.raw.stream():
        received += len(block)
        if received > limit:
            response.raw.close()
            raise ResponseTooLarge(reason=f"it has more than {limit:,} bytes")
        if time.monotonic() > end:
            response.raw.close()
            raise ResponseTooLarge(reason=f"it did not end within {MAX_SECONDS:g} s")
        yield block
