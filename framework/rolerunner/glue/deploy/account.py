"""Calls AWS as the deploying identity: the machine's own, or a role of the spec."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Optional

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.errors import StepError, UsageError
from rolerunner.iam.aws_errors import AwsError
from rolerunner.iam.denials import explain_error
from rolerunner.model import JOB
from rolerunner.sessions.connection_errors import CONNECTION_HINTS, describe_connection_error
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.registry import Sessions
from rolerunner.spec.values import format_suggestion
from rolerunner.wiring import open_storage

if TYPE_CHECKING:
    from rolerunner.model import Job, Role
    from rolerunner.storage.protocol import Storage

NOT_THERE = "EntityNotFoundException"
"""Type of the error for a job that does not exist."""
_CALLER = re.compile(r"arn:(?P<partition>aws[a-z-]*):(?:iam|sts)::(?P<account>\d{12}):")


class Account:
    """Glue, CloudWatch Logs and S3 under one identity, in one region."""

    def __init__(self, sessions: Sessions, role: Role, region: str = "") -> None:
        self.sessions = sessions
        self.role = role
        self.region = region or role.region or _own_region(sessions)

    @classmethod
    def of(
        cls,
        job: Job,
        role: str = "",
        region: str = "",
        identity: Optional[JobIdentity] = None,
    ) -> Account:
        """Opens the account for a job; ``role`` is an alias, or empty for ``identity`` itself.

        ``identity`` is the machine's own by default. Raises UsageError.
        """
        if role and role not in job.roles:
            raise UsageError(
                f"{job.file}: there is no role '{role}'{format_suggestion(role, job.roles)}"
            )
        region = region or (job.glue.region if job.glue is not None else "")
        return cls(
            Sessions(identity or JobIdentity(region=region), session_name=f"{job.name}-deploy"),
            job.roles[role] if role else JOB,
            region,
        )

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Calls an API operation. Raises StepError, whose ``type`` is the AWS error code."""
        try:
            client = self.sessions.client(self.role, service, region=self.region)
            answer: dict[str, Any] = getattr(client, operation)(**parameters)
        except ClientError as error:
            raise explain_error(
                AwsError.from_client_error(error),
                self.role,
                caller=self.sessions.session_arn(self.role),
            ) from error
        except BotoCoreError as error:
            message = f"{service} {operation}: {describe_connection_error(error)}"
            name = type(error).__name__
            raise StepError(message, hint=CONNECTION_HINTS.get(name, ""), type=name) from error
        return answer

    def members(self, shape: str) -> frozenset[str]:
        """Returns the fields of a shape of Glue's API in this botocore."""
        client = self.sessions.client(self.role, "glue", region=self.region)
        return frozenset(client.meta.service_model.shape_for(shape).members)

    def storage(self) -> Storage:
        """Opens S3 under this identity."""
        return open_storage(self.sessions, self.role)

    def caller(self) -> str:
        """Returns the ARN of this identity."""
        self.sessions.assume(self.role)
        return self.sessions.session_arn(self.role)

    def find_number(self) -> str:
        """Returns the number of the account. Raises StepError if that is unknown."""
        return str(self._parse_caller()["account"])

    def job_arn(self, name: str) -> str:
        """Returns the ARN of a Glue job of this account. Raises StepError if that is unknown."""
        found = self._parse_caller()
        return f"arn:{found['partition']}:glue:{self.region}:{found['account']}:job/{name}"

    def _parse_caller(self) -> re.Match[str]:
        found = _CALLER.match(self.caller())
        if found is None:
            raise StepError(
                "the account is unknown: STS did not return it",
                hint="check your AWS credentials: aws sts get-caller-identity",
            )
        return found


def _own_region(sessions: Sessions) -> str:
    try:
        return sessions.require_region()
    except UsageError:
        raise UsageError(
            "no region is known: set 'region' under 'glue' in the spec, --region or AWS_REGION"
        ) from None
