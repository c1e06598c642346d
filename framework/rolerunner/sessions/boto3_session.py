"""A role's boto3 session, for a user's own code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    import botocore.session

_ENDPOINT_PLACE = 5
"""boto3's Session.client takes region, version, use_ssl, verify, endpoint_url after the service."""


class Session(boto3.Session):  # type: ignore[misc]  # boto3 has no annotations
    """A boto3 session whose clients get the job's endpoints, also those that the user's own code makes.

    ``settings`` gives a service's endpoint_url and config, from those that the user asks for.
    """

    def __init__(
        self,
        session: botocore.session.Session,
        region: str,
        settings: Callable[[str, Any, Any], dict[str, Any]],
        making: threading.RLock,
    ) -> None:
        super().__init__(botocore_session=session, region_name=region or None)
        self._settings = settings
        self._making = making

    def client(self, service_name: str, *args: Any, **settings: Any) -> Any:
        """As boto3's, and safe to call from several threads."""
        if len(args) < _ENDPOINT_PLACE:
            settings.update(
                self._settings(service_name, settings.get("endpoint_url"), settings.get("config"))
            )
        with self._making:
            return super().client(service_name, *args, **settings)

    def resource(self, service_name: str, *args: Any, **settings: Any) -> Any:
        """As boto3's, and safe to call from several threads."""
        with self._making:
            return super().resource(service_name, *args, **settings)
