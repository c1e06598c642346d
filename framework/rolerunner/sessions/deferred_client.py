"""A role's S3 client that is created by its first request: the fast engine may need none."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from collections.abc import Callable


class DeferredClient:
    """A client of botocore that ``create`` returns when an attribute is first used.

    ``template`` is a client with the same settings, which sends nothing: all roles share it.
    """

    def __init__(self, template: Any, create: Callable[[], Any]) -> None:
        self._template = template
        self._create = create
        self._client: Optional[Any] = None
        self._preparations: list[Callable[[Any], None]] = []
        self._lock = threading.RLock()

    @property
    def template(self) -> Any:
        """The client that requests are built by: the own one, which knows redirects, if any."""
        return self._template if self._client is None else self._client

    def prepare(self, preparation: Callable[[Any], None]) -> None:
        """Calls a function with the clients, which leaves them alike however often it is called."""
        preparation(self.template)
        with self._lock:
            if self._client is None and preparation not in self._preparations:
                self._preparations.append(preparation)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what copy and pickle look for
            raise AttributeError(name)
        return getattr(self._get_client(), name)

    def _get_client(self) -> Any:
        if self._client is None:
            with self._lock:
                if self._client is None:
                    client = self._create()
                    for preparation in self._preparations:
                        preparation(client)
                    self._client = client
        return self._client


def prepare_client(client: Any, preparation: Callable[[Any], None]) -> None:
    """Calls a function with a client, or with a deferred one once it is created."""
    if isinstance(client, DeferredClient):
        client.prepare(preparation)
    else:
        preparation(client)


def find_template_client(client: Any) -> Any:
    """Returns the client by which requests are built and settings are read."""
    return client.template if isinstance(client, DeferredClient) else client
