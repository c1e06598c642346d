"""Bounds the responses that botocore reads into memory, since a response may never end."""

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

from rolerunner.sessions.foreign_responses import (
    find_protocol,
    refuse_empty_body,
    refuse_foreign_body,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_RESPONSE = 64 << 20
"""Bytes of a response that is not streamed: AWS's have up to 16 MiB, a page of a listing some 5."""
MAX_ERROR = 1 << 20
"""Bytes of an error response."""
MAX_SECONDS = 300.0
"""Seconds in which such a response must be complete."""
_FIRST_ERROR_STATUS = 300


class ResponseTooLarge(BotoCoreError):  # type: ignore[misc]  # botocore has no annotations
    """A response was abandoned. botocore does not retry it, since the next would be no smaller."""

    fmt = "the server's response is too large: {reason}"


def bound_responses(client: Any) -> None:
    """Makes a botocore client fail on a response that is too large, too slow or not the service's.

    Bodies that are streamed are left to their readers.
    """
    session = getattr(getattr(client, "_endpoint", None), "http_session", None)
    if session is None:  # another version of botocore
        return
    send, protocol = session.send, find_protocol(client)

    def send_bounded(request: Any) -> Any:
        is_stream, request.stream_output = request.stream_output, True
        response = send(request)
        if not is_stream or response.status_code >= _FIRST_ERROR_STATUS:
            # the property ``content`` returns this attribute where it is set
            response._content = _read_all(response, request)  # noqa: SLF001
        if not is_stream and response.status_code < _FIRST_ERROR_STATUS:
            refuse_foreign_body(protocol, response.content)
            refuse_empty_body(client, request.headers, response.content)
        return response

    session.send = send_bounded


def _read_all(response: Any, request: Any) -> bytes:
    url = request.url
    try:
        return b"".join(_read_bounded(response))
    except SocketTimeoutError as error:
        raise ReadTimeoutError(endpoint_url=url, error=error) from error
    except ProtocolError as error:
        raise ConnectionClosedError(error=error, request=request, endpoint_url=url) from error
    except ResponseTooLarge:
        raise
    except Exception as error:
        raise HTTPClientError(error=error) from error


def _read_bounded(response: Any) -> Iterator[bytes]:
    limit = MAX_ERROR if response.status_code >= _FIRST_ERROR_STATUS else MAX_RESPONSE
    deadline, received = time.monotonic() + MAX_SECONDS, 0
    for block in response.raw.stream():
        received += len(block)
        if received > limit:
            response.raw.close()
            raise ResponseTooLarge(reason=f"it has more than {limit:,} bytes")
        if time.monotonic() > deadline:
            response.raw.close()
            raise ResponseTooLarge(reason=f"it did not end within {MAX_SECONDS:g} s")
        yield block
