"""The parts of ``Sessions`` that use botocore, imported together when a run first needs one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.lazy_dataclass import dataclass
from rolerunner.sessions.botocore_setup import BotocoreSessions
from rolerunner.sessions.caller import CallerIdentity
from rolerunner.sessions.clients import ClientCache
from rolerunner.sessions.credentials import (
    JobCredentials,
    RenewableCredentials,
    RoleCredentials,
)
from rolerunner.sessions.role_keys import RoleResolver
from rolerunner.sessions.sts import StsClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.model import Role
    from rolerunner.sessions.identity import JobIdentity
    from rolerunner.sessions.lease import Lease, LeaseRequest


@dataclass(frozen=True)
class SessionComponents:
    """The parts that all roles of a run share."""

    botocore: BotocoreSessions
    clients: ClientCache
    job: JobCredentials
    caller: CallerIdentity
    roles: RoleResolver
    sts: StsClient

    def create_role_credentials(
        self,
        role: Role,
        source: RenewableCredentials,
        acquire_lease: Callable[[LeaseRequest], Lease],
        clock: Callable[[], float],
    ) -> RoleCredentials:
        """Returns a role's credentials, without a session yet."""
        return RoleCredentials(role, source, acquire_lease, clock)

    def find_bucket_region(self, client: Any, bucket: str) -> str:
        """Returns the region of a bucket; empty where S3 does not tell it."""
        try:
            response = client.head_bucket(Bucket=bucket)
        except ClientError as error:
            response = error.response
        except (BotoCoreError, ValueError):
            return ""
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return str(headers.get("x-amz-bucket-region") or "")


def create_components(
    identity: JobIdentity, session_name: str, clock: Callable[[], float]
) -> SessionComponents:
    """Returns the parts of a job with this identity, before any request."""
    sessions = BotocoreSessions(identity)
    clients = ClientCache(sessions)
    job = JobCredentials(sessions.load_job_credentials, sessions.find_profile)
    caller = CallerIdentity(job, clients, sessions.require_region)
    sts = StsClient(
        clients, caller, sessions.require_region, session_name=session_name, clock=clock
    )
    return SessionComponents(sessions, clients, job, caller, RoleResolver(caller), sts)
