"""Reads single objects through boto3: their headers, metadata, tags and small contents."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterator, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import quote, urlencode

from botocore.exceptions import ClientError

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import IntegrityFailed, ServiceFailed
from rolerunner.iam.aws_errors import AwsError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage.boto.errors import (
    NOT_IMPLEMENTED_CODES,
    PRECONDITION_CODES,
    make_checksum_error,
    make_if_match_error,
)
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.integrity import ExpectedChecksum, has_checksum
from rolerunner.storage.kept_metadata import kept_headers
from rolerunner.storage.parts import ObjectRange
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.responses import (
    check_range_response,
    check_unchanged,
    parse_object_info,
)

if TYPE_CHECKING:
    from rolerunner.storage.buffers import BufferPool

_READ_SIZE = 1 << 20
"""Bytes that are read into a buffer at a time."""
KEPT_OPTIONS = (
    "Metadata",
    "ContentType",
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "Expires",
    "WebsiteRedirectLocation",
)
"""Options of PutObject that a copy takes over from its source; HEAD returns them by these names."""
UNEXPLAINED_CODES = frozenset({"400", "403"})
"""Error codes of a HEAD that give no reason, since its response has no body."""


@dataclass(frozen=True)
class ObjectReader:
    """Reads objects one at a time."""

    requests: BotoRequests

    def head(self, uri: S3Uri, version: str = "") -> ObjectInfo:
        """Returns what S3 reports of one object. Raises NotFound, AccessDenied, StepError."""
        with self.requests.translate_errors(uri, version=version):
            return parse_object_info(uri, self._fetch_headers(uri, version))

    def get_age(self, uri: S3Uri) -> Optional[float]:
        """Returns the seconds between Last-Modified and Date, both of the server's clock."""
        with self.requests.translate_errors(uri):
            response = self._fetch_headers(uri, "")
        try:
            now = parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"])
            return float((now - response["LastModified"]).total_seconds())
        except (KeyError, TypeError, ValueError):
            return None

    def _fetch_headers(self, uri: S3Uri, version: str) -> Mapping[str, Any]:
        """Returns the response to HEAD; one refused without a reason is followed by a GET.

        Raises ClientError.
        """
        parameters = self._locate_version(uri, version)
        try:
            return self.requests.call("head_object", **parameters)
        except ClientError as error:
            code = AwsError.from_client_error(error).code
            if code not in UNEXPLAINED_CODES:
                raise
            if code == "400" and (plain := self._head_without_key(parameters)) is not None:
                return plain
            self._read_first_byte(parameters)
        # GET succeeded: the session had expired, and a new one was started for it
        return self.requests.call("head_object", **parameters)

    def _head_without_key(self, parameters: Mapping[str, Any]) -> Optional[Mapping[str, Any]]:
        """Returns the response to HEAD without the customer key; None if that is refused, too.

        S3 refuses the key for an object that was stored without one.
        """
        access = self.requests.access
        if not access.customer_key:
            return None
        without_key = replace(self.requests, access=replace(access, customer_key=""))
        return without_key.call_unless(UNEXPLAINED_CODES, "head_object", **parameters)

    def _locate_version(self, uri: S3Uri, version: str) -> dict[str, Any]:
        return {"Bucket": uri.bucket, "Key": uri.key, **self.requests.read_options(version)}

    def _read_first_byte(self, parameters: Mapping[str, Any]) -> None:
        """Raises the ClientError of a one-byte GET, whose body says why HEAD was refused."""
        try:
            self.requests.call("get_object", **parameters, Range="bytes=0-0")["Body"].close()
        except ClientError as error:
            # an empty object has no first byte, but may be read
            if AwsError.from_client_error(error).code != "InvalidRange":
                raise

    def get_part_size(self, uri: S3Uri, info: ObjectInfo) -> int:
        """Returns the bytes of the first part of an object that was stored in parts.

        Returns 0 where the server does not serve parts, so nobody can tell.
        """
        with self.requests.translate_errors(uri, version=info.version):
            parameters = {**self._locate_version(uri, info.version), "PartNumber": 1}
            head = self.requests.call_unless(NOT_IMPLEMENTED_CODES, "head_object", **parameters)
            size = int(head["ContentLength"]) if head is not None else 0
            if size < info.size:
                return size
            # some servers return the length of the whole to HEAD, and that of the part to GET
            response = self.requests.call("get_object", **parameters)
            response["Body"].close()
            return int(response["ContentLength"])

    def read(self, uri: S3Uri, limit: int, version: str = "") -> bytes:
        """Returns a small object's bytes, once their checksum is verified.

        Raises StepError, also if there are more than ``limit``.
        """
        with self.requests.translate_errors(uri, version=version):
            response = self.requests.call("get_object", **self._locate_version(uri, version))
            with contextlib.closing(response["Body"]) as body:
                length = int(response.get("ContentLength") or 0)  # a chunked response has none
                data = b"" if length > limit else bytes(body.read(limit + 1))
        if max(length, len(data)) > limit:
            size = f"{length:,}" if length > limit else "more"
            raise ServiceFailed(f"{uri} has {size} bytes, more than {limit:,}", type="TooLarge")
        now = parse_object_info(uri, {"ContentLength": len(data), **response})
        self.verify_content(uri, now, data, now.size)
        return data

    def read_range(
        self,
        source: ObjectRange,
        cancel: Optional[Cancel] = None,
        buffers: Optional[BufferPool] = None,
    ) -> bytes:
        """Returns the bytes of a range, in one of the buffers if they are given.

        Raises StepError, also if the object has changed.
        """
        length = source.length
        if length == 0:
            return b""
        data = bytearray(length) if buffers is None else buffers.acquire(length)
        with self.open_range(source, cancel) as body:
            received = _read_into(data, body)
        if received != length:
            message = f"received {received:,} of {length:,} bytes"
            raise IntegrityFailed(f"{source.uri}: {message}")
        return data  # type: ignore[return-value]  # bytes in all but name, and not copied

    def read_object(self, source: ObjectRange, cancel: Optional[Cancel] = None) -> bytes:
        """Returns an object's bytes, once their checksum is verified. Raises StepError."""
        uri, info = source.uri, source.info
        with self.requests.translate_errors(uri, version=info.version):
            with self.explain_if_match(uri, info):
                response = self.requests.call(
                    "get_object",
                    cancel,
                    **self._locate_version(uri, info.version),
                    IfMatch=source.if_match,
                )
            with contextlib.closing(response["Body"]) as body:
                data = bytes(body.read(source.length + 1))
        now = parse_object_info(uri, {"ContentLength": info.size, **response})
        check_unchanged(info, now, uri)
        self.verify_content(uri, now, data, source.length)
        return data

    def verify_content(self, uri: S3Uri, now: ObjectInfo, data: Any, length: int) -> None:
        """Raises IntegrityFailed unless the bytes are the whole object, with its checksum."""
        if len(data) != length:
            raise IntegrityFailed(f"{uri}: received {len(data):,} of {length:,} bytes")
        expected = ExpectedChecksum.of(now.checksum)
        if expected is None or has_checksum(data, now.checksum):
            return
        running = expected.start(len(data), lambda: self.get_part_size(uri, now))
        if running is not None:
            running.update(data)
            if not running.matches():
                raise make_checksum_error(uri, now.checksum)

    @contextlib.contextmanager
    def open_range(self, source: ObjectRange, cancel: Optional[Cancel] = None) -> Iterator[Any]:
        """Provides the body of the response to a range request, checked to be that range."""
        uri, info = source.uri, source.info
        conditions: dict[str, Any] = {"Range": source.byte_range, "IfMatch": source.if_match}
        with self.requests.translate_errors(uri, version=info.version):
            with self.explain_if_match(uri, info):
                response = self.requests.call(
                    "get_object", cancel, **self._locate_version(uri, info.version), **conditions
                )
            with contextlib.closing(response["Body"]) as body:
                check_range_response(response, uri, info, source.start, source.length)
                yield body

    @contextlib.contextmanager
    def explain_if_match(self, uri: S3Uri, info: ObjectInfo) -> Iterator[None]:
        """Raises ServiceFailed for an If-Match that was refused while the ETag is unchanged."""
        try:
            yield
        except ClientError as error:
            if (
                AwsError.from_client_error(error).code in PRECONDITION_CODES
                and self.head(uri, info.version).etag == info.etag
            ):
                raise make_if_match_error(uri, info.etag) from error
            raise

    def describe(
        self, uri: S3Uri, version: str, *, tags: bool, replaced: Container[str] = ()
    ) -> tuple[ObjectInfo, Mapping[str, Any]]:
        """Returns an object, and its metadata, headers and tags as options of PutObject."""
        with self.requests.translate_errors(uri, version=version):
            response = self._fetch_headers(uri, version)
            _check_metadata(uri, response, replaced)
            options = {name: response.get(name) for name in KEPT_OPTIONS if name not in replaced}
            if tags and not uri.in_directory_bucket:
                options["Tagging"] = self._read_tags(uri, version)
        kept = {name: value for name, value in options.items() if value}
        return parse_object_info(uri, response), kept

    def _read_tags(self, uri: S3Uri, version: str) -> str:
        """Returns the tags in the form of a query string. Raises ClientError."""
        options: dict[str, Any] = {"VersionId": version} if version else {}
        response = self.requests.call_unless(
            NOT_IMPLEMENTED_CODES, "get_object_tagging", Bucket=uri.bucket, Key=uri.key, **options
        )
        # a server without tags has none to keep
        tags = response.get("TagSet", ()) if response is not None else ()
        pairs = [(tag["Key"], tag["Value"]) for tag in tags]
        return urlencode(pairs, quote_via=quote)


def _check_metadata(uri: S3Uri, response: Mapping[str, Any], replaced: Container[str]) -> None:
    """Raises StepError for metadata that cannot be stored again as it is."""
    headers = dict(response["ResponseMetadata"]["HTTPHeaders"])
    expires = response.get("ExpiresString")  # where newer versions of botocore move unparsable text
    if expires:
        headers["expires"] = expires
    kept_headers(uri, headers, replaced)


def _read_into(data: bytearray, body: Any) -> int:
    """Fills ``data``; returns the number of bytes received, one more if there are too many."""
    view, filled = memoryview(data), 0
    while found := body.read(min(_READ_SIZE, len(view) - filled + 1)):
        if filled + len(found) > len(view):
            return len(view) + 1
        view[filled : filled + len(found)] = found
        filled += len(found)
    return filled
