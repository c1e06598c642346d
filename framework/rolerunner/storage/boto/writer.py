"""Stores objects that are in memory through boto3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from rolerunner.iam.aws_errors import AwsError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.storage.boto.conditions import WriteRecovery
from rolerunner.storage.boto.errors import PRECONDITION_CODES, make_if_match_error
from rolerunner.storage.boto.requests import BotoRequests
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.responses import check_etag_returned, parse_etag


@dataclass(frozen=True)
class ObjectWriter:
    """Stores bytes by one PutObject."""

    requests: BotoRequests
    recovery: WriteRecovery

    def write(
        self, uri: S3Uri, data: bytes, options: Mapping[str, Any], *, repeated: bool = False
    ) -> ObjectInfo:
        """Stores a small object; a server that compares If-Match without quotes is served too."""
        with self.requests.translate_errors(uri):
            try:
                response = self._put_object(uri, data, options)
            except ClientError as error:
                response = self._recover_put(error, uri, data, options, repeated=repeated)
            self._check_stored(response, uri, options)
        version = response.get("VersionId", "")
        return ObjectInfo(uri.key, len(data), parse_etag(response), version=version)

    def store(
        self, uri: S3Uri, data: bytes, options: Mapping[str, Any], *, repeated: bool
    ) -> Mapping[str, Any]:
        """Stores bytes and returns the response. Raises ClientError, ServiceFailed."""
        try:
            response = self._put_object(uri, data, options)
        except ClientError as error:
            response = self.recovery.recover_data(error, uri, data, repeated=repeated)
        self._check_stored(response, uri, options)
        return response

    def _check_stored(
        self, response: Mapping[str, Any], uri: S3Uri, options: Mapping[str, Any]
    ) -> None:
        check_etag_returned(response, uri, "the upload")
        self.requests.check_encrypted(uri, options, response.get("SSECustomerAlgorithm"))

    def _put_object(self, uri: S3Uri, data: bytes, options: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.requests.call(
            "put_object", Bucket=uri.bucket, Key=uri.key, Body=data, **options
        )

    def _recover_put(
        self,
        error: ClientError,
        uri: S3Uri,
        data: bytes,
        options: Mapping[str, Any],
        *,
        repeated: bool,
    ) -> Mapping[str, Any]:
        try:
            return self.recovery.recover_data(error, uri, data, repeated=repeated)
        except ClientError:
            expected = str(options.get("IfMatch", "")).strip('"')
            if not expected or not _is_refused_condition(error):
                raise
            if self.recovery.find_etag(uri) != expected:
                raise
        # the condition holds, but some servers compare it with the ETag without its quotes,
        # a form that S3 accepts as well
        try:
            return self._put_object(uri, data, {**options, "IfMatch": expected})
        except ClientError as second:
            if _is_refused_condition(second) and self.recovery.find_etag(uri) == expected:
                raise make_if_match_error(uri, expected) from second
            raise


def _is_refused_condition(error: ClientError) -> bool:
    return AwsError.from_client_error(error).code in PRECONDITION_CODES
