"""S3 by boto3, one request after the other: what both engines do alike, errors and all."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Optional, Union
from urllib.parse import quote, urlencode

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from rolerunner.common.cancellation import Cancel
from rolerunner.common.wording import format_count
from rolerunner.errors import IntegrityFailed, ServiceFailed, StepError
from rolerunner.iam.aws_errors import AwsError
from rolerunner.iam.denials import explain_error
from rolerunner.model import Role, S3Uri
from rolerunner.storage import payloads
from rolerunner.storage.deletions import DeleteConditions
from rolerunner.storage.kept_metadata import kept_headers
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Access, ObjectInfo
from rolerunner.storage.responses import (
    check_range_response,
    parse_listed_object,
    parse_object_info,
    parse_versions,
    validated_pages,
)
from rolerunner.storage.sorting import sort_objects
from rolerunner.storage.tuning import KEYS_PER_DELETE, Tuning

_UNREACHABLE = frozenset({"EndpointConnectionError", "ConnectTimeoutError"})
_NO_ROUTE = (
    "nothing answers there, so nothing was refused: see the endpoint (the region, AWS_ENDPOINT_URL) and the route to it; a job in a VPC "
    "needs an S3 gateway endpoint or a NAT gateway"
)
_NOT_TAKEN = "this server does not take If-Match, or changes ETags on their way: a proxy may do so"
ALREADY = frozenset({"PreconditionFailed", "412"})
KEPT = (
    "Metadata",
    "ContentType",
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "Expires",
    "WebsiteRedirectLocation",
)
"""What a copy keeps of its source: what HEAD tells under the names that PutObject takes."""


@dataclass(frozen=True)
class Objects:
    """S3 through a boto3 client of ``role``, one object at a time. ``caller`` is the session's ARN, for what is said of a refusal."""

    client: Any
    role: Role
    caller: Callable[[], str]
    access: Access = field(default_factory=Access)
    flow: Pacer = field(default_factory=Pacer)
    tuning: Tuning = field(default_factory=Tuning)
    _delete_conditions: DeleteConditions = field(init=False, repr=False, compare=False)
    """What is known of conditional deletions here."""

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "_delete_conditions", DeleteConditions(self.client.meta.endpoint_url)
        )

    @property
    def tries(self) -> int:
        """Tries of one request, the first one counted."""
        retries = self.client.meta.config.retries or {}
        return int(retries.get("total_max_attempts") or retries.get("max_attempts") or 5)

    # one request

    def _call(
        self, method: str, cancel: Optional[Cancel] = None, **parameters: Any
    ) -> Mapping[str, Any]:
        """One request, at its pace, with what the step says of every request where the operation takes it and the call says no other."""
        self.flow.pace_request(cancel)
        with _readable(method):
            return self._sent(getattr(self.client, method), {**self._said(method), **parameters})

    def _sent(
        self, call: Callable[..., Mapping[str, Any]], parameters: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The answer to a call; where the server does not take a body's checksum behind it, that goes in a header."""
        if not isinstance(parameters.get("Body"), (bytes, bytearray, memoryview)):
            return call(**parameters)
        if not payloads.takes_trailers(self.client):
            return call(**payloads.move_checksum_to_header(parameters))
        try:
            return call(**parameters)
        except ClientError as error:
            # botocore sends trailers over TLS alone
            if not payloads.is_trailer_refusal(
                AwsError.from_client_error(error)
            ) or not self.client.meta.endpoint_url.startswith("https:"):
                raise
        answer = call(**payloads.move_checksum_to_header(parameters))
        payloads.disable_trailers(self.client)
        return answer

    def _said(self, method: str) -> dict[str, Any]:
        access = self.access
        said = {
            "RequestPayer": "requester" if access.request_payer else "", "ExpectedBucketOwner": access.bucket_owner,
            "SSECustomerAlgorithm": "AES256" if access.customer_key else "", "SSECustomerKey": base64.b64decode(access.customer_key),
            "ExpectedSourceBucketOwner": access.source_bucket_owner,
            "CopySourceSSECustomerAlgorithm": "AES256" if access.source_key else "", "CopySourceSSECustomerKey": base64.b64decode(access.source_key),
        }  # fmt: skip
        return {name: value for name, value in said.items() if value and self._takes(method, name)}

    def _takes(self, method: str, name: str) -> bool:
        """Does the operation of this boto3 know the parameter?"""
        operation = self.client.meta.method_to_api_mapping[method]
        return name in self.client.meta.service_model.operation_model(operation).input_shape.members

    def _read_options(self, version: str) -> dict[str, Any]:
        options = {"ChecksumMode": "ENABLED"} if self._takes("get_object", "ChecksumMode") else {}
        return {**options, **({"VersionId": version} if version else {})}

    # listing

    def list(
        self,
        prefix: S3Uri,
        *,
        versions: bool = False,
        after: str = "",
        page: int = KEYS_PER_DELETE,
        parallel: bool = True,
        cancel: Optional[Cancel] = None,
    ) -> Iterator[ObjectInfo]:
        """Lists the objects or versions under a prefix, page by page."""
        del parallel  # this engine has one request in flight
        found = self._paged(
            prefix, versions=versions, after=after, page=page, cancel=cancel or Cancel()
        )
        # a directory bucket lists in no order, and callers walk listings side by side
        return (
            sort_objects(found, lambda info: info.key.encode())
            if prefix.in_directory_bucket
            else found
        )

    def _paged(
        self, prefix: S3Uri, *, versions: bool, after: str, page: int, cancel: Cancel
    ) -> Iterator[ObjectInfo]:
        """As S3 gives them, page by page."""
        method, start = (
            ("list_object_versions", "KeyMarker") if versions else ("list_objects_v2", "StartAfter")
        )
        said = {
            **({start: after} if after else {}),
            **({"MaxKeys": page} if page != KEYS_PER_DELETE else {}),
        }
        with self._translated(prefix):
            for answer in self._pages(method, prefix, **said):
                cancel.stop_if_set()
                if versions:
                    yield from parse_versions(answer)
                else:
                    yield from (parse_listed_object(each) for each in answer.get("Contents", ()))

    def list_folder(self, prefix: S3Uri) -> Iterator[Union[ObjectInfo, str]]:
        """The objects right under a prefix, and the prefixes below it."""
        with self._translated(prefix):
            for page in self._pages("list_objects_v2", prefix, Delimiter="/"):
                yield from (parse_listed_object(each) for each in page.get("Contents", ()))
                yield from (str(each["Prefix"]) for each in page.get("CommonPrefixes", ()))

    def _pages(self, method: str, prefix: S3Uri, **more: Any) -> Iterator[Mapping[str, Any]]:
        pages = self.client.get_paginator(method).paginate(
            Bucket=prefix.bucket, Prefix=prefix.key, **self._said(method), **more
        )
        with _readable(method):
            for page in validated_pages(pages, prefix):
                yield page
                self.flow.pace_request()

    # one object

    def head(self, uri: S3Uri, version: str = "") -> ObjectInfo:
        """What S3 tells of one object."""
        with self._translated(uri, version=version):
            return parse_object_info(uri.key, self._headers(uri, version))

    def get_age(self, uri: S3Uri) -> Optional[float]:
        """By the Date header and the object's LastModified: this machine's clock takes no part."""
        with self._translated(uri):
            answer = self._headers(uri, "")
        try:
            now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
            return float((now - answer["LastModified"]).total_seconds())
        except (KeyError, TypeError, ValueError):
            return None

    def _headers(self, uri: S3Uri, version: str) -> Mapping[str, Any]:
        """The answer to HEAD; where it gives no reason, a one-byte GET is asked for it. Raises ClientError."""
        place: dict[str, Any] = {
            "Bucket": uri.bucket,
            "Key": uri.key,
            **self._read_options(version),
        }
        try:
            return self._call("head_object", **place)
        except ClientError as error:
            if AwsError.from_client_error(error).code not in {"400", "403"}:
                raise
            self._first_byte(place)
        # it may be read after all: the session had expired, and the GET brought a new one
        return self._call("head_object", **place)

    def _first_byte(self, place: Mapping[str, Any]) -> None:
        """Read one byte, for the reason that HEAD has no body to tell. Raises ClientError."""
        try:
            self._call("get_object", **place, Range="bytes=0-0")["Body"].close()
        except ClientError as error:
            if (
                AwsError.from_client_error(error).code != "InvalidRange"
            ):  # an object of no bytes has no first one, and may be read
                raise

    def get_part_size(self, uri: S3Uri, info: ObjectInfo) -> int:
        """Bytes of its first part. Some servers tell it to GET alone, and give HEAD the length of the whole."""
        with self._translated(uri, version=info.version):
            place: dict[str, Any] = {
                "Bucket": uri.bucket,
                "Key": uri.key,
                "PartNumber": 1,
                **self._read_options(info.version),
            }
            told = int(self._call("head_object", **place)["ContentLength"])
            if told < info.size:
                return told
            answer = self._call("get_object", **place)
            answer["Body"].close()
            return int(answer["ContentLength"])

    def read(self, uri: S3Uri, limit: int, version: str = "") -> bytes:
        """A small object's bytes."""
        with self._translated(uri, version=version):
            answer = self._call(
                "get_object", Bucket=uri.bucket, Key=uri.key, **self._read_options(version)
            )
            with contextlib.closing(answer["Body"]) as body:
                told = int(answer.get("ContentLength") or 0)  # an answer in chunks tells no length
                data = b"" if told > limit else bytes(body.read(limit + 1))
                if max(told, len(data)) > limit:
                    raise ServiceFailed(
                        f"{uri} has {f'{told:,}' if told > limit else 'more'} bytes, more than {limit:,}",
                        type="TooLarge",
                    )
                return data

    def read_range(
        self, uri: S3Uri, info: ObjectInfo, start: int, length: int, cancel: Optional[Cancel] = None
    ) -> bytes:
        """A range, of the object with the ETag of ``info`` alone."""
        if length == 0:
            return b""
        with self._translated(uri, version=info.version):
            wanted: dict[str, Any] = {
                "Range": f"bytes={start}-{start + length - 1}",
                "IfMatch": f'"{info.etag}"',
            }
            with self._if_match(uri, info):
                answer = self._call(
                    "get_object",
                    cancel,
                    Bucket=uri.bucket,
                    Key=uri.key,
                    **wanted,
                    **self._read_options(info.version),
                )
            with contextlib.closing(answer["Body"]) as body:
                check_range_response(answer, uri, info, start, length)
                data = bytes(body.read(length + 1))
        if len(data) != length:
            raise IntegrityFailed(f"{uri}: {format_count(len(data), 'byte')} came of {length:,}")
        return data

    @contextlib.contextmanager
    def _if_match(self, uri: S3Uri, info: ObjectInfo) -> Iterator[None]:
        """Reads of the object with this ETag alone. Raises ServiceFailed where that is refused and the ETag is unchanged."""
        try:
            yield
        except ClientError as error:
            if (
                AwsError.from_client_error(error).code in ALREADY
                and self.head(uri, info.version).etag == info.etag
            ):
                raise if_match_refused(uri, info.etag) from error
            raise

    def describe(
        self, uri: S3Uri, version: str, *, tags: bool, replaced: Container[str] = ()
    ) -> tuple[ObjectInfo, Mapping[str, Any]]:
        """Metadata, headers, tags, by one HEAD."""
        with self._translated(uri, version=version):
            answer = self._headers(uri, version)
            expires = answer.get(
                "ExpiresString"
            )  # newer botocores move what they cannot parse there
            kept_headers(
                uri,
                {
                    **answer["ResponseMetadata"]["HTTPHeaders"],
                    **({"expires": expires} if expires else {}),
                },
                replaced,
            )
            kept = {
                name: answer[name] for name in KEPT if answer.get(name) and name not in replaced
            }
            if tags and not uri.in_directory_bucket:
                place: dict[str, Any] = {
                    "Bucket": uri.bucket,
                    "Key": uri.key,
                    **({"VersionId": version} if version else {}),
                }
                told = self._call("get_object_tagging", **place)
                kept["Tagging"] = urlencode(
                    [(tag["Key"], tag["Value"]) for tag in told.get("TagSet", ())], quote_via=quote
                )
        return parse_object_info(uri.key, answer), {
            name: value for name, value in kept.items() if value
        }

    @contextlib.contextmanager
    def _translated(
        self, uri: S3Uri, source: Optional[S3Uri] = None, version: str = ""
    ) -> Iterator[None]:
        """Foreign exceptions become StepErrors here and nowhere else in this engine.

        ``uri`` is the object, or the folder of several, that the requests are about; ``source`` the one that a copy reads, ``version``
        the version that is named.
        """
        try:
            yield
        except ClientError as error:
            told = AwsError.from_client_error(error)
            if told.code in ALREADY and told.operation in {"PutObject", "CompleteMultipartUpload"}:
                raise already_there(uri) from error
            raise explain_error(
                told,
                self.role,
                caller=self.caller(),
                bucket=uri.bucket,
                key=uri.key,
                source=source,
                version=version,
            ) from error
        except BotoCoreError as error:
            name = type(error).__name__
            if name == "FlexibleChecksumError":  # newer boto3 proves some checksums by itself
                raise IntegrityFailed(f"{uri}: {error}") from error
            raise ServiceFailed(
                f"{uri}: {error}", hint=_NO_ROUTE if name in _UNREACHABLE else "", type=name
            ) from error
        except (
            ResponseParserError
        ) as error:  # not among botocore's own errors: an answer that is no XML
            raise ServiceFailed(
                f"{uri}: the answer cannot be read: {str(error).splitlines()[0]}",
                type="InternalError",
            ) from error


def already_there(uri: S3Uri) -> StepError:
    """A conditional write met another object."""
    hint = "it was written by somebody else, or by an earlier run"
    return StepError(
        f"{uri}: is there already, or is not the one that was expected",
        hint=hint,
        type="AlreadyThere",
    )


def if_match_refused(uri: S3Uri, etag: str) -> ServiceFailed:
    """If-Match was refused although the object has the ETag."""
    return ServiceFailed(
        f"{uri}: If-Match was refused, and the ETag is unchanged: '{etag}'",
        hint=_NOT_TAKEN,
        type="IfMatchRefused",
    )


@contextlib.contextmanager
def _readable(method: str) -> Iterator[None]:
    """Botocore's parsers trip over an answer that is not S3's: a length or a size that is no number. Raises ServiceFailed."""
    try:
        yield
    except ValueError as error:
        raise ServiceFailed(
            f"the answer to {method} cannot be read: {error}", type="InternalError"
        ) from error
