"""Builds templates of S3 requests, which are signed anew for each object.

botocore's client builds one request of each kind for each bucket and set of options, up to where it
would be sent. That provides its endpoint rules (regions, access points, dual-stack, FIPS, path
style), its serialiser and the step's options in every version of botocore.
"""

from __future__ import annotations

import re
import threading
from dataclasses import field
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union
from urllib.parse import unquote, urlsplit

from botocore.exceptions import BotoCoreError, ParamValidationError
from botocore.utils import get_environ_proxies

from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.http.sigv4 import (
    UNSIGNED_PAYLOAD,
    Signer,
    SigningTemplate,
    build_query,
    is_header_safe,
    quote_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rolerunner.storage.http.framing import Sink

KEY_PLACEHOLDER = "rolerunner-place"
"""Stands for the key in the request that botocore builds; its characters are never quoted."""
_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=[^,]*/\d{8}/([^/,]+)/([^/,]+)/aws4_request,")
_DROPPED_HEADERS = frozenset(
    {
        "accept-encoding", "amz-sdk-invocation-id", "amz-sdk-request", "authorization",
        "connection", "content-length", "content-md5", "expect", "host", "transfer-encoding",
        "x-amz-checksum-crc32", "x-amz-checksum-crc32c", "x-amz-checksum-crc64nvme",
        "x-amz-checksum-sha1", "x-amz-checksum-sha256", "x-amz-content-sha256", "x-amz-date",
        "x-amz-decoded-content-length", "x-amz-sdk-checksum-algorithm", "x-amz-security-token",
        "x-amz-trailer", "x-amzn-trace-id",
    }
)  # fmt: skip
_MAX_SIGNING_TEMPLATES = 64
"""Sets of header names per template; relays have one for each set of metadata names."""
_VIRTUAL_ONLY = ("--x-s3", "--xa-s3")


class UnsupportedRequest(Exception):
    """The native client cannot send a request that boto3 can; its text says why."""


class Address(NamedTuple):
    """The endpoint of connections; requests to equal addresses share them."""

    secure: bool
    host: str
    port: int

    @property
    def url(self) -> str:
        """The address as it appears in error messages."""
        return f"{'https' if self.secure else 'http'}://{self.host}:{self.port}"


class Request:
    """A signed request."""

    __slots__ = ("address", "body", "head", "method", "operation", "resent", "sink")

    def __init__(
        self,
        address: Address,
        method: str,
        operation: str,
        head: bytes,
        body: Union[bytes, memoryview],
        sink: Optional[Sink],
    ) -> None:
        self.address = address
        self.method = method
        self.operation = operation
        self.head = head
        self.body = body
        """The bytes to send, or an object that produces them."""
        self.sink = sink
        self.resent = 0
        """Times it was sent again over a new connection because a kept one was closed.

        The server may have executed it before.
        """


@dataclass(frozen=True)
class RequestTemplate:
    """A kind of request on one bucket with one set of options, without its key."""

    operation: str
    method: str
    address: Address
    host: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str] = field(repr=False)
    signer: Signer = field(repr=False)
    _signing_templates: dict[tuple[str, ...], SigningTemplate] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _fixed_headers: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_fixed_headers", {**self.headers, "host": self.host})

    def sign(
        self,
        key: str = "",
        headers: Optional[Mapping[str, str]] = None,
        *,
        query: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        length: Optional[int] = None,
        sink: Optional[Sink] = None,
        payload: str = UNSIGNED_PAYLOAD,
    ) -> Request:
        """Returns a request signed as of now. Raises RoleRefused, BotoCoreError.

        ``length`` is that of a body that is produced while it is sent; ``payload`` is the value
        of x-amz-content-sha256.
        """
        path = self.path + quote_key(key) if key else self.path
        text = build_query([*self.query, *query]) if self.query or query else ""
        size = len(body) if length is None else length
        values = dict(headers) if headers else {}
        if size or self.method in ("PUT", "POST"):
            values["content-length"] = str(size)
        form = self._find_signing_template(values, payload)
        if not form.is_sound or not all(map(is_header_safe, values.values())):
            raise ParamValidationError(
                report="a header contains a line break or a character that is not ASCII"
            )
        return Request(
            self.address,
            self.method,
            self.operation,
            form.head(self.method, path, text, values).encode(),
            body,
            sink,
        )

    def _find_signing_template(self, differing: Mapping[str, str], payload: str) -> SigningTemplate:
        kind = (payload, *differing)
        last = self._signing_templates.get(kind)
        form = self.signer.create_template(last, self._fixed_headers, tuple(differing), payload)
        if form is not last:
            if len(self._signing_templates) >= _MAX_SIGNING_TEMPLATES:
                self._signing_templates.clear()
            self._signing_templates[kind] = form
        return form


class _CapturedRequest(Exception):
    """Carries the request that botocore was about to send."""

    def __init__(self, request: Any) -> None:
        super().__init__()
        self.request = request


_CAPTURING = threading.local()


def _capture_request(request: Any, **_: Any) -> None:
    if getattr(_CAPTURING, "now", False):
        raise _CapturedRequest(request)


def capture_request(client: Any, method: str, parameters: Mapping[str, Any]) -> Any:
    """Returns the request that botocore would send. Raises what building and signing raise."""
    client.meta.events.register_first(
        "before-send.s3", _capture_request, unique_id="rolerunner-lane"
    )
    _CAPTURING.now = True
    try:
        getattr(client, method)(**parameters)
    except _CapturedRequest as done:
        return done.request
    finally:
        _CAPTURING.now = False
    raise UnsupportedRequest(f"this version of boto3 sends no request for {method}")


_PLACEHOLDERS: Mapping[str, Mapping[str, Any]] = {
    "copy_object": {"Key": KEY_PLACEHOLDER, "CopySourceIfMatch": KEY_PLACEHOLDER},
    "upload_part": {"Key": KEY_PLACEHOLDER, "UploadId": KEY_PLACEHOLDER, "PartNumber": 1},
    "delete_objects": {"Delete": {"Objects": [{"Key": KEY_PLACEHOLDER}]}},
    "list_objects_v2": {},
    "head_bucket": {},
}
"""Required parameters that differ between objects; other operations have the key alone."""


_PLACEHOLDER_QUERY = frozenset({"partNumber", "uploadId"})


def build_template(
    client: Any, credentials: Any, method: str, bucket: str, options: Mapping[str, Any]
) -> RequestTemplate:
    """Returns the template of an operation on a bucket.

    Raises UnsupportedRequest, and what ``capture_request`` raises.
    """
    parameters = {
        "Bucket": bucket,
        **_PLACEHOLDERS.get(method, {"Key": KEY_PLACEHOLDER}),
        **options,
    }
    if bucket.endswith(_VIRTUAL_ONLY) or "s3-object-lambda" in bucket or "s3express" in bucket:
        raise UnsupportedRequest(
            "directory buckets and Object Lambda use sessions and endpoints of their own"
        )
    if (client.meta.config.s3 or {}).get("payload_signing_enabled"):
        raise UnsupportedRequest("the profile sets payload_signing_enabled")
    try:
        request = capture_request(client, method, parameters)
    except BotoCoreError as error:
        raise UnsupportedRequest(f"botocore cannot build the request: {error}") from error
    headers = {str(name).lower(): _decode_header(value) for name, value in request.headers.items()}
    scope = _SCOPE.match(headers.get("authorization", ""))
    if scope is None:
        raise UnsupportedRequest("the request is not signed by Signature Version 4 for one region")
    url = urlsplit(request.url)
    if get_environ_proxies(request.url).get(url.scheme):  # NO_PROXY alone is an entry too
        raise UnsupportedRequest("an HTTP proxy is set in the environment")
    coding = ",".join(
        each
        for each in headers.get("content-encoding", "").split(",")
        if each.strip() not in ("", "aws-chunked")
    )
    kept = {
        name: value
        for name, value in headers.items()
        if name not in _DROPPED_HEADERS and name != "content-encoding"
    }
    secure = url.scheme == "https"
    query = tuple(pair for pair in _parse_query(url.query) if pair[0] not in _PLACEHOLDER_QUERY)
    return RequestTemplate(
        operation="".join(part.capitalize() for part in method.split("_")),
        method=str(request.method),
        address=Address(secure, url.hostname or "", url.port or (443 if secure else 80)),
        host=url.netloc.rpartition("@")[2],
        path=url.path.removesuffix(KEY_PLACEHOLDER) if "Key" in parameters else url.path or "/",
        query=query,
        headers={**kept, **({"content-encoding": coding} if coding else {})},
        signer=Signer(credentials, scope[1], scope[2]),
    )


def _decode_header(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _parse_query(query: str) -> Iterable[tuple[str, str]]:
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        yield unquote(name), unquote(value)
