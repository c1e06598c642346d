"""Refusals of roles for which STS returned no usable response."""

from __future__ import annotations

import json

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ReadTimeoutError,
)

from rolerunner.common.json_values import safe_text
from rolerunner.errors import RoleRefused, StepError
from rolerunner.model import JOB, Role
from rolerunner.sessions.connection_errors import CONNECTION_HINTS, describe_connection_error

_NO_CREDENTIALS = (
    "in Glue the job's role provides them; on a laptop run 'aws sso login' or set AWS_PROFILE,"
    " or try --sandbox"
)
_PROCESS_HINT = (
    "run the credential_process of the profile by hand: it must print the keys as JSON, and what it"
    " writes to standard error is not shown here, since it may hold keys"
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
        " AWS_ENDPOINT_URL_STS, HTTPS_PROXY and HTTP_PROXY",
    )


def explain_session_of_no_role(role: Role) -> RoleRefused:
    """Returns the refusal of a session without an ARN, as servers return it that have no roles."""
    return RoleRefused(
        f"STS returned a session without the ARN of a role for the role '{role}' ({role.arn}):"
        " it is not used",
        role=str(role),
        type="NoRole",
        hint="a server without roles returns sessions that may do all that the job itself may:"
        " use 'role: job' there, or check AWS_ENDPOINT_URL_STS; see docs/servers.md",
    )


def _describe_parser_error(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return next(iter(safe_text(error).splitlines()), type(error).__name__)


def explain_failed_connection(role: Role, region: str, error: BotoCoreError) -> RoleRefused:
    """Returns the refusal for a request that did not reach STS."""
    message = f"the role '{role}' could not be assumed: {describe_connection_error(error)}"
    kind = type(error).__name__
    hint = CONNECTION_HINTS.get(kind, "")
    if isinstance(error, _UNREACHABLE):
        kind = "StsUnreachable"
        hint = (
            f"there is no route to STS in {region}: check the region, AWS_ENDPOINT_URL and the"
            " proxy, if one is set; a job in a VPC needs an STS interface endpoint there, or a NAT"
            " gateway"
        )
    elif isinstance(error, NoRegionError):
        hint = "set AWS_REGION, or 'region' on the role"
    return RoleRefused(message, role=str(role), hint=hint, type=kind)


def explain_client_failure(role: Role, error: StepError) -> RoleRefused:
    """Returns the refusal for a client of STS that could not be created."""
    message = f"the role '{role}' could not be assumed: {error}"
    return RoleRefused(message, role=str(role), hint=error.hint, type=error.type)


def explain_missing_credentials(role: Role, refusal: RoleRefused) -> RoleRefused:
    """Returns the refusal of a role for which the job has no usable credentials of its own."""
    message = f"the role '{role}' could not be assumed: {refusal.message}"
    return RoleRefused(message, role=str(role), hint=refusal.hint, type=refusal.type)


def explain_failed_credentials(error: Exception, profile: str = "") -> RoleRefused:
    """Returns the refusal of the job's own role, whose credentials could not be loaded.

    ``profile`` is the name of the profile that they were to come from, if any.
    """
    if isinstance(error, NoCredentialsError):
        message = "the job has no AWS credentials of its own"
        return RoleRefused(message, role=str(JOB), hint=_NO_CREDENTIALS, type="NoCredentials")
    source = f" (profile '{profile}')" if profile else ""
    message = f"the job's own credentials{source} cannot be loaded: {describe_source_error(error)}"
    is_process = _is_process_failure(error) or isinstance(error, json.JSONDecodeError)
    hint = _PROCESS_HINT if is_process else _NO_CREDENTIALS
    return RoleRefused(message, role=str(JOB), hint=hint, type="NoCredentials")


def explain_unusable_keys(name: str, problem: str) -> RoleRefused:
    """Returns the refusal of the job's own role for a key that no request can be signed with."""
    return RoleRefused(
        f"the {name} of the job's own credentials {problem}",
        role=str(JOB),
        hint="set it again: a value that is read from a file often ends with a line break",
        type="NoCredentials",
    )


def describe_source_error(error: Exception) -> str:
    """Returns one short line. What a credential_process writes may hold keys: it is not quoted."""
    if isinstance(error, json.JSONDecodeError):
        return "what its source returned is not JSON"
    if _is_process_failure(error):
        return "the credential_process of the profile failed"
    if isinstance(error, EOFError):
        return "the profile asks for an MFA code (mfa_serial), and there is no terminal to type it"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    text = " ".join(safe_text(error).split())[:_MAX_REASON]
    is_sentence = isinstance(error, (BotoCoreError, ClientError, RuntimeError, ValueError))
    return text if is_sentence else f"{type(error).__name__}: {text}"


def _is_process_failure(error: Exception) -> bool:
    """Returns True if a credential_process ended with an error, whose text botocore quotes."""
    if not isinstance(error, CredentialRetrievalError):
        return isinstance(error, UnicodeDecodeError)
    reason = str(error.kwargs.get("error_msg", ""))
    own = reason.startswith(("Unsupported version", "Missing required key"))
    return error.kwargs.get("provider") == "custom-process" and not own


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
