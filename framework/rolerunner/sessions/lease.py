"""A role's session with the times at which it is renewed, and the protocol of its sources."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Optional, Protocol

from rolerunner.lazy_dataclass import dataclass
from rolerunner.sessions.keys import freeze_keys

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

    from rolerunner.model import Role
    from rolerunner.sessions.credentials import RenewableCredentials

EARLY_SHARE, EARLY_MAX_SECONDS = 0.30, 900.0
"""Share of a session's life, at its end, in which one thread renews it and others keep using it."""
LATE_SHARE, LATE_MAX_SECONDS = 0.10, 300.0
"""Share of a session's life, at its end, in which all threads wait for the renewed one."""


@dataclass(frozen=True)
class Lease:
    """The keys of a role's session, and when to renew them. Times are seconds since the epoch."""

    keys: ReadOnlyCredentials = field(repr=False)
    session_arn: str
    began: float
    renew_at: float
    late_at: float
    expires_at: float

    @classmethod
    def start(
        cls, keys: ReadOnlyCredentials, session_arn: str, began: float, expires_at: float
    ) -> Lease:
        """Returns a lease whose renewal windows are scaled to the session's life."""
        life = max(expires_at - began, 0.0)
        early = min(EARLY_MAX_SECONDS, EARLY_SHARE * life)
        late = min(LATE_MAX_SECONDS, LATE_SHARE * life)
        return cls(keys, session_arn, began, expires_at - early, expires_at - late, expires_at)

    def to_portable(self) -> PortableLease:
        """Returns the lease in a form that can be pickled for another process."""
        return PortableLease(
            _plain_text(self.keys.access_key),
            _plain_text(self.keys.secret_key),
            _plain_text(self.keys.token),
            self.session_arn,
            self.began,
            self.expires_at,
        )


@dataclass(frozen=True)
class PortableLease:
    """A lease on its way to a worker process, over a socket that only the two processes share."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    session_arn: str
    began: float
    expires_at: float

    def to_lease(self) -> Lease:
        """Returns the lease with its keys registered as secrets of this process."""
        keys = freeze_keys(self.access_key, self.secret_key, self.token)
        return Lease.start(keys, self.session_arn, self.began, self.expires_at)


def _plain_text(secret: Optional[str]) -> str:
    """Returns a secret as plain text, which can be pickled."""
    return str(secret or "")


@dataclass(frozen=True)
class LeaseRequest:
    """A request for a session of ``role``, to be assumed with the credentials of ``source``.

    ``current_token`` belongs to the session that is in use, ``expired_token`` to the last one
    that a service called expired; each is empty where there is none.
    """

    role: Role
    source: RenewableCredentials
    current_token: str = field(default="", repr=False)
    expired_token: str = field(default="", repr=False)


class SessionSource(Protocol):
    """Provides sessions of roles: STS, or another process that asks STS."""

    def assume(self, request: LeaseRequest) -> Lease:
        """Returns a session of the requested role. Raises RoleRefused."""
