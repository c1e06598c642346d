"""Sends requests by each of the two transports, in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Union

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.storage.http.blocking import BlockingClient
from rolerunner.storage.http.connection_pool import ConnectionPool
from rolerunner.storage.http.event_loop import EventLoop
from rolerunner.storage.http.framing import Response
from rolerunner.storage.native.templates import Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.storage.http.sockets import SocketFactory
    from rolerunner.storage.http.tasks import Task
    from rolerunner.storage.native.templates import Address

Result = Union[Response, Exception]


def create_request(
    address: Address, method: str = "GET", body: Any = b"", sink: Any = None
) -> Request:
    """Returns a request, which is not signed."""
    head = f"{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
    return Request(address, method, "Operation", head.encode(), body, sink)


def attempt(request: Request) -> Task[Result]:
    """Returns the response, or the error that is thrown into the task."""
    try:
        response: Response = yield request
    except Exception as error:
        return error
    return response


class LoopTransport:
    """Sends requests over an event loop."""

    def __init__(self, net: SocketFactory, **settings: Any) -> None:
        self._net = net
        self._settings = {"connections": 1, "memory": 1 << 20, "threads": 1, **settings}

    def send(self, *requests: Request, cancel: Optional[Cancel] = None) -> Sequence[Result]:
        """Returns the results, in the order in which they arrive."""
        loop = EventLoop(self._net, cancel or Cancel(), **self._settings)
        try:
            return list(loop.run((1, attempt(request)) for request in requests))
        except StepError as error:
            return [error]


class BlockingTransport:
    """Sends requests one after the other in the calling thread."""

    def __init__(self, net: SocketFactory) -> None:
        self._net = net

    def send(self, *requests: Request, cancel: Optional[Cancel] = None) -> Sequence[Result]:
        """Returns the results in order."""
        pool = ConnectionPool(self._net)
        client = BlockingClient(pool, cancel or Cancel())
        try:
            return [client.run(attempt(request)) for request in requests]
        finally:
            pool.close()


Transport = Union[LoopTransport, BlockingTransport]
