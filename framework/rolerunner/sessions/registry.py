"""The sessions and clients of a run's roles.

botocore's own assume-role providers share no session between steps, call STS once a request when
a session lasts 900 seconds, repeat refused requests without a pause, and leave the source out of
their cache key. This package keys sessions by the frozen ``Role``, lets one thread at a time ask
STS, scales renewal to the session's life, and holds a refusal for some seconds.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import RoleRefused
from rolerunner.model import JOB, Role
from rolerunner.sessions.borrowed import BorrowedSessions
from rolerunner.sessions.silencing import silence_botocore
from rolerunner.sessions.unpicklable import Unpicklable

if TYPE_CHECKING:
    from collections.abc import Callable

    import boto3
    from botocore.config import Config

    from rolerunner.sessions.components import SessionComponents
    from rolerunner.sessions.credentials import RenewableCredentials, RoleCredentials
    from rolerunner.sessions.deferred_client import DeferredClient
    from rolerunner.sessions.identity import JobIdentity
    from rolerunner.sessions.lease import Lease, LeaseRequest, PortableLease, SessionSource

    AssumeCallback = Callable[[Role, str, float, Optional[RoleRefused]], None]
    """Takes the role, the session's ARN, the seconds, and why the role was refused."""


class Sessions(Unpicklable):
    """One session for each distinct role and one client for each of its uses, for all threads.

    ``clock`` returns seconds since the epoch; renewal depends on it.
    """

    # No lock of this object is held during a request to STS: a slow response for one role delays
    # no other. A role's own lock is taken before those of the client cache and the caller.

    def __init__(
        self,
        identity: JobIdentity,
        *,
        session_name: str = "rolerunner",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._identity = identity
        self._session_name = session_name
        self._clock = clock
        self._loaded: Optional[SessionComponents] = None
        self._source: Optional[SessionSource] = None
        """Provides sessions instead of STS."""
        silence_botocore()
        self._lock = threading.RLock()
        self._credentials: dict[Role, RoleCredentials] = {}
        self.on_assume: Optional[AssumeCallback] = None
        """Called after each request for a session of this process."""

    @property
    def _components(self) -> SessionComponents:
        """The parts that talk to AWS, created at the first use: a run may need no session."""
        if self._loaded is None:
            # imports botocore, which takes a fifth of the start of a run
            from rolerunner.sessions.components import create_components  # noqa: PLC0415

            with self._lock:
                if self._loaded is None:
                    self._loaded = create_components(
                        self._identity, self._session_name, self._clock
                    )
        return self._loaded

    def session(self, role: Role) -> boto3.Session:
        """Returns the role's boto3 session, which asks for credentials at its first request.

        Clients that it creates are not shared; they have the job's endpoints and role's region.
        """
        region = role.region or self._components.botocore.find_region()
        return self._components.clients.boto3_session(self.get_credentials(role), region)

    def client(
        self, role: Role, service: str, *, region: str = "", config: Optional[Config] = None
    ) -> Any:
        """Returns the role's client of a service, created once for each region and ``config``.

        Raises UsageError where no region is known, StepError where there is no such service.
        """
        credentials = self.get_credentials(role)
        region = region or role.region or self.require_region()
        return self._components.clients.client(credentials, service, region, config=config)

    def deferred_client(self, role: Role, service: str) -> DeferredClient:
        """Returns the client of ``client``, which is created by its first request.

        Until then it shares one with all roles of its region, by which requests can be built.
        """
        region = role.region or self.require_region()
        return self._components.clients.deferred_client(self.get_credentials(role), service, region)

    def get_credentials(self, role: Role) -> RenewableCredentials:
        """Returns the credentials that the role's requests are signed with.

        Call ``get_frozen_credentials()`` for each signature; it may raise RoleRefused.
        """
        return self._get_credentials(self._components.roles.resolve(role))

    def find_ca_bundle(self) -> Optional[str]:
        """Returns the path of the certificates to trust instead of botocore's own.

        AWS_CA_BUNDLE or a profile's ``ca_bundle`` sets it, else REQUESTS_CA_BUNDLE.
        """
        return self._components.botocore.find_ca_bundle()

    def export_lease(self, role: Role, expired_token: str = "") -> PortableLease:
        """Returns the role's session for a worker process. Raises RoleRefused.

        A session whose token is ``expired_token`` is renewed first.
        """
        # the job's own credentials are loaded by each process itself
        credentials = self._credentials[self.get_credentials(role).role]
        if expired_token:
            credentials.invalidate(expired_token)
        return credentials.acquire_valid_lease().to_portable()

    def borrow_from(self, export_lease: Callable[[Role, str], PortableLease]) -> None:
        """Makes a worker process ask another process for sessions instead of STS."""
        self._source = BorrowedSessions(export_lease)

    def close(self) -> None:
        """Closes the connections of all clients, which reopen them where they are used again."""
        if self._loaded is not None:
            self._loaded.clients.close()

    def assume(self, role: Role) -> None:
        """Assumes the role now, unless it has been assumed. Raises RoleRefused, UsageError.

        The job's own role is refused if its credentials cannot be loaded.
        """
        role = self._components.roles.resolve(role)
        if role.is_job:
            self._components.job.get_frozen_credentials()
            self._components.caller.find_arn()
        else:
            self._get_credentials(role).get_frozen_credentials()

    def session_arn(self, role: Role) -> str:
        """Returns the session's ARN as CloudTrail shows it, empty while there is no session."""
        role = self._components.roles.resolve_offline(role)
        if role.is_job:
            return self._components.caller.known_arn
        credentials = self._credentials.get(role)
        return credentials.session_arn if credentials is not None else ""

    def count_assume_calls(self, role: Role) -> int:
        """Returns the number of AssumeRole requests that the role has cost so far."""
        return self._components.sts.count_calls(self._components.roles.resolve_offline(role))

    def find_caller_arn(self) -> str:
        """Returns the ARN of the job's own identity, empty where STS does not know it."""
        return self._components.caller.find_arn()

    def require_region(self) -> str:
        """Returns the job's region. Raises UsageError where none is configured."""
        return self._components.botocore.require_region()

    def find_endpoint(self, service: str) -> str:
        """Returns the configured endpoint of a service; empty for the default of AWS."""
        return self._components.botocore.find_endpoint(service)

    def find_expiry(self, role: Role) -> Optional[float]:
        """Returns when the role's current session ends, in seconds since the epoch.

        None for the job's own role, and while there is no session.
        """
        credentials = self._credentials.get(self.get_credentials(role).role)
        return credentials.expires_at if credentials is not None else None

    def find_bucket_region(self, role: Role, bucket: str) -> str:
        """Returns the region of a bucket, which S3 tells to roles that may not read it too.

        Where S3 does not tell it, this is the role's region, or else the job's.
        """
        region = role.region or self.require_region()
        return self._components.find_bucket_region(self.client(role, "s3"), bucket) or region

    def _get_credentials(self, role: Role) -> RenewableCredentials:
        if role.is_job:
            return self._components.job
        credentials = self._credentials.get(role)  # the usual case takes no lock
        if credentials is not None:
            return credentials
        with self._lock:
            if role not in self._credentials:
                source = self._get_credentials(role.via or JOB)
                self._credentials[role] = self._components.create_role_credentials(
                    role, source, self._acquire_lease, self._clock
                )
            return self._credentials[role]

    def _acquire_lease(self, request: LeaseRequest) -> Lease:
        # credentials created before ``borrow_from`` use the other source too
        source = self._source or self._components.sts
        if self.on_assume is None:
            return source.assume(request)
        started = time.monotonic()
        try:
            lease = source.assume(request)
        except RoleRefused as refusal:
            self.on_assume(request.role, "", time.monotonic() - started, refusal)
            raise
        self.on_assume(request.role, lease.session_arn, time.monotonic() - started, None)
        return lease
