"""The identity that STS sees behind the job's own credentials."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Optional

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.errors import StepError, UsageError
from rolerunner.sessions.clients import STS_CONFIG
from rolerunner.sessions.identity import parse_assumed_role
from rolerunner.sessions.throttling import wait_out_throttling

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolerunner.sessions.clients import ClientCache
    from rolerunner.sessions.credentials import RenewableCredentials


class CallerIdentity:
    """Looks up the job's ARN and the role behind it, each at most once for all threads."""

    def __init__(
        self,
        credentials: RenewableCredentials,
        clients: ClientCache,
        require_region: Callable[[], str],
    ) -> None:
        self._credentials = credentials
        self._clients = clients
        self._require_region = require_region
        self._lock = threading.Lock()
        self._arn: Optional[str] = None
        self._role_arn: Optional[str] = None

    @property
    def known_arn(self) -> str:
        """The ARN if it has been looked up already, else empty."""
        return self._arn or ""

    def find_arn(self) -> str:
        """Returns the job's ARN, empty where STS does not know it. Raises UsageError."""
        if self._arn is None:
            with self._lock:
                if self._arn is None:
                    self._arn = self._request_arn()
        return self._arn

    def find_role_arn(self) -> str:
        """Returns the ARN of the job's role with its path, empty where iam:GetRole is denied.

        STS leaves out the path, and IAM refuses a trust policy without it.
        """
        with self._lock:
            if self._role_arn is None:
                self._role_arn = self._request_role_arn()
            return self._role_arn

    def _request_arn(self) -> str:
        """Calls GetCallerIdentity, which needs no permission."""
        try:
            client = self._clients.sts_client(self._credentials, self._require_region())
            return str(wait_out_throttling(client.get_caller_identity)["Arn"])
        except UsageError:
            raise
        except Exception:  # noqa: BLE001 - an endpoint for S3 alone may return anything
            return ""

    def _request_role_arn(self) -> str:
        assumed = parse_assumed_role(self.known_arn)
        if assumed is None:
            return ""
        try:
            client = self._create_iam_client()
            return str(client.get_role(RoleName=assumed[1])["Role"]["Arn"])
        except (BotoCoreError, ClientError, StepError):
            return ""

    def _create_iam_client(self) -> Any:
        region = self._require_region()
        return self._clients.client(self._credentials, "iam", region, config=STS_CONFIG)
