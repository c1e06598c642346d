"""Runs the workloads with AWS's C runtime, for comparison: KIND BUCKET FOLDER.

It has what an engine needs: credentials looked up at every signature, a client for many small
objects, one with limited memory for large ones, checksums sent and verified.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET

from awscrt.auth import AwsCredentials, AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.io import ClientTlsContext, TlsContextOptions
from awscrt.s3 import (
    S3ChecksumAlgorithm,
    S3ChecksumConfig,
    S3ChecksumLocation,
    S3Client,
    S3RequestTlsMode,
    S3RequestType,
    create_default_s3_signing_config,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

AT_ONCE = 256
LARGE = 16 << 20
PART = 8 << 20
PREFIX = "data/"
XMLNS = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class Role:
    """S3 as whoever has these keys."""

    def __init__(self, access_key: str, secret_key: str) -> None:
        self.place = urlsplit(os.environ["AWS_ENDPOINT_URL"])
        self.keys = AwsCredentials(access_key, secret_key)
        self.room = threading.Semaphore(AT_ONCE)
        self.failed: list[BaseException] = []
        self.flying: set[Any] = set()

    @cached_property
    def small(self) -> S3Client:
        """So many gigabits a second that it opens hundreds of connections."""
        return self._client(throughput_target_gbps=100.0)

    @cached_property
    def large(self) -> S3Client:
        """As little memory as the runtime lets it have."""
        return self._client(
            throughput_target_gbps=5.0,
            part_size=PART,
            memory_limit=1 << 30,
            max_active_connections_override=8,
        )

    def _client(self, **tuning: Any) -> S3Client:
        region = os.environ["AWS_REGION"]
        secure = self.place.scheme == "https"
        provider = AwsCredentialsProvider.new_delegate(lambda: self.keys)
        return S3Client(
            region=region,
            tls_mode=S3RequestTlsMode.ENABLED if secure else S3RequestTlsMode.DISABLED,
            tls_connection_options=_trusting(os.environ.get("AWS_CA_BUNDLE")) if secure else None,
            signing_config=create_default_s3_signing_config(
                region=region, credential_provider=provider
            ),
            **tuning,
        )  # fmt: skip

    def request(
        self, method: str, path: str, body: Any = None, length: int | None = None
    ) -> HttpRequest:
        headers = [
            ("host", self.place.netloc),
            ("accept", "*/*"),
            *([("content-length", str(length))] if length is not None else []),
        ]
        return HttpRequest(method, path, HttpHeaders(headers), body)

    def begin(
        self, client: S3Client, kind: S3RequestType, request: HttpRequest, **more: Any
    ) -> Future[Any]:
        """One of the many that are under way; it waits for room."""
        self.room.acquire()
        begun = client.make_request(type=kind, request=request, **more)
        self.flying.add(begun)
        begun.finished_future.add_done_callback(lambda future: self._ended(begun, future))
        future: Future[Any] = begun.finished_future
        return future

    def _ended(self, begun: Any, future: Future[Any]) -> None:
        error = future.exception()
        if error is not None:
            self.failed.append(error)
        self.flying.discard(begun)
        self.room.release()

    def all_done(self) -> None:
        """Wait for them all. Raises what the first failure was."""
        for _ in range(AT_ONCE):
            self.room.acquire()
        if self.failed:
            raise self.failed[0]
        for _ in range(AT_ONCE):
            self.room.release()


def _trusting(bundle: str | None) -> Any:
    options = TlsContextOptions()
    if bundle:
        options.override_default_trust_store_from_path(None, bundle)
    return ClientTlsContext(options).new_connection_options()


def objects(role: Role, bucket: str) -> Iterator[tuple[str, int]]:
    """Key and size of each, page by page."""
    token = ""
    while True:
        query = f"list-type=2&prefix={quote(PREFIX, safe='')}" + (
            f"&continuation-token={quote(token, safe='')}" if token else ""
        )
        page: list[bytes] = []
        role.begin(
            role.small, S3RequestType.DEFAULT, role.request("GET", f"/{bucket}?{query}"),
            operation_name="ListObjectsV2",
            on_body=lambda chunk, page=page, **_: page.append(bytes(chunk)),
        ).result()  # fmt: skip
        found = ET.fromstring(b"".join(page))
        names = XMLNS if found.tag.startswith(XMLNS) else ""
        for each in found.iter(f"{names}Contents"):
            yield each.findtext(f"{names}Key", ""), int(each.findtext(f"{names}Size", ""))
        token = found.findtext(f"{names}NextContinuationToken", "")
        if not token:
            return


def fetch(role: Role, bucket: str, key: str, size: int, **to: Any) -> Future[Any]:
    """A small object as a plain request: to look whether it goes in ranges costs a quarter more."""
    request, checked = (
        role.request("GET", f"/{bucket}/{quote(key)}"),
        S3ChecksumConfig(validate_response=True),
    )
    if size >= LARGE:
        return role.begin(
            role.large, S3RequestType.GET_OBJECT, request, checksum_config=checked, **to
        )
    return role.begin(
        role.small,
        S3RequestType.DEFAULT,
        request,
        operation_name="GetObject",
        checksum_config=checked,
        **to,
    )


def download(role: Role, bucket: str, folder: Path) -> None:
    for key, size in objects(role, bucket):
        fetch(role, bucket, key, size, recv_filepath=str(folder / Path(key).name))
    role.all_done()


def upload(role: Role, bucket: str, folder: Path) -> None:
    del bucket
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        size = entry.stat().st_size
        client = role.large if size >= LARGE else role.small
        role.begin(
            client, S3RequestType.PUT_OBJECT,
            role.request("PUT", f"/written/in/{quote(entry.name)}", length=size),
            checksum_config=_crc(), send_filepath=entry.path,
        )  # fmt: skip
    role.all_done()


def relay(role: Role, bucket: str, folder: Path) -> None:
    """Relays small objects only; the runtime's Python API has no backpressure for large ones."""
    del folder
    other = Role(os.environ["OTHER_ACCESS_KEY_ID"], os.environ["OTHER_SECRET_ACCESS_KEY"])

    def put(key: str, chunks: list[bytes]) -> None:
        body = b"".join(chunks)
        request = other.request("PUT", f"/written/relayed/{quote(key)}", BytesIO(body), len(body))
        other.begin(other.small, S3RequestType.PUT_OBJECT, request, checksum_config=_crc())

    came: list[tuple[str, list[bytes], Future[Any]]] = []
    for key, size in objects(role, bucket):
        chunks: list[bytes] = []
        future = fetch(
            role,
            bucket,
            key,
            size,
            on_body=lambda chunk, chunks=chunks, **_: chunks.append(bytes(chunk)),
        )
        came.append((key, chunks, future))
        if len(came) >= AT_ONCE // 2:
            _put_first(came, put)
    while came:
        _put_first(came, put)
    other.all_done()


def _put_first(came: list[tuple[str, list[bytes], Future[Any]]], put: Any) -> None:
    key, chunks, future = came.pop(0)
    future.result()
    put(key, chunks)


def _crc() -> S3ChecksumConfig:
    return S3ChecksumConfig(
        algorithm=S3ChecksumAlgorithm.CRC32, location=S3ChecksumLocation.TRAILER
    )


if __name__ == "__main__":
    kind, bucket, folder = sys.argv[1:]
    job = Role(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    {"download": download, "upload": upload, "relay": relay}[kind](job, bucket, Path(folder))
