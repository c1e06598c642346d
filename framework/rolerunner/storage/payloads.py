"""How a checksum goes with a body: behind it, as a trailer, or in a header where the server does not take trailers.

Not every server knows ``STREAMING-UNSIGNED-PAYLOAD-TRAILER``, which botocore uses over TLS and the fast engine for parts that are not held
in memory. It is found out once for each client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import TRAILER_REFUSED, AwsError
from rolerunner.storage import integrity

_REFUSALS = frozenset(
    {
        "NotImplemented", "XAmzContentSHA256Mismatch", "InvalidArgument", "InvalidRequest", "SignatureDoesNotMatch", "MissingContentLength",
        "MalformedTrailerError", "UnsupportedOperation", "InvalidDigest", "400", "411", "501",
    }
)  # fmt: skip
"""Codes that servers give to a trailer which they do not take. Some of them have other causes: the request is then refused again."""
_WITHOUT: WeakSet[Any] = WeakSet()
"""Clients whose server does not take trailers."""


def takes_trailers(client: Any) -> bool:
    """Whether the client's server takes trailers, as far as it is known."""
    return client not in _WITHOUT


def disable_trailers(client: Any) -> None:
    """Sends checksums of this client in headers from now on."""
    _WITHOUT.add(client)


def is_trailer_refusal(error: AwsError) -> bool:
    """Whether the error may be about the trailer."""
    return error.code in _REFUSALS


def trailer_refused_error(error: AwsError) -> StepError:
    """The server did not take a part with a trailer: the object is to be sent again, with its checksums in headers."""
    message = f"the server does not take a checksum behind a body: {error.message or error.code}"
    return StepError(message, type=TRAILER_REFUSED)


def move_checksum_to_header(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a PutObject or UploadPart with the checksum of their body in a header."""
    rest = dict(parameters)
    algorithm = str(rest.pop("ChecksumAlgorithm", "CRC32"))
    if any(name.startswith("Checksum") for name in rest) or not integrity.can_compute(algorithm):
        return dict(parameters)
    return {**rest, f"Checksum{algorithm}": integrity.compute_digest(algorithm, rest["Body"])}
