"""botocore sessions as the tool needs them: endpoints, region, credentials, shared models."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from botocore.exceptions import BotoCoreError, NoCredentialsError, ProfileNotFound

from rolerunner.errors import UsageError
from rolerunner.sessions.botocore_imports import (
    Config,
    CredentialProvider,
    CredentialResolver,
    Credentials,
    HierarchicalEmitter,
    Session,
)
from rolerunner.sessions.identity import check_endpoints, find_endpoint
from rolerunner.sessions.service_models import shared_loader
from rolerunner.sessions.timestamps import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.sessions.identity import JobIdentity

MAX_ATTEMPTS = 6
"""Attempts at each request, the first one included."""
NO_PROFILE: Mapping[str, Any] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
}
"""Session variables of an identity with its own keys: the user's profile does not apply to it."""
_REGION = re.compile(r"[A-Za-z0-9-]{1,63}")
_AWS_ENDPOINT = re.compile(r"\.amazonaws\.com(\.cn)?(:\d+)?(/|\Z)")


class BotocoreSessions:
    """Creates botocore sessions of a job's identity, and reads the job's configuration."""

    def __init__(self, identity: JobIdentity) -> None:
        self._identity = identity
        self._handlers: Optional[HierarchicalEmitter] = None
        self._reader: Optional[Session] = None
        """The last session that was created for the job's own configuration."""
        self._region: Optional[str] = None
        self._ca_bundles: dict[Optional[str], Any] = {}
        """Value of AWS_CA_BUNDLE -> the path that it or the profile sets."""

    def create_session(self, credentials: Optional[Credentials] = None) -> Session:
        """Returns a new session: of ``credentials`` and no others, or of the job's environment."""
        session = self._create_bare_session()
        session.register_component("data_loader", shared_loader())
        session.get_component("response_parser_factory").set_parser_defaults(
            timestamp_parser=parse_timestamp
        )
        if credentials is not None:
            session.set_config_variable("sts_regional_endpoints", "regional")
            resolver = CredentialResolver([_FixedProvider(credentials)])
            session.register_component("credential_provider", resolver)
        return session

    def load_job_credentials(self) -> Credentials:
        """Loads the job's own credentials, which botocore renews where it can.

        Raises UsageError, NoCredentialsError, and whatever botocore's sources of credentials raise.
        """
        if self._identity.keys is not None:
            return self._identity.keys.to_credentials()
        region = self.find_region()
        self._reader = self.create_session()  # a new one, since files may have changed
        if region:  # roles of a profile are assumed there; botocore does not read AWS_REGION
            self._reader.set_config_variable("region", region)
        try:
            credentials = self._reader.get_credentials()
        except ProfileNotFound as error:
            raise explain_missing_profile(error) from None
        if credentials is None:
            raise NoCredentialsError
        return credentials

    def find_profile(self) -> str:
        """Returns the name of the profile that the job's settings come from, empty for none."""
        return str((self._reader.profile if self._reader is not None else None) or "")

    def find_region(self) -> str:
        """Returns the job's region, empty where none is configured. Raises UsageError."""
        if self._region is None:
            region = str(self._look_up_region() or "")
            if region and not _REGION.fullmatch(region):
                raise UsageError(
                    f"{region!r} is not the name of a region: correct AWS_REGION,"
                    " AWS_DEFAULT_REGION or 'region' in the profile"
                )
            self._region = region
        return self._region

    def require_region(self) -> str:
        """Returns the job's region. Raises UsageError where none is configured."""
        region = self.find_region()
        if not region:
            raise UsageError(
                "no region is known: set AWS_REGION (in Glue: the argument --aws_region),"
                " or 'region' on the role"
            )
        return region

    def find_ca_bundle(self) -> Optional[str]:
        """Returns the path of the certificates to trust instead of botocore's own, if any."""
        from_environment = os.environ.get("AWS_CA_BUNDLE")
        if from_environment not in self._ca_bundles:
            self._ca_bundles[from_environment] = self._read_variable("ca_bundle")
        configured = self._ca_bundles[from_environment]
        return os.environ.get("REQUESTS_CA_BUNDLE") if configured is None else str(configured)

    def require_ca_bundle(self) -> None:
        """Raises UsageError if there is no file or folder of the certificates to trust."""
        path = self.find_ca_bundle()
        if path and not Path(path).exists():
            raise UsageError(
                f"there are no certificates at {path}: correct AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or"
                " 'ca_bundle' in the profile"
            )

    def find_endpoint(self, service: str) -> str:
        """Returns the configured endpoint of a service; empty for the default of AWS."""
        own = self._identity.endpoints
        found = find_endpoint(service, own)
        if found and not (own.get(service) or own.get("")) and self._ignores_endpoints():
            return ""
        return found or ""

    def resolve_client_settings(
        self, service: str, endpoint: Optional[str] = None, config: Optional[Config] = None
    ) -> dict[str, Any]:
        """Returns a client's endpoint_url and config, with defaults where they are not set.

        Raises UsageError if a variable holds no endpoint, also one of another service: a run's
        first client, which is of STS, reports it before the first step.
        """
        check_endpoints(self._identity.endpoints)
        endpoint = endpoint or self.find_endpoint(service) or None
        by_path = service == "s3" and endpoint is not None and not self._has_addressing_style()
        default = config or build_client_config(endpoint if by_path else None)
        return {"endpoint_url": endpoint, "config": default}

    def _ignores_endpoints(self) -> bool:
        """Returns True if the profile ignores configured endpoints, also the environment's."""
        # older versions of botocore have no variable for it
        profile = self._read_settings(lambda reader: reader.get_scoped_config())
        return str(profile.get("ignore_configured_endpoint_urls")).lower() == "true"

    def _has_addressing_style(self) -> bool:
        """Returns True if the profile sets how buckets are addressed, for any server."""
        settings = self._read_variable("s3")
        return isinstance(settings, Mapping) and bool(settings.get("addressing_style"))

    def _look_up_region(self) -> Any:
        return (
            self._identity.region or os.environ.get("AWS_REGION") or self._read_variable("region")
        )

    def _read_variable(self, name: str) -> Any:
        """Returns a variable of the job's environment or profile. Raises UsageError."""
        return self._read_settings(lambda reader: reader.get_config_variable(name))

    def _read_settings(self, read: Callable[[Session], Any]) -> Any:
        """Returns what ``read`` returns for a session of the job. Raises UsageError.

        A session takes milliseconds.
        """
        if self._reader is None:
            self._reader = self.create_session()
        try:
            return read(self._reader)
        except ProfileNotFound as error:
            raise explain_missing_profile(error) from None
        except BotoCoreError as error:  # a file that cannot be parsed
            raise UsageError(f"the settings of AWS cannot be read: {error}") from None

    def _create_bare_session(self) -> Session:
        """Returns a session whose 120 event handlers are shared: registering them is slow."""
        profile = self._identity.profile or None
        variables = NO_PROFILE if self._identity.keys is not None else None
        if self._handlers is None:
            handlers = _TrustingEmitter()
            session = Session(variables, handlers, profile=profile)
            self._handlers = copy.copy(handlers)
            return session
        handlers = copy.copy(self._handlers)
        return Session(variables, handlers, include_builtin_handlers=False, profile=profile)


def explain_missing_profile(error: ProfileNotFound) -> UsageError:
    """Returns the usage error for a profile that does not exist."""
    return UsageError(f"{error}: set AWS_PROFILE to a profile of ~/.aws/config, or unset it")


def build_client_config(endpoint: Optional[str] = None, *, connections: int = 64) -> Config:
    """Returns the default config of a client.

    It has standard retries, as many connections as workers, and path-style addressing for an S3
    ``endpoint`` that is not one of AWS.
    """
    settings: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": MAX_ATTEMPTS},
        "max_pool_connections": connections,
        "connect_timeout": 10,
        "read_timeout": 60,
        "user_agent_extra": "rolerunner",
    }
    if endpoint and not _AWS_ENDPOINT.search(endpoint):
        settings["s3"] = {"addressing_style": "path"}
    return Config(**settings)


class _TrustingEmitter(HierarchicalEmitter):  # type: ignore[misc]  # botocore has no annotations
    """Accepts botocore's own handlers: to inspect all 120 takes a third of a session's time."""

    def _verify_accept_kwargs(self, func: Any) -> None:
        if not str(getattr(func, "__module__", "")).startswith("botocore."):
            super()._verify_accept_kwargs(func)


class _FixedProvider(CredentialProvider):  # type: ignore[misc]  # botocore has no annotations
    """Provides the same credentials every time; the environment is not consulted."""

    METHOD = "rolerunner"

    def __init__(self, credentials: Credentials) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> Credentials:
        return self._credentials
