"""Sends the checksum of a body in a trailer or, if need be, in a header.

Not every server supports ``STREAMING-UNSIGNED-PAYLOAD-TRAILER``, which botocore uses over TLS and
the native engine for parts that are not held in memory. Support is determined once for each client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import TRAILER_REFUSED, AwsError
from rolerunner.storage import hashing

_REFUSALS = frozenset(
    {
        "NotImplemented",
        "XAmzContentSHA256Mismatch",
        "InvalidArgument",
        "InvalidRequest",
        "SignatureDoesNotMatch",
        "MissingContentLength",
        "MalformedTrailerError",
        "UnsupportedOperation",
        "InvalidDigest",
        "400",
        "411",
        "501",
    }
)
"""Error codes of servers that do not support trailers. They may have other causes: the next try
then fails too.
"""
_WITHOUT: WeakSet[Any] = WeakSet()
"""Clients whose server does not support trailers."""


def takes_trailers(client: Any) -> bool:
    """Returns False if the client's server is known not to support trailers."""
    return client not in _WITHOUT


def disable_trailers(client: Any) -> None:
    """Makes the client send checksums in headers from now on."""
    _WITHOUT.add(client)


def is_trailer_refusal(error: AwsError) -> bool:
    """Returns True if the error may be about the trailer."""
    return error.code in _REFUSALS


def trailer_refused_error(reason: str) -> StepError:
    """Returns the error after which the object is sent again, with checksums in headers."""
    message = f"the server does not support a checksum in a trailer: {reason}"
    return StepError(message, type=TRAILER_REFUSED)


def move_checksum_to_header(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters of a request with the checksum of the body in a header."""
    rest = dict(parameters)
    algorithm = str(rest.pop("ChecksumAlgorithm", "CRC32"))
    if any(name.startswith("Checksum") for name in rest) or not hashing.can_compute(algorithm):
        return dict(parameters)
    return {**rest, f"Checksum{algorithm}": hashing.compute_digest(algorithm, rest["Body"])}
