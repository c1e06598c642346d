"""Sessions that a worker process borrows from the process that started it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.errors import RoleRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.model import Role
    from rolerunner.sessions.lease import Lease, LeaseRequest, PortableLease


class BorrowedSessions:
    """A session source that asks another process, by its ``Sessions.export_lease``."""

    def __init__(self, export_lease: Callable[[Role, str], PortableLease]) -> None:
        self._export_lease = export_lease

    def assume(self, request: LeaseRequest) -> Lease:
        """Returns the other process's session. Raises RoleRefused if it has no newer one."""
        lease = self._export_lease(request.role, request.expired_token)
        if request.current_token and lease.token == request.current_token:
            message = "there is no newer session yet"
            raise RoleRefused(message, role=str(request.role), type="ExpiredToken")
        return lease.to_lease()
