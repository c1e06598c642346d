"""Refusals of roles for which STS returned no usable response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from botocore.exceptions import (
    BotoCoreError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoRegionError,
    ReadTimeoutError,
)

from rolerunner.common.json_values import safe_text
from rolerunner.errors import RoleRefused, StepError

if TYPE_CHECKING:
    from rolerunner.model import Role

_NO_CREDENTIALS = (
    "in Glue the job's role provides them; on a laptop run 'aws sso login' or set AWS_PROFILE,"
    " or try --sandbox"
)
_UNREACHABLE = (ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError)
_MAX_REASON = 200
"""Characters of a parser's error that a message quotes."""


def explain_invalid_response(role: Role, region: str, error: Exception) -> RoleRefused:
    """Returns the refusal for a response that STS cannot have sent."""
    return RoleRefused(
        f"the role '{role}' could not be assumed: the response is not one of STS:"
        f" {_describe_parser_error(error)[:_MAX_REASON]}",
        role=str(role),
        type="NotSts",
        hint=f"a proxy or another server responds for STS in {region}: check AWS_ENDPOINT_URL,"
        " AWS_ENDPOINT_URL_STS and HTTPS_PROXY",
    )


def _describe_parser_error(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return next(iter(safe_text(error).splitlines()), type(error).__name__)


def explain_failed_connection(role: Role, region: str, error: BotoCoreError) -> RoleRefused:
    """Returns the refusal for a request that did not reach STS."""
    message = f"the role '{role}' could not be assumed: {error}"
    hint, kind = "", type(error).__name__
    if isinstance(error, _UNREACHABLE):
        kind = "StsUnreachable"
        hint = (
            f"there is no route to STS in {region}: a job in a VPC needs an STS interface endpoint"
            " there, or a NAT gateway"
        )
    elif isinstance(error, NoRegionError):
        hint = "set AWS_REGION, or 'region' on the role"
    return RoleRefused(message, role=str(role), hint=hint, type=kind)


def explain_client_failure(role: Role, error: StepError) -> RoleRefused:
    """Returns the refusal for a client of STS that could not be created."""
    message = f"the role '{role}' could not be assumed: {error}"
    return RoleRefused(message, role=str(role), hint=error.hint, type=error.type)


def explain_missing_credentials(role: Role, error: Optional[BotoCoreError] = None) -> RoleRefused:
    """Returns the refusal for a job without credentials, or whose credentials fail to load."""
    reason = (
        "the job has no AWS credentials of its own"
        if error is None
        else f"the job's own credentials cannot be loaded: {error}"
    )
    message = f"the role '{role}' could not be assumed: {reason}"
    return RoleRefused(message, role=str(role), hint=_NO_CREDENTIALS, type="NoCredentials")


def explain_refused_source(role: Role, source: Role, refusal: RoleRefused) -> RoleRefused:
    """Returns the refusal of a role whose source role was refused, so that STS was not asked."""
    through = refusal.through or str(source)
    return RoleRefused(
        f"the role '{role}' could not be assumed: its source role '{through}' was refused",
        role=str(role),
        hint=refusal.message,
        type="SourceRefused",
        asked_by=refusal.asked_by,
        through=through,
    )


def explain_wrong_account(role: Role, account: str, expected: str) -> RoleRefused:
    """Returns the refusal of a session that belongs to another account."""
    message = (
        f"the role '{role}' was assumed in account {account}, but the spec names {expected}:"
        " the session is not used"
    )
    return RoleRefused(message, role=str(role), type="WrongAccount")


def explain_wrong_role(role: Role, name: str) -> RoleRefused:
    """Returns the refusal of a session that belongs to another role."""
    message = (
        f"STS returned a session of the role '{name}' for the role '{role}' ({role.arn}):"
        " it is not used"
    )
    hint = "check which server responds for STS: AWS_ENDPOINT_URL_STS"
    return RoleRefused(message, role=str(role), hint=hint, type="WrongRole")
