"""Both engines abandon endless responses."""

from __future__ import annotations

import contextlib
import http.server
import json
import socketserver
import threading
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import RolesRefused
from rolerunner.observers.result import ResultFile
from rolerunner.storage.http.framing import MAX_ERROR, ResponseParser
from rolerunner.storage.http.response_heads import MalformedResponse
from tests.memory_aws import NAMESPACE, Response, xml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.memory_aws import Request, Store

HEAD = """
version: 1
name: endless
roles: {reader: "arn:aws:iam::444455556666:role/reader"}
"""
LIMIT = 300 << 20
"""Bytes after which the endless server gives up, so that a test without a bound ends."""


def run(tmp_path: Path, spec: str) -> dict[str, Any]:
    (tmp_path / "spec.yaml").write_text(HEAD + spec)
    with contextlib.suppress(RolesRefused):
        api.run(api.load(tmp_path / "spec.yaml"), observers=[ResultFile.at(tmp_path / "r.json")])
    read: dict[str, Any] = json.loads((tmp_path / "r.json").read_text())
    return read["steps"][0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_empty_pages_with_new_tokens_for_ever(
    engine: str, tmp_path: Path, memory_aws: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rolerunner.storage.responses.MAX_EMPTY_PAGES", 30)
    pages = iter(range(100_000))

    def hook(request: Request) -> Response | None:
        if "list-type" not in request.query:
            return None
        return xml(
            f"<ListBucketResult xmlns='{NAMESPACE}'><Name>bucket</Name><Prefix>p/</Prefix>"
            "<KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys>"
            f"<IsTruncated>true</IsTruncated><NextContinuationToken>t{next(pages)}</NextContinuationToken></ListBucketResult>"
        )

    memory_aws.hook = hook
    step = run(
        tmp_path,
        (
            f"engine: {engine}\n"
            "steps: [{id: find, action: s3.list, role: reader, source: 's3://bucket/p/'}]"
        ),
    )
    assert step["status"] == "failed"
    assert step["error"]["type"] == "EndlessListing"
    assert next(pages) < 200


class Endless(http.server.BaseHTTPRequestHandler):
    """Answers chosen requests with a chunked body that has no end; ``sent`` counts its bytes."""

    protocol_version = "HTTP/1.1"
    status = 200
    sent = 0

    def log_message(self, *arguments: Any) -> None:
        pass

    def _serve(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response_only(self.status)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("ETag", '"e"')
        self.end_headers()
        block = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        while Endless.sent < LIMIT:
            try:
                self.wfile.write(block)
            except OSError:
                break
            Endless.sent += 0x10000
        self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("rolerunner.sessions.bounded_responses.MAX_RESPONSE", 4 << 20)
    server = Server(("127.0.0.1", 0), Endless)
    Endless.sent = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


READ = "{id: read, action: s3.read, role: reader, source: 's3://bucket/a'}"
GET = "{id: read, action: s3.download, role: reader, objects: ['s3://bucket/a'], target: out/}"
LIST = "{id: read, action: s3.list, role: reader, source: 's3://bucket/p/'}"


@pytest.mark.parametrize(
    ("engine", "step", "status"),
    [
        ("boto3", READ, 200),
        ("boto3", GET, 200),
        ("boto3", LIST, 200),
        ("boto3", GET, 403),
        ("boto3", LIST, 403),
        ("fast", READ, 200),
        ("fast", GET, 200),
    ],
)
def test_a_body_without_an_end(
    engine: str,
    step: str,
    status: int,
    endless: str,
    tmp_path: Path,
    memory_aws: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Endless, "status", status)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endless)
    step = step.replace("target: out/", f"target: '{tmp_path}/out/'")
    assert run(tmp_path, f"engine: {engine}\nsteps: [{step}]")["status"] == "failed"
    assert Endless.sent < LIMIT


def test_an_answer_of_sts_without_an_end(
    endless: str, tmp_path: Path, memory_aws: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", endless)
    step = run(tmp_path, f"steps: [{READ}]")
    assert step["status"] == "not_run"
    assert step["error"]["message"]
    assert Endless.sent < LIMIT


def test_the_body_of_an_error_is_bounded() -> None:
    framing = ResponseParser("GET")
    framing.feed(b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n")
    block = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    for _ in range(MAX_ERROR // 0x10000):
        framing.feed(block)
    with pytest.raises(MalformedResponse):
        framing.feed(block)


@pytest.mark.parametrize("engine", ["fast", "boto3"])
@pytest.mark.parametrize(
    "change",
    [
        (
            "<IsTruncated>false",
            "<NextContinuationToken>{}</NextContinuationToken><IsTruncated>true",
        ),
        ("<KeyCount>2<", "<KeyCount>3<"),
        ("<IsTruncated>false</IsTruncated>", ""),
    ],
    ids=["a page again under a new token", "a page with fewer keys than it says", "no end"],
)
def test_a_wrong_page_is_an_error_that_names_the_prefix(
    engine: str, change: tuple[str, str], tmp_path: Path, memory_aws: Store
) -> None:
    memory_aws.put("bucket", "p/a", b"a")
    memory_aws.put("bucket", "p/b", b"b")
    pages = iter(range(100))

    def hook(request: Request) -> Response | None:
        if "list-type" not in request.query:
            return None
        request.query.pop("continuation-token", None)
        response = memory_aws.respond(request)
        body = response.body.decode().replace(change[0], change[1].format(next(pages)))
        return Response(response.status, response.headers, body.encode())

    memory_aws.hook = hook
    step = run(
        tmp_path,
        f"engine: {engine}\nsteps:\n  - {{id: find, action: s3.list, role: reader,"
        " source: 's3://bucket/p/'}\n",
    )
    assert (step["status"], step["error"]["type"]) == ("failed", "InternalError")
    assert step["error"]["message"].startswith("s3://bucket/p/: ")


@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_objects_are_not_put_together_in_another_order_than_that_of_keys(
    engine: str, tmp_path: Path, memory_aws: Store
) -> None:
    memory_aws.put("bucket", "p/a", b"a")
    memory_aws.put("bucket", "p/b", b"b")

    def hook(request: Request) -> Response | None:
        if "list-type" not in request.query:
            return None
        response = memory_aws.respond(request)
        head, first, second = response.body.split(b"<Contents>")
        second, end = second.split(b"</ListBucketResult>")
        tail = b"</ListBucketResult>" + end
        body = head + b"<Contents>" + second + b"<Contents>" + first + tail
        return Response(response.status, response.headers, body)

    memory_aws.hook = hook
    step = run(
        tmp_path,
        f"engine: {engine}\nsteps:\n  - {{id: all, action: s3.concat, role: reader,"
        " source: 's3://bucket/p/', target: 's3://bucket/all'}\n",
    )
    assert (step["status"], step["error"]["type"]) == ("failed", "OutOfOrder")
    assert ("bucket", "all") not in memory_aws.objects


LONGER = {
    "s3.concat": "source: 's3://bucket/p/', target: 's3://bucket/made'",
    "s3.pack": "source: 's3://bucket/p/', target: 's3://bucket/made.tar'",
    "s3.unpack": "source: 's3://bucket/p/a.tar', target: 's3://bucket/made/'",
    "s3.read": "source: 's3://bucket/p/a.tar'",
}


@pytest.mark.parametrize("engine", ["fast", "boto3"])
@pytest.mark.parametrize("action", LONGER)
def test_a_body_that_is_longer_than_the_object_fails_the_step(
    action: str, engine: str, tmp_path: Path, memory_aws: Store
) -> None:
    """As of a proxy that compresses: what is small becomes longer, and has its own length."""
    memory_aws.put("bucket", "p/a.tar", b"a")

    def hook(request: Request) -> Response | None:
        if not request.key or request.method != "GET":
            return None
        response = memory_aws.respond(request)
        body = response.body + b"longer"
        return Response(
            response.status, {**response.headers, "Content-Length": str(len(body))}, body
        )

    memory_aws.hook = hook
    step = run(
        tmp_path,
        f"engine: {engine}\nsteps:\n  - {{id: it, action: {action}, role: reader, timeout: 20s,"
        f" {LONGER[action]}}}\n",
    )
    assert (step["status"], step["error"]["type"]) == ("failed", "IntegrityFailed")
    assert "s3://bucket/p/a.tar" in step["error"]["message"]
