"""The native engine: lost connections, slow servers, expired sessions, and its fallback."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
import zlib
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.credentials import Credentials

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.model import JOB, S3Uri
from rolerunner.storage.boto import retries
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.native import fallback
from rolerunner.storage.native.engine import NativeEngine, open_native_engine
from rolerunner.storage.protocol import Copy, Get, ObjectInfo, Outcome, Put
from rolerunner.storage.tuning import Tuning
from tests.fake_s3 import Request, Response, start_fake_s3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = S3Uri("bucket", "key")
OK = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 4\r\n\r\nbody'


def open_engine(
    client: Any,
    *,
    tuning: Tuning | None = None,
    credentials: Any = None,
    net: SocketFactory | None = None,
) -> NativeEngine:
    return open_native_engine(
        BotoEngine(client, JOB, lambda: "", tuning=tuning),
        credentials or Credentials("k", "s"),
        net or SocketFactory(None, 2, 1),
    )


def make_client(url: str, tries: int = 2) -> Any:
    return boto3.client(
        "s3",
        "eu-west-1",
        endpoint_url=url,
        aws_access_key_id="k",
        aws_secret_access_key="s",
        config=Config(
            s3={"addressing_style": "path"},
            retries={"mode": "standard", "max_attempts": tries},
            read_timeout=1,
        ),
    )


@contextmanager
def sockets(
    handle: Callable[[socket.socket, int], None], *, context: ssl.SSLContext | None = None
) -> Iterator[str]:
    """A server that does with each connection what a test says; connections are numbered from 0."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        number = 0
        while True:
            try:
                each, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(each, number), daemon=True).start()
            number += 1

    def one(each: socket.socket, number: int) -> None:
        try:
            with context.wrap_socket(each, server_side=True) if context else each as connection:
                handle(connection, number)
        except OSError:
            return

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.close()


def receive_head(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise OSError
        data += more
    return data


def gets(tmp_path: Path, count: int, size: int = 4) -> Any:
    return [
        Get(S3Uri("bucket", f"k{number}"), tmp_path / f"f{number}", ObjectInfo(f"k{number}", size))
        for number in range(count)
    ]


def test_connections_that_were_kept_and_die_cost_nothing(tmp_path: Path) -> None:
    def close_after_two_responses(connection: socket.socket, number: int) -> None:
        for _ in range(2):
            receive_head(connection)
            connection.sendall(OK)

    with sockets(close_after_two_responses) as url:
        client = make_client(url, tries=1)
        outcomes = list(
            open_engine(client, tuning=Tuning(connections=4)).get(gets(tmp_path, 40), Cancel())
        )
    assert [outcome.error for outcome in outcomes] == [None] * 40
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"body"}


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbodyXX",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
        b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_broken_answers_are_asked_again_and_never_kept(
    bad: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.01)
    requests: list[int] = []

    def send_bad_response_first(connection: socket.socket, number: int) -> None:
        while True:
            receive_head(connection)
            requests.append(number)
            if len(requests) == 1:
                connection.sendall(bad)
                return
            connection.sendall(OK)

    with sockets(send_bad_response_first) as url:
        (outcome,) = open_engine(make_client(url)).get(gets(tmp_path, 1), Cancel())
    assert (outcome.error, (tmp_path / "f0").read_bytes()) == (None, b"body")
    assert len(requests) == 2


def test_a_server_that_drips_or_hangs_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.01)
    monkeypatch.setattr(retries, "MAX_TRIES", 1)

    def drip_body(connection: socket.socket, number: int) -> None:
        receive_head(connection)
        for letter in OK if number % 2 else b"":
            connection.sendall(bytes([letter]))
            time.sleep(0.2)
        time.sleep(20)

    started = time.monotonic()
    with sockets(drip_body) as url:
        outcomes = list(open_engine(make_client(url)).get(gets(tmp_path, 2), Cancel()))
    assert {outcome.error and outcome.error.type for outcome in outcomes} == {"ReadTimeoutError"}
    assert time.monotonic() - started < 10
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [4, 40 << 20], ids=["small", "in ranges"])
def test_it_stops_at_once_when_told_and_leaves_nothing(size: int, tmp_path: Path) -> None:
    def hang(connection: socket.socket, number: int) -> None:
        requests = receive_head(connection)
        if requests.startswith(b"HEAD"):
            connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: %d\r\n\r\n' % size)
            receive_head(connection)
        else:
            connection.sendall(
                b'HTTP/1.1 206 P\r\nETag: "e"\r\nContent-Length: 16777216\r\n\r\n' + b"x" * 1000
            )
        time.sleep(30)

    cancel = Cancel()
    with sockets(hang) as url:
        threading.Timer(0.5, cancel.set).start()
        started = time.monotonic()
        with pytest.raises(StepError, match="stopped"):
            list(
                open_engine(make_client(url), net=SocketFactory(None, 60, 60)).get(
                    gets(tmp_path, 3, size), cancel
                )
            )
        assert time.monotonic() - started < 4
    assert list(tmp_path.iterdir()) == []


def test_a_session_that_has_expired_is_given_up_once_and_the_new_one_is_used(
    tmp_path: Path,
) -> None:
    class Renewing:
        token, given_up = "old", 0

        def get_frozen_credentials(self) -> Any:
            return SimpleNamespace(access_key="k", secret_key="s", token=self.token)

        def invalidate(self, token: Any) -> bool:
            self.given_up += 1
            self.token = "new"
            return True

    def respond(request: Request) -> Response:
        if request.headers["x-amz-security-token"] == "new":
            return Response(b"body", headers={"ETag": '"e"'})
        return Response(
            (
                b"<Error><Code>ExpiredToken</Code>"
                b"<Message>The provided token has expired.</Message></Error>"
            ),
            400,
        )

    credentials = Renewing()
    with start_fake_s3(respond) as (client, requests):
        (outcome,) = open_engine(client, credentials=credentials).get(gets(tmp_path, 1), Cancel())
    assert (outcome.error, credentials.given_up, len(requests)) == (None, 1, 2)


def test_a_bucket_elsewhere_that_botocore_does_not_find_is_told_as_it_is(tmp_path: Path) -> None:
    text = (
        b"<Error><Code>PermanentRedirect</Code>"
        b"<Message>The bucket must be addressed using another endpoint.</Message></Error>"
    )
    with start_fake_s3(lambda request: Response(text, 301)) as (client, _):
        (outcome,) = open_engine(client).get(gets(tmp_path, 1), Cancel())
    assert outcome.error is not None
    assert outcome.error.type == "PermanentRedirect"


def test_a_bucket_in_another_region_is_found_once_for_all(tmp_path: Path) -> None:
    text = (
        b"<Error><Code>AuthorizationHeaderMalformed</Code>"
        b"<Message>expecting 'us-west-2'</Message><Region>us-west-2</Region></Error>"
    )

    def respond(request: Request) -> Response:
        if "/us-west-2/s3/" in request.headers["authorization"]:
            return Response(b"body", headers={"ETag": '"e"'})
        return Response(
            b"" if request.operation == "HEAD" else text, 400, {"x-amz-bucket-region": "us-west-2"}
        )

    with start_fake_s3(respond) as (client, requests):
        storage = open_engine(client)
        outcomes = list(storage.get(gets(tmp_path, 20), Cancel()))
        before = len(requests)
        again = list(storage.get(gets(tmp_path, 20), Cancel()))
    assert [outcome.error for outcome in (*outcomes, *again)] == [None] * 40
    assert len(requests) - before == 20


def test_a_range_that_is_the_whole_object_does_not_overwrite_its_neighbours(tmp_path: Path) -> None:
    def respond(request: Request) -> Response:
        return (
            Response(headers={"ETag": '"e"', "Content-Length": "12"})
            if request.operation == "HEAD"
            else Response(b"0123456789ab", headers={"ETag": '"e"'})
        )

    with start_fake_s3(respond) as (client, _):
        (outcome,) = open_engine(client, tuning=Tuning(large=8, part=4)).get(
            gets(tmp_path, 1, 12), Cancel()
        )
    assert outcome.error is not None
    assert outcome.error.type == "IntegrityFailed"
    assert list(tmp_path.iterdir()) == []


def test_large_files_go_in_parts_with_their_checksums(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40
    (tmp_path / "f").write_bytes(data)
    parts: dict[int, bytes] = {}

    def respond(request: Request) -> Response:
        if request.operation == "POST [uploads]":
            assert request.headers["x-amz-checksum-algorithm"] == "CRC32"
            return Response(
                b"<InitiateMultipartUploadResult><UploadId>u/+</UploadId>"
                b"</InitiateMultipartUploadResult>"
            )
        if request.operation == "PUT [uploadId]":
            assert request.query["uploadId"] == ["u/+"]
            assert (
                request.headers["x-amz-checksum-crc32"]
                == base64.b64encode(zlib.crc32(request.body).to_bytes(4, "big")).decode()
            )
            parts[int(request.query["partNumber"][0])] = request.body
            return Response(headers={"ETag": '"p"'})
        return Response(
            b"<CompleteMultipartUploadResult><ETag>done</ETag></CompleteMultipartUploadResult>"
        )

    with start_fake_s3(respond) as (client, requests):
        (outcome,) = open_engine(client, tuning=Tuning(large=1000, part=1 << 20)).put(
            [Put(tmp_path / "f", KEY)], Cancel()
        )
        assert b"<ChecksumCRC32>" in requests[-1].body
    assert (outcome.error, outcome.etag, b"".join(parts[number] for number in sorted(parts))) == (
        None,
        "done",
        data,
    )


def test_a_refusal_in_the_middle_of_an_upload_is_heard(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * (8 << 20))

    def refuse_connection(connection: socket.socket, number: int) -> None:
        receive_head(connection)
        text = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
        connection.sendall(
            b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (len(text), text)
        )
        connection.shutdown(socket.SHUT_WR)
        time.sleep(0.5)

    with sockets(refuse_connection) as url:
        (outcome,) = open_engine(make_client(url)).put([Put(tmp_path / "f", KEY)], Cancel())
    assert outcome.error is not None
    assert outcome.error.type == "AccessDenied"


def test_a_copy_between_roles_keeps_headers_metadata_and_tags() -> None:
    def source(request: Request) -> Response:
        if request.operation == "GET [tagging]":
            return Response(
                b"<Tagging><TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet></Tagging>"
            )
        return Response(
            b"body",
            headers={
                "ETag": '"e"',
                "Content-Type": "text/x",
                "x-amz-meta-m": "1",
                "Cache-Control": "no-store",
            },
        )

    with (
        start_fake_s3(source) as (reader, _),
        start_fake_s3(lambda request: Response(headers={"ETag": '"new"'})) as (writer, written),
    ):
        copies = [
            Copy(KEY, S3Uri("to", "key"), ObjectInfo("key", 4, "e"), {"CacheControl": "max-age=1"})
        ]
        (outcome,) = open_engine(writer).relay(copies, open_engine(reader), Cancel())
    assert (outcome.error, outcome.etag, written[0].body) == (None, "new", b"body")
    sent = written[0].headers
    assert (
        sent["x-amz-meta-m"],
        sent["content-type"],
        sent["cache-control"],
        sent["x-amz-tagging"],
    ) == ("1", "text/x", "max-age=1", "a=b%20c")
    assert (
        sent["x-amz-checksum-crc32"]
        == base64.b64encode(zlib.crc32(b"body").to_bytes(4, "big")).decode()
    )


def decode_aws_chunked(data: bytes) -> tuple[bytes, bytes]:
    """Returns the content of an aws-chunked body, and its trailer."""
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return body, data
        body, data = body + data[:length], data[length + 2 :]


@pytest.mark.parametrize("proof", ["crc32", "md5", "wrong"])
def test_parts_that_memory_does_not_hold_go_by_in_blocks(proof: str) -> None:
    data = os.urandom(5 << 19)  # two parts and a half
    told = {"ETag": f'"{hashlib.md5(data).hexdigest() if proof == "md5" else "e"}"'}
    if proof != "md5":
        told["x-amz-checksum-crc32"] = base64.b64encode(
            zlib.crc32(data if proof == "crc32" else b"").to_bytes(4, "big")
        ).decode()
    parts: dict[int, bytes] = {}
    cut = iter([True])

    def source(request: Request) -> Response:
        if request.operation == "HEAD":
            return Response(headers={**told, "Content-Length": str(len(data))})
        start, end = map(int, request.headers["range"][6:].split("-"))
        some = data[start : end + 1]
        if next(cut, False):
            return Response(some[:1000], 206, {"ETag": told["ETag"]}, length=len(some))
        return Response(some, 206, {"ETag": told["ETag"]})

    def target(request: Request) -> Response:
        if request.operation == "POST [uploads]":
            return Response(
                b"<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                b"</InitiateMultipartUploadResult>"
            )
        if request.operation == "PUT [uploadId]":
            body, trailer = decode_aws_chunked(request.body)
            assert request.headers["x-amz-decoded-content-length"] == str(len(body))
            digest = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
            assert trailer.decode() == f"x-amz-checksum-crc32:{digest}\r\n\r\n"
            parts[int(request.query["partNumber"][0])] = body
            return Response(headers={"ETag": '"p"', "x-amz-checksum-crc32": digest})
        return Response(
            b"<CompleteMultipartUploadResult><ETag>done</ETag></CompleteMultipartUploadResult>"
        )

    tuning = Tuning(memory=16, large=1000, part=1 << 20, parts_at_once=2)
    with start_fake_s3(source) as (reader, _), start_fake_s3(target) as (writer, requests):
        copies = [Copy(KEY, S3Uri("to", "key"), ObjectInfo("key", len(data), "e"), {"Tagging": ""})]
        (outcome,) = open_engine(writer, tuning=tuning).relay(
            copies, open_engine(reader, tuning=tuning), Cancel()
        )
    if proof == "wrong":
        assert outcome.error is not None
        assert outcome.error.type == "IntegrityFailed"
        assert "POST [uploadId]" not in {each.operation for each in requests}, (
            "what is not proved is not completed"
        )
    else:
        assert (outcome.error, outcome.etag) == (None, "done")
        assert b"".join(parts[number] for number in sorted(parts)) == data


def test_what_is_settled_already_waits_for_nothing(tmp_path: Path) -> None:
    items = [Outcome(S3Uri("bucket", str(number)), status="skipped") for number in range(20_000)]
    started = time.monotonic()
    assert len(list(open_engine(make_client("http://127.0.0.1:1")).get(items, Cancel()))) == 20_000
    assert time.monotonic() - started < 4


def test_the_next_address_of_a_host_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def two(host: str, port: int, **more: Any) -> Any:  # IPv6 first, where nothing listens
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            *resolve("127.0.0.1", port, **more),
        ]

    with start_fake_s3(lambda request: Response(b"body", headers={"ETag": '"e"'})) as (client, _):
        monkeypatch.setattr(socket, "getaddrinfo", two)
        outcomes = list(
            open_engine(client, tuning=Tuning(connections=2)).get(gets(tmp_path, 6), Cancel())
        )
    assert [outcome.error for outcome in outcomes] == [None] * 6


def test_a_proxy_is_left_to_boto3_and_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fallback, "_LOGGED", set())
    monkeypatch.setenv("NO_PROXY", "")
    with (
        caplog.at_level(logging.INFO),
        start_fake_s3(lambda request: Response(b"body", headers={"ETag": '"e"'})) as (
            client,
            requests,
        ),
    ):
        monkeypatch.setenv("HTTP_PROXY", client.meta.endpoint_url)
        proxied = make_client("http://s3.invalid:1234")
        outcomes = list(open_engine(proxied).get(gets(tmp_path, 3), Cancel()))
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert [
        record.message for record in caplog.records if "boto3 sends these" in record.message
    ] == [
        (
            "boto3 sends these requests instead of the fast engine: an HTTP proxy is set in "
            "the environment"
        )
    ]
    assert {each.headers["host"] for each in requests} == {"s3.invalid:1234"}


@pytest.mark.parametrize(
    "memory", [16, 128 << 20], ids=["parts that are too large to be held", "parts that are held"]
)
def test_large_objects_go_through_a_proxy_too(
    memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    data = bytes(range(256)) * (1 << 13)
    told = {
        "ETag": '"e"',
        "x-amz-checksum-crc32": base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode(),
    }
    parts: dict[int, bytes] = {}

    def respond(request: Request) -> Response:
        if request.operation == "POST [uploads]":
            return Response(
                b"<InitiateMultipartUploadResult><UploadId>u</UploadId>"
                b"</InitiateMultipartUploadResult>"
            )
        if request.operation == "PUT [uploadId]":
            parts[int(request.query["partNumber"][0])] = request.body
            return Response(headers={"ETag": '"p"'})
        if request.operation == "POST [uploadId]":
            return Response(
                b"<CompleteMultipartUploadResult><ETag>done</ETag></CompleteMultipartUploadResult>"
            )
        if request.operation == "HEAD":
            return Response(headers={**told, "Content-Length": str(len(data))})
        if request.operation == "GET [tagging]":
            return Response(b"<Tagging><TagSet></TagSet></Tagging>")
        start, end = map(int, request.headers["range"].removeprefix("bytes=").split("-"))
        return Response(
            data[start : end + 1],
            206,
            {"ETag": '"e"', "Content-Range": f"bytes {start}-{end}/{len(data)}"},
        )

    tuning = Tuning(memory=memory, large=1 << 20, part=1 << 20)
    with start_fake_s3(respond) as (client, _):
        monkeypatch.setenv("HTTP_PROXY", client.meta.endpoint_url)
        storage = open_engine(make_client("http://s3.invalid:1234"), tuning=tuning)
        (got,) = storage.get(
            [Get(KEY, tmp_path / "got", ObjectInfo("key", len(data), "e"))], Cancel()
        )
        assert (got.error, (tmp_path / "got").read_bytes() == data) == (None, True)
        (put,) = storage.put([Put(tmp_path / "got", KEY)], Cancel())
        assert (put.error, put.etag, b"".join(parts.pop(number) for number in (1, 2))) == (
            None,
            "done",
            data,
        )
        (copied,) = storage.relay(
            [Copy(KEY, S3Uri("to", "key"), ObjectInfo("key", len(data), "e"))], storage, Cancel()
        )
    assert (copied.error, copied.etag, b"".join(parts[number] for number in (1, 2))) == (
        None,
        "done",
        data,
    )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate")
def test_tls_is_verified_against_the_bundle_that_is_given(tmp_path: Path) -> None:
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        "-days",
        "2",
        "-subj",
        "/CN=t",
    ]
    subprocess.run(
        [*command, "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    def serve_object(connection: socket.socket, number: int) -> None:
        while True:
            receive_head(connection)
            connection.sendall(OK)

    (tmp_path / "out").mkdir()
    with sockets(serve_object, context=context) as url:
        client = make_client(url)
        good = list(
            open_engine(client, net=SocketFactory(str(tmp_path / "cert.pem"), 5, 5)).get(
                gets(tmp_path / "out", 5), Cancel()
            )
        )
        (bad,) = open_engine(client).get(gets(tmp_path / "none", 1), Cancel())
    assert [outcome.error for outcome in good] == [None] * 5
    assert bad.error is not None
    assert (bad.error.type, "CERTIFICATE_VERIFY_FAILED" in bad.error.message) == ("SSLError", True)
