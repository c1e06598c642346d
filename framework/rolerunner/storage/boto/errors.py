"""Translates botocore's errors, and builds those of refused conditions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from botocore.exceptions import BotoCoreError

from rolerunner.errors import IntegrityFailed, ServiceFailed, StepError, UnexpectedResponse
from rolerunner.model import S3Uri
from rolerunner.sessions.connection_errors import CONNECTION_HINTS, describe_connection_error

PRECONDITION_CODES = frozenset({"PreconditionFailed", "412"})
"""Error codes of a condition that does not hold."""
NOT_IMPLEMENTED_CODES = frozenset({"NotImplemented", "501"})
"""Error codes of a server that does not have an operation; a response to HEAD has no body."""
_UNREACHABLE_HINT = (
    "the endpoint does not respond; check the region, AWS_ENDPOINT_URL and the network route "
    "(a job in a VPC needs an S3 gateway endpoint or a NAT gateway)"
)
_AWSCRT_HINT = (
    "CRC64NVME and CRC32C are computed by awscrt: pip install 'rolerunner[crt]', or choose another "
    "'checksum' (CRC32, SHA1 or SHA256)"
)
_IF_MATCH_HINT = (
    "this server does not support If-Match, or a proxy changes ETags between it and this machine"
)

_BOTOCORE_HINTS = {
    **CONNECTION_HINTS,
    "EndpointConnectionError": _UNREACHABLE_HINT,
    "ConnectTimeoutError": _UNREACHABLE_HINT,
    "MissingDependencyException": _AWSCRT_HINT,
}
"""Name of an error of botocore's -> what to do about it."""


def make_target_exists_error(uri: S3Uri) -> StepError:
    """Returns the error of a conditional write that found another object."""
    return StepError(
        f"{uri}: already exists, or is not the expected object",
        hint="it was written by somebody else, or by an earlier run",
        type="AlreadyThere",
    )


def make_if_match_error(uri: S3Uri, etag: str) -> ServiceFailed:
    """Returns the error of an If-Match that was refused although the object has the ETag."""
    return ServiceFailed(
        f"{uri}: If-Match was refused although the ETag is unchanged: '{etag}'",
        hint=_IF_MATCH_HINT,
        type="IfMatchRefused",
    )


def make_not_encrypted_error(uri: S3Uri) -> StepError:
    """Returns the error of an object that was stored without the customer key of its upload."""
    return StepError(
        f"{uri}: was stored, but not encrypted with the customer key",
        hint="this server ignores SSE-C: delete the object, and leave 'encryption' out",
        type="NotEncrypted",
    )


def make_checksum_error(uri: S3Uri, checksum: str) -> IntegrityFailed:
    """Returns the error of received bytes that do not have the checksum that S3 reports."""
    return IntegrityFailed(f"{uri}: checksum mismatch: the received bytes are not {checksum}")


def make_parse_error(uri: S3Uri, reason: str) -> ServiceFailed:
    """Returns the error of a response that is not one of S3's."""
    return UnexpectedResponse(f"{uri}: cannot parse the response: {reason}")


@contextlib.contextmanager
def name_prefix(prefix: S3Uri) -> Iterator[None]:
    """Adds the prefix to the error of a page that names no place."""
    try:
        yield
    except UnexpectedResponse as error:
        if "s3://" in error.message:
            raise
        raise UnexpectedResponse(f"{prefix}: {error.message}") from error


def translate_botocore_error(error: BotoCoreError, uri: S3Uri) -> StepError:
    """Returns the StepError of an error that botocore raised without a response from S3."""
    name = type(error).__name__
    if name == "FlexibleChecksumError":  # newer versions of boto3 verify some checksums themselves
        return IntegrityFailed(f"{uri}: {error}")
    if name == "ForeignResponse":
        return UnexpectedResponse(f"{uri}: {error}")
    message = f"{uri}: {describe_connection_error(error)}"
    return ServiceFailed(message, hint=_BOTOCORE_HINTS.get(name, ""), type=name)


@contextlib.contextmanager
def translate_value_errors(method: str) -> Iterator[None]:
    """Raises ServiceFailed for a ValueError of botocore's parsers."""
    try:
        yield
    except ValueError as error:
        message = f"cannot parse the response to {method}: {error}"
        raise UnexpectedResponse(message) from error
