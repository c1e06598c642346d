"""Sends the parts of multipart uploads, from memory or straight from a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from rolerunner.common.file_errors import translate_os_errors
from rolerunner.errors import StepError
from rolerunner.iam.aws_errors import TRAILER_REFUSED, AwsError
from rolerunner.storage import hashing, payloads
from rolerunner.storage.hashing import encode_base64
from rolerunner.storage.http.aws_chunked import STREAMING_PAYLOAD, ChunkedBody
from rolerunner.storage.http.connection_pool import BLOCK_SIZE
from rolerunner.storage.http.request_bodies import FileRange
from rolerunner.storage.http.sigv4 import UNSIGNED_PAYLOAD
from rolerunner.storage.native.client import NativeClient, checksum_header, split_checksum
from rolerunner.storage.responses import check_etag_returned

if TYPE_CHECKING:
    from rolerunner.common.cancellation import Cancel
    from rolerunner.storage.parts import PartUpload
    from rolerunner.storage.upload_source import UploadSource

_KEY_OPTIONS = ("SSECustomerAlgorithm", "SSECustomerKey")


class PartSender:
    """Sends parts over blocking connections, in the caller's thread."""

    def __init__(self, client: NativeClient) -> None:
        self._client = client
        self._requests = client.requests

    def send(
        self, part: PartUpload, headers: Mapping[str, str], body: Any, cancel: Cancel
    ) -> dict[str, Any]:
        """Sends a part; returns the completed part with the checksums that ``headers`` hold."""
        response = self._put(part, headers, body, cancel, UNSIGNED_PAYLOAD)
        checksums = {
            f"Checksum{name.rpartition('-')[2].upper()}": value
            for name, value in headers.items()
            if name.startswith("x-amz-checksum-")
        }
        return {"PartNumber": part.number, "ETag": response["etag"], **checksums}

    def send_chunked(self, part: PartUpload, body: ChunkedBody, cancel: Cancel) -> dict[str, Any]:
        """Sends a part whose checksum follows it in a trailer; returns the completed part.

        Raises StepError of the type TrailerRefused if the server does not support trailers. That
        shows also in a response without the checksum: such a server may have stored the encoding.
        """
        try:
            response = self._put(part, body.headers, body, cancel, STREAMING_PAYLOAD)
        except ClientError as error:
            failure = AwsError.from_client_error(error)
            if not payloads.is_trailer_refusal(failure):
                raise
            raise payloads.trailer_refused_error(failure.message or failure.code) from error
        if response.get("x-amz-checksum-crc32") != body.checksum:
            raise payloads.trailer_refused_error("it does not return the checksum of a part")
        return {
            "PartNumber": part.number,
            "ETag": response["etag"],
            "ChecksumCRC32": body.checksum,
        }

    def _put(
        self,
        part: PartUpload,
        headers: Mapping[str, str],
        body: Any,
        cancel: Cancel,
        payload: str,
    ) -> Mapping[str, str]:
        """Returns the headers of the response, with an ETag."""
        task = self._client.send(
            self._client.make_policy(cancel),
            "upload_part",
            part.target,
            _select_key_options(part),
            headers,
            query=(("partNumber", str(part.number)), ("uploadId", part.upload_id)),
            body=body,
            length=len(body),
            payload=payload,
        )
        response = self._client.run(task, cancel).headers
        check_etag_returned({"ETag": response.get("etag")}, part.target, f"part {part.number}")
        return response

    def send_file(self, file: UploadSource, part: PartUpload, cancel: Cancel) -> dict[str, Any]:
        """Sends a part of a file. Raises LocalFileFailed, ClientError, UnsupportedRequest.

        Over TLS the file is read once: its checksum follows in a trailer. Without TLS the kernel
        sends the file, which is read before for its checksum, and so it is for servers that do not
        support trailers.
        """
        count = partial(self._requests.count_bytes, cancel=cancel)
        with translate_os_errors(file.path):
            descriptor = file.open()
        try:
            body = FileRange(descriptor, part.start, part.length, count)
            completed = self._send_range(file, part, body, cancel)
            file.check(descriptor)
        finally:
            os.close(descriptor)
        return completed

    def _send_range(
        self, file: UploadSource, part: PartUpload, body: FileRange, cancel: Cancel
    ) -> dict[str, Any]:
        def iterate_blocks() -> Iterator[bytes]:
            with translate_os_errors(file.path):
                for block in body.read_blocks():
                    cancel.stop_if_set()
                    yield block

        def count_blocks() -> Iterator[bytes]:
            for block in iterate_blocks():
                yield block
                body.moved(len(block))

        can_trail = self._can_send_trailer(part)
        if can_trail:
            chunked = ChunkedBody(count_blocks, part.length, BLOCK_SIZE, None)
            try:
                return self.send_chunked(part, chunked, cancel)
            except StepError as error:
                if error.type != TRAILER_REFUSED:
                    raise
        completed = self._send_with_header(part, body, iterate_blocks(), cancel)
        if can_trail:
            payloads.disable_trailers(self._requests.client)
        return completed

    def _can_send_trailer(self, part: PartUpload) -> bool:
        algorithm, _ = split_checksum(part.options)
        if algorithm != "CRC32" or not payloads.takes_trailers(self._requests.client):
            return False
        options = _select_key_options(part)
        return self._client.find_template("upload_part", part.target.bucket, options).address.secure

    def _send_with_header(
        self, part: PartUpload, body: FileRange, blocks: Iterator[bytes], cancel: Cancel
    ) -> dict[str, Any]:
        algorithm, _ = split_checksum(part.options)
        running = hashing.create_hash(algorithm)
        for block in blocks:
            running.update(block)
        digest = encode_base64(running.digest())
        return self.send(part, checksum_header(algorithm, digest), body, cancel)


def _select_key_options(part: PartUpload) -> dict[str, Any]:
    return {name: part.options[name] for name in _KEY_OPTIONS if name in part.options}
