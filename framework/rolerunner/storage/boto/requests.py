"""Sends single requests through boto3, with the step's options and at its pace."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import field
from typing import Any, Optional
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import AwsError
from rolerunner.iam.denials import explain_error
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import Role, S3Uri
from rolerunner.sessions.deferred_client import find_template_client
from rolerunner.storage import payloads
from rolerunner.storage.boto.errors import (
    PRECONDITION_CODES,
    make_not_encrypted_error,
    make_parse_error,
    make_target_exists_error,
    name_prefix,
    translate_botocore_error,
    translate_value_errors,
)
from rolerunner.storage.latency import LATENCY
from rolerunner.storage.pacing import Pacer
from rolerunner.storage.protocol import Access
from rolerunner.storage.responses import (
    check_deletion_response,
    check_tagging_response,
    validated_pages,
)

_DEFAULT_ATTEMPTS = 5
_AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_CUSTOMER_KEY_OPTIONS = ("SSECustomerAlgorithm", "SSECustomerKey")
_CONDITIONAL_WRITES = frozenset({"PutObject", "CompleteMultipartUpload"})
_CHECKS = {
    "delete_objects": ("after-call.s3.DeleteObjects", check_deletion_response),
    "get_object_tagging": ("after-call.s3.GetObjectTagging", check_tagging_response),
}
"""Method -> botocore's event of its response, and the check of a response that means nothing."""


@dataclass(frozen=True)
class BotoRequests:
    """Sends requests through the boto3 client of ``role``.

    ``caller`` returns the ARN of the session, which explanations of refused requests name.
    """

    client: Any
    role: Role
    caller: Callable[[], str]
    access: Access = field(default_factory=Access)
    pacer: Pacer = field(default_factory=Pacer)

    @property
    def max_attempts(self) -> int:
        """Attempts of one request, the first one included."""
        retries = find_template_client(self.client).meta.config.retries or {}
        attempts = retries.get("total_max_attempts") or retries.get("max_attempts")
        return int(attempts or _DEFAULT_ATTEMPTS)

    @property
    def is_on_aws(self) -> bool:
        """Returns True if the requests go to AWS itself."""
        host = urlsplit(find_template_client(self.client).meta.endpoint_url).hostname or ""
        return host.endswith(_AWS_DOMAINS)

    def call(
        self, method: str, cancel: Optional[Cancel] = None, **parameters: Any
    ) -> Mapping[str, Any]:
        """Returns the response to one request; ``parameters`` win over the step's own.

        Raises ClientError, BotoCoreError, ServiceFailed.
        """
        self.pacer.pace_request(cancel)
        if method in _CHECKS:
            event, check = _CHECKS[method]
            # botocore registers the same function under the same id once
            self.client.meta.events.register(event, check, unique_id=f"rolerunner-{method}")
        with translate_value_errors(method):
            complete = {**self.access_options(method), **parameters}
            sent_at = time.monotonic()
            response = self._send_checked(getattr(self.client, method), complete)
            LATENCY.add(time.monotonic() - sent_at)
            return response

    def customer_key_options(self, method: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns those of SSE-C, if the operation has them in this version of boto3.

        S3 requires them also to complete an upload that has checksums, and to list its parts.
        """
        return {
            name: options[name]
            for name in _CUSTOMER_KEY_OPTIONS
            if name in options and self.has_parameter(method, name)
        }

    def check_encrypted(
        self, target: S3Uri, options: Mapping[str, Any], algorithm: Optional[str]
    ) -> None:
        """Checks that a server not of AWS used the customer key that an object was stored with.

        ``algorithm`` is that of SSE-C in the response. Where it is missing, HEAD decides: some
        servers return it only there. Raises StepError.
        """
        keys = self.customer_key_options("head_object", options)
        if algorithm or not keys or self.is_on_aws:
            return
        try:
            found = self.call("head_object", Bucket=target.bucket, Key=target.key, **keys)
        except ClientError:  # the role may not read it, so nobody can tell
            return
        if not found.get("SSECustomerAlgorithm"):
            raise make_not_encrypted_error(target)

    def call_unless(
        self, codes: Container[str], method: str, cancel: Optional[Cancel] = None, **parameters: Any
    ) -> Optional[Mapping[str, Any]]:
        """Returns the response, or None if S3 refuses the request with one of the error codes."""
        try:
            return self.call(method, cancel, **parameters)
        except ClientError as error:
            if AwsError.from_client_error(error).code in codes:
                return None
            raise

    def _send_checked(
        self, call: Callable[..., Mapping[str, Any]], parameters: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Sends the checksum of a body as a trailer, or in a header if the server refuses that."""
        if not isinstance(parameters.get("Body"), (bytes, bytearray, memoryview)):
            return call(**parameters)
        if not payloads.takes_trailers(self.client):
            return call(**payloads.move_checksum_to_header(parameters))
        try:
            return call(**parameters)
        except ClientError as error:
            # botocore sends trailers over TLS alone
            over_tls = self.client.meta.endpoint_url.startswith("https:")
            if not over_tls or not payloads.is_trailer_refusal(AwsError.from_client_error(error)):
                raise
        response = call(**payloads.move_checksum_to_header(parameters))
        payloads.disable_trailers(self.client)
        return response

    def access_options(self, method: str) -> dict[str, Any]:
        """Returns the parameters of the step's ``access`` that the operation takes."""
        access = self.access
        options = {
            "RequestPayer": "requester" if access.request_payer else "",
            "ExpectedBucketOwner": access.bucket_owner,
            "SSECustomerAlgorithm": "AES256" if access.customer_key else "",
            "SSECustomerKey": base64.b64decode(access.customer_key),
            "ExpectedSourceBucketOwner": access.source_bucket_owner,
            "CopySourceSSECustomerAlgorithm": "AES256" if access.source_key else "",
            "CopySourceSSECustomerKey": base64.b64decode(access.source_key),
        }
        return {
            name: value
            for name, value in options.items()
            if value and self.has_parameter(method, name)
        }

    def has_parameter(self, method: str, name: str) -> bool:
        """Returns True if the operation has the parameter in this version of boto3."""
        meta = find_template_client(self.client).meta
        operation = meta.service_model.operation_model(meta.method_to_api_mapping[method])
        return name in operation.input_shape.members

    def read_options(self, version: str) -> dict[str, Any]:
        """Returns the parameters of GET and HEAD that ask for checksums and for a version."""
        options = {"VersionId": version} if version else {}
        if self.has_parameter("get_object", "ChecksumMode"):
            return {"ChecksumMode": "ENABLED", **options}
        return options

    def iterate_pages(
        self, method: str, prefix: S3Uri, **parameters: Any
    ) -> Iterator[Mapping[str, Any]]:
        """Yields the pages of a listing. Raises ServiceFailed for one that cannot be right."""
        pages = self.client.get_paginator(method).paginate(
            Bucket=prefix.bucket, Prefix=prefix.key, **self.access_options(method), **parameters
        )
        with name_prefix(prefix), translate_value_errors(method):
            for page in validated_pages(pages, prefix):
                yield page
                self.pacer.pace_request()

    def count_bytes(self, count: int, cancel: Cancel) -> None:
        """Counts transferred bytes and keeps their pace. Raises StepError if cancelled."""
        self.pacer.pace_bytes(count, cancel)
        cancel.stop_if_set()

    @contextlib.contextmanager
    def translate_errors(
        self, uri: S3Uri, source: Optional[S3Uri] = None, version: str = ""
    ) -> Iterator[None]:
        """Raises StepErrors in place of foreign exceptions.

        ``uri`` is the object, or the common folder of several, of the requests in the block;
        ``source`` is the object that a copy reads, ``version`` the version that they name.
        """
        try:
            yield
        except ClientError as error:
            failure = AwsError.from_client_error(error)
            if failure.code in PRECONDITION_CODES and failure.operation in _CONDITIONAL_WRITES:
                raise make_target_exists_error(uri) from error
            raise self.explain_error(failure, uri, source, version) from error
        except BotoCoreError as error:
            raise translate_botocore_error(error, uri) from error
        except ResponseParserError as error:  # a response that is no XML; no BotoCoreError
            raise make_parse_error(uri, str(error).splitlines()[0]) from error

    def to_step_error(self, error: Exception, uri: S3Uri, version: str = "") -> StepError:
        """Returns the error as ``translate_errors`` raises it."""
        try:
            with self.translate_errors(uri, version=version):
                raise error
        except StepError as translated:
            return translated

    def explain_error(
        self, error: AwsError, uri: S3Uri, source: Optional[S3Uri] = None, version: str = ""
    ) -> StepError:
        """Returns the StepError that explains which permission a refused request lacks."""
        return explain_error(
            error,
            self.role,
            caller=self.caller(),
            bucket=uri.bucket,
            key=uri.key,
            source=source,
            version=version,
        )
