"""A role's boto3 session, for a user's own code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    import botocore.session

_ENDPOINT_POSITION = 5
"""boto3's Session.client takes region, version, use_ssl, verify, endpoint_url after the service."""


class EndpointSession(boto3.Session):  # type: ignore[misc]  # boto3 has no annotations
    """A boto3 session whose clients get the job's endpoints; safe to use from several threads.

    ``resolve_settings`` returns a service's endpoint_url and config from those of the call.
    ``creating`` is held while a client is created.
    """

    def __init__(
        self,
        session: botocore.session.Session,
        region: str,
        resolve_settings: Callable[[str, Any, Any], dict[str, Any]],
        creating: threading.RLock,
    ) -> None:
        super().__init__(botocore_session=session, region_name=region or None)
        self._resolve_settings = resolve_settings
        self._creating = creating

    def client(self, service_name: str, *args: Any, **settings: Any) -> Any:
        """Returns a client, as boto3 does."""
        if len(args) < _ENDPOINT_POSITION:
            endpoint, config = settings.get("endpoint_url"), settings.get("config")
            settings.update(self._resolve_settings(service_name, endpoint, config))
        with self._creating:
            return super().client(service_name, *args, **settings)

    def resource(self, service_name: str, *args: Any, **settings: Any) -> Any:
        """Returns a resource, as boto3 does."""
        with self._creating:
            return super().resource(service_name, *args, **settings)
