"""Clients of AWS services: one for each session, service, region and configuration."""

from __future__ import annotations

import copy
import functools
import random
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Optional

from botocore.exceptions import BotoCoreError, ProfileNotFound

from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import is_conflict
from rolerunner.sessions.botocore_imports import Config
from rolerunner.sessions.botocore_setup import MAX_ATTEMPTS, explain_missing_profile
from rolerunner.sessions.bounded_responses import bound_responses
from rolerunner.sessions.credentials import TemplateCredentials
from rolerunner.sessions.deferred_client import DeferredClient
from rolerunner.sessions.service_models import deduplicate_search_paths, shared_loader

if TYPE_CHECKING:
    import boto3
    import botocore.session

    from rolerunner.sessions.botocore_setup import BotocoreSessions
    from rolerunner.sessions.credentials import RenewableCredentials

_REDIRECTS = frozenset({301, 302, 307, 308})
_REGION_HEADER = "x-amz-bucket-region"
MAX_BACKOFF_SECONDS = 20.0
"""Longest delay between two attempts, as in botocore's standard mode."""
_TOO_MANY_REQUESTS = 429
# With botocore's defaults, a job in a VPC without a route to STS would hang for minutes.
STS_CONFIG = Config(
    connect_timeout=5,
    read_timeout=10,
    retries={"mode": "standard", "max_attempts": 3},
    user_agent_extra="rolerunner",
)
_TRANSFER_METHODS = ("upload_file", "upload_fileobj", "download_file", "download_fileobj", "copy")


class ClientCache:
    """Creates clients and boto3 sessions once for each of their settings, for all threads."""

    def __init__(self, sessions: BotocoreSessions) -> None:
        self._sessions = sessions
        self._creating = threading.RLock()
        """Creating clients is not thread-safe; using them is."""
        self._clients: dict[tuple[Any, ...], Any] = {}
        self._deferred: dict[tuple[Any, ...], DeferredClient] = {}
        self._template_credentials = TemplateCredentials()
        self._session: Optional[botocore.session.Session] = None
        self._boto3: dict[tuple[RenewableCredentials, str], boto3.Session] = {}

    def client(
        self,
        credentials: RenewableCredentials,
        service: str,
        region: str,
        *,
        endpoint: str = "",
        config: Optional[Config] = None,
    ) -> Any:
        """Returns the client. Raises StepError where botocore cannot create it, and UsageError."""
        key = (credentials, service, region, endpoint, _describe_config(config))
        client = self._clients.get(key)  # the usual case takes no lock
        if client is not None:
            return client
        with self._creating:
            if key not in self._clients:
                self._clients[key] = self._create_client(
                    credentials, service, region, endpoint, config
                )
            return self._clients[key]

    def deferred_client(
        self, credentials: RenewableCredentials, service: str, region: str
    ) -> DeferredClient:
        """Returns a client that is created by its first request. Raises what ``client`` raises."""
        key = (credentials, service, region)
        with self._creating:
            if key not in self._deferred:
                template = self.client(self._template_credentials, service, region)
                self._deferred[key] = DeferredClient(template, partial(self.client, *key))
            return self._deferred[key]

    def sts_client(self, credentials: RenewableCredentials, region: str, endpoint: str = "") -> Any:
        """Returns a client of STS with short timeouts."""
        return self.client(credentials, "sts", region, endpoint=endpoint, config=STS_CONFIG)

    def boto3_session(self, credentials: RenewableCredentials, region: str) -> boto3.Session:
        """Returns the boto3 session for a user's own code."""
        with self._creating:
            key = (credentials, region)
            if key not in self._boto3:
                self._boto3[key] = self._create_boto3_session(credentials, region)
            return self._boto3[key]

    def close(self) -> None:
        """Closes the connections of all clients, which reopen them where they are used again."""
        for client in list(self._clients.values()):
            if hasattr(client, "close"):  # botocore has it since 1.22
                client.close()

    def _create_boto3_session(
        self, credentials: RenewableCredentials, region: str
    ) -> boto3.Session:
        # boto3 takes 50 ms to import, and only a user's own code needs it
        from rolerunner.sessions.boto3_session import EndpointSession  # noqa: PLC0415

        session = EndpointSession(
            self._sessions.create_session(credentials),
            region,
            self._sessions.resolve_client_settings,
            self._creating,
        )
        deduplicate_search_paths(shared_loader())
        return session

    def _create_client(
        self,
        credentials: RenewableCredentials,
        service: str,
        region: str,
        endpoint: str,
        config: Optional[Config],
    ) -> Any:
        # botocore rewrites the retries of a config in place, which would change the cache key
        config = copy.deepcopy(config)
        try:
            settings = self._sessions.resolve_client_settings(service, endpoint, config)
            session = self._prepare_session(credentials)
            client = session.create_client(service, region_name=region, **settings)
        except ProfileNotFound as error:
            raise explain_missing_profile(error) from None
        except (BotoCoreError, ValueError) as error:
            message = f"no client for '{service}' in {region}: {error}"
            raise StepError(message, type="ClientFailed") from error
        if client.meta.endpoint_url.startswith("https:"):
            self._sessions.require_ca_bundle()
        bound_responses(client)
        # ahead of botocore's own handler, which would not retry an expired session
        client.meta.events.register_first("needs-retry", credentials.retry_if_expired)
        client.meta.events.register_first("needs-retry.s3", retry_conflict)
        client.meta.events.register_first("needs-retry.s3.HeadBucket", end_redirects)
        return client

    def _prepare_session(self, credentials: RenewableCredentials) -> botocore.session.Session:
        """Returns the session of all clients, with the credentials of the one to create next.

        A session for each role takes a fifth of the time and memory of its client.
        """
        if self._session is None:
            self._session = self._sessions.create_session(credentials)
            self._session.register("creating-client-class.s3", _add_transfer_methods)
        # ``create_client`` calls it once; the lock ``_creating`` is held
        self._session.get_credentials = lambda: credentials
        return self._session


def _describe_config(config: Optional[Config]) -> str:
    """Returns a config as a cache key: botocore's class has no equality."""
    if config is None:
        return ""
    return repr(sorted(vars(config).items(), key=lambda item: item[0]))


def retry_conflict(
    response: Any = None, operation: Any = None, attempts: int = 1, **_: Any
) -> Optional[float]:
    """Handles botocore's needs-retry for responses of S3 that botocore does not retry by itself.

    These are conflicts that pass, and status 429 whatever its code. Returns seconds to wait.
    """
    if response is None or attempts >= MAX_ATTEMPTS:
        return None
    code = str(response[1].get("Error", {}).get("Code", ""))
    if response[0].status_code == _TOO_MANY_REQUESTS or is_conflict(code, operation.name):
        return float(random.random() * min(MAX_BACKOFF_SECONDS, 0.25 * 2**attempts))
    return None


def end_redirects(response: Any = None, request_dict: Any = None, **_: Any) -> None:
    """Marks a redirected HeadBucket as final, in botocore's needs-retry, if it names no region.

    botocore would look for the bucket's region by HeadBucket again, and so on without an end.
    """
    if response is None or response[0].status_code not in _REDIRECTS:
        return
    if _REGION_HEADER not in response[1].get("ResponseMetadata", {}).get("HTTPHeaders", {}):
        request_dict["context"].setdefault("s3_redirect", {})["redirected"] = True


def _add_transfer_methods(class_attributes: dict[str, Any], **_: Any) -> None:
    """Adds the methods that boto3 gives its clients of S3, since a user's code may call them."""
    for name in _TRANSFER_METHODS:
        class_attributes[name] = functools.partialmethod(_call_transfer, name)


def _call_transfer(client: Any, name: str, *arguments: Any, **options: Any) -> Any:
    from boto3.s3 import inject  # noqa: PLC0415 - few jobs need it

    return getattr(inject, name)(client, *arguments, **options)
