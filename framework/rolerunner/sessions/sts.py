"""Assumes roles by asking STS."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rolerunner.errors import RoleRefused, StepError, UsageError
from rolerunner.iam.aws_errors import DENIED_CODES, EXPIRED_CODES, AwsError
from rolerunner.iam.role_denials import Caller, explain_role_refusal
from rolerunner.model import Role, RoleArn
from rolerunner.sessions.foreign_responses import ForeignResponse
from rolerunner.sessions.keys import freeze_keys
from rolerunner.sessions.lease import Lease
from rolerunner.sessions.role_errors import (
    explain_client_failure,
    explain_failed_connection,
    explain_invalid_response,
    explain_missing_credentials,
    explain_refused_source,
    explain_session_of_no_role,
    explain_wrong_account,
    explain_wrong_role,
)
from rolerunner.sessions.throttling import wait_out_throttling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rolerunner.sessions.caller import CallerIdentity
    from rolerunner.sessions.clients import ClientCache
    from rolerunner.sessions.credentials import RenewableCredentials
    from rolerunner.sessions.lease import LeaseRequest

MAX_SESSION_NAME = 64
"""RoleSessionName has 2 to 64 characters of [\\w+=,.@-] (STS API reference)."""
_KEY_FIELDS = ("AccessKeyId", "SecretAccessKey", "SessionToken")
_SESSION_ARN = re.compile(r"arn:[^:]+:sts::([^:]*):assumed-role/(?:.*/)?([^/]+)/[^/]+")


class StsClient:
    """A session source that sends AssumeRole. ``clock`` returns seconds since the epoch."""

    def __init__(
        self,
        clients: ClientCache,
        caller: CallerIdentity,
        require_region: Callable[[], str],
        *,
        session_name: str,
        clock: Callable[[], float],
    ) -> None:
        self._clients = clients
        self._caller = caller
        self._require_region = require_region
        self._session_name = session_name
        self._clock = clock
        self._calls: Counter[Role] = Counter()

    def assume(self, request: LeaseRequest) -> Lease:
        """Returns a new session of the role. Raises RoleRefused and UsageError.

        Where the source's credentials have expired, the request is repeated once with new ones.
        """
        role, source = request.role, request.source
        began, region = self._clock(), role.region or self._require_region()
        for can_retry in (True, False):
            token = require_source_token(role, source)
            try:
                with _errors_explained(role, region):
                    return parse_lease(role, self._send_assume_role(role, source, region), began)
            except ClientError as error:
                if can_retry and _is_expired(error) and source.invalidate(token):
                    continue
                raise self._explain_refusal(role, source, error) from None
        raise AssertionError  # pragma: no cover - the second attempt returns or raises

    def count_calls(self, role: Role) -> int:
        """Returns the number of AssumeRole requests sent for the role."""
        return self._calls[role]

    def _send_assume_role(
        self, role: Role, source: RenewableCredentials, region: str
    ) -> Mapping[str, Any]:
        client = self._clients.sts_client(source, region, role.sts_endpoint)
        parameters = build_assume_request(role, self._session_name)

        def send() -> Mapping[str, Any]:
            self._calls[role] += 1  # requests for one role never overlap
            response: Mapping[str, Any] = client.assume_role(**parameters)
            return response

        return wait_out_throttling(send)

    def _explain_refusal(
        self, role: Role, source: RenewableCredentials, error: ClientError
    ) -> RoleRefused:
        aws_error = AwsError.from_client_error(error)
        if not source.role.is_job:
            return explain_role_refusal(
                role, aws_error, Caller(source.session_arn, source.role.arn)
            )
        is_denied = aws_error.code in DENIED_CODES
        caller_arn = self._caller.find_arn()
        role_arn = self._caller.find_role_arn() if is_denied else ""
        return explain_role_refusal(role, aws_error, Caller(caller_arn, role_arn))


def _is_expired(error: ClientError) -> bool:
    return AwsError.from_client_error(error).code in EXPIRED_CODES


@contextmanager
def _errors_explained(role: Role, region: str) -> Iterator[None]:
    """Turns every error but ClientError and UsageError into RoleRefused."""
    try:
        yield
    except (ClientError, RoleRefused, UsageError):
        raise
    except ForeignResponse as error:
        raise explain_invalid_response(role, region, error) from None
    except BotoCoreError as error:
        raise explain_failed_connection(role, region, error) from None
    except StepError as error:
        raise explain_client_failure(role, error) from None
    except Exception as error:  # noqa: BLE001 - the parser raises anything on a foreign response
        raise explain_invalid_response(role, region, error) from None


def require_source_token(role: Role, source: RenewableCredentials) -> Any:
    """Returns the token that AssumeRole is signed with. Raises RoleRefused where there is none."""
    try:
        return source.get_frozen_credentials().token
    except RoleRefused as refusal:
        if source.role.is_job:
            raise explain_missing_credentials(role, refusal) from None
        raise explain_refused_source(role, source.role, refusal) from None


def parse_lease(role: Role, response: Mapping[str, Any], began: float) -> Lease:
    """Parses AssumeRole's response to a request that began at ``began``.

    Raises RoleRefused for a session of another role or account, and KeyError or ValueError for a
    response that is not one of STS.
    """
    credentials = response["Credentials"]
    # popped, so that the response keeps no secret
    keys = freeze_keys(*(_require_text(credentials.pop(name), name) for name in _KEY_FIELDS))
    session_arn = response["AssumedRoleUser"]["Arn"]
    if not session_arn:
        raise explain_session_of_no_role(role)
    check_session_arn(role, session_arn)
    # Expiration is by the clock of AWS, from which this machine's may differ by minutes
    return Lease.start(keys, session_arn, began, began + role.duration)


def check_session_arn(role: Role, session_arn: str) -> None:
    """Raises RoleRefused where the ARN is of another role, and ValueError where it is of none."""
    expected = RoleArn.parse(role.arn)
    match = _SESSION_ARN.fullmatch(session_arn)
    if match is None:
        raise ValueError(f"'{session_arn[:200]}' is not the ARN of an assumed role")
    account, name = match.groups()
    expected_account = role.account or expected.account
    if account != expected_account:
        raise explain_wrong_account(role, account, expected_account)
    if name != expected.name:
        raise explain_wrong_role(role, name)


def _require_text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"it has no {name}")
    return value


def build_assume_request(role: Role, session_name: str) -> dict[str, Any]:
    """Returns the parameters of AssumeRole, without those that the role does not set."""
    default_name = "-".join(filter(None, (session_name, role.step)))
    request: dict[str, Any] = {
        "RoleArn": role.arn,
        "RoleSessionName": format_session_name(role.session_name or default_name),
        "DurationSeconds": role.duration,
    }
    optional = {
        "ExternalId": role.external_id,
        "Policy": role.policy,
        "PolicyArns": [{"arn": arn} for arn in role.policy_arns],
        "Tags": [{"Key": key, "Value": value} for key, value in role.tags],
        "TransitiveTagKeys": list(role.transitive_tag_keys),
        "SourceIdentity": role.source_identity,
    }
    request.update({name: value for name, value in optional.items() if value})
    return request


def format_session_name(text: str) -> str:
    """Returns ``text`` as a RoleSessionName: invalid characters replaced, cut to 64."""
    name = re.sub(r"[^\w+=,.@-]", "-", text, flags=re.ASCII)[:MAX_SESSION_NAME]
    return name if len(name) > 1 else f"rolerunner-{name}"
