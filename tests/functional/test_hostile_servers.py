"""The engines against a hostile S3: no hanging, no wrong bytes, no leftovers."""

from __future__ import annotations

import gc
import gzip
import hashlib
import itertools
import json
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.credentials import Credentials

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.model import JOB, S3Uri
from rolerunner.storage.boto import retries
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.decompression import Decompression
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.native.engine import open_native_engine
from rolerunner.storage.protocol import Copy, Get, ObjectInfo, Outcome, Put
from rolerunner.storage.tuning import Tuning
from tests.fake_s3 import (
    SLOW_DOWN,
    RawResponse,
    Request,
    Response,
    Throttling,
    echo_checksum,
    start_fake_s3,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

READ_TIMEOUT = 0.4
PATIENT = 12.0
"""Seconds in which everything here has an end, also on a machine that has other things to do."""
KEY, TO = S3Uri("bucket", "in/key"), S3Uri("bucket", "to")
RIGHT = b"correct"
ETAG = f'"{hashlib.md5(RIGHT).hexdigest()}"'
HEAD = (
    f"HTTP/1.1 200 OK\r\nETag: {ETAG}\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n".encode()
)
LISTED = ObjectInfo("in/key", len(RIGHT), ETAG.strip('"'))
NO_RETRIES = {"mode": "standard", "max_attempts": 1}

pytestmark = [
    pytest.mark.once,
    # botocore drops an answer that it cannot parse, with the socket that it came over
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _dropped_here() -> Iterator[None]:
    """Collects what is dropped here, so that it does not trouble the next module."""
    yield
    gc.collect()


@pytest.fixture(params=["boto3", "fast"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One try of each object: what is tried again, and how often, is another test's."""
    monkeypatch.setattr(retries, "MAX_TRIES", 1)
    return str(request.param)


DEFAULT_TUNING = Tuning()


def storage(engine: str, client: Any, tuning: Tuning = DEFAULT_TUNING) -> Any:
    if engine == "boto3":
        return BotoEngine(client, JOB, lambda: "", tuning=tuning)
    return open_native_engine(
        BotoEngine(client, JOB, lambda: "", tuning=tuning),
        Credentials("k", "s"),
        SocketFactory(None, READ_TIMEOUT, READ_TIMEOUT),
    )


@contextmanager
def start_hostile_s3(
    respond: Callable[[Request], Response | RawResponse], **more: Any
) -> Iterator[tuple[Any, list[Request]]]:
    started_at = time.monotonic()
    settings = {
        "connect_timeout": READ_TIMEOUT,
        "read_timeout": READ_TIMEOUT,
        "retries": NO_RETRIES,
        **more,
    }
    with start_fake_s3(respond, **settings) as made:
        yield made
    assert time.monotonic() - started_at < PATIENT


def frame_body(data: bytes, *headers: str) -> bytes:
    return (
        HEAD
        + "".join(
            f"{header}\r\n" for header in headers or [f"Content-Length: {len(data)}"]
        ).encode()
        + b"\r\n"
        + data
    )


# one object

CUT_OFF = {
    "nothing": RawResponse(),
    "a reset": RawResponse(connection="reset"),
    "half a status line": RawResponse([b"HTTP/1.1 2"]),
    "half the headers": RawResponse([HEAD[:40]]),
    "no body": RawResponse([frame_body(b"", "Content-Length: 7")]),
    "half the body": RawResponse([frame_body(b"cor", "Content-Length: 7")]),
    "half the body, reset": RawResponse(
        [frame_body(b"cor", "Content-Length: 7")], connection="reset"
    ),
    "half a chunk": RawResponse([frame_body(b"7\r\ncor", "Transfer-Encoding: chunked")]),
    "no last chunk": RawResponse([frame_body(b"7\r\ncorrect\r\n", "Transfer-Encoding: chunked")]),
}
GARBAGE = {
    "another protocol": RawResponse([b"SSH-2.0-OpenSSH_9.6\r\n"]),
    "a status that is no number": RawResponse(
        [b"HTTP/1.1 abc OK\r\nContent-Length: 7\r\n\r\ncorrect"]
    ),
    "noise": RawResponse([bytes(range(256)) * 8]),
    "a length that is no number": RawResponse([frame_body(RIGHT, "Content-Length: seven")]),
    "a negative length": RawResponse([frame_body(RIGHT, "Content-Length: -7")]),
    "a length too short": RawResponse([frame_body(RIGHT, "Content-Length: 3")]),
    "a chunk's size that is no number": RawResponse(
        [frame_body(b"x\r\ncorrect\r\n0\r\n\r\n", "Transfer-Encoding: chunked")]
    ),
    "a chunk of exabytes": RawResponse(
        [frame_body(b"fffffffffffffff\r\ncorrect", "Transfer-Encoding: chunked")]
    ),
    "a page for people": RawResponse(
        [b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"]
    ),
    "a wrong checksum": RawResponse(
        [frame_body(RIGHT, "Content-Length: 7", "x-amz-checksum-crc32: AAAAAA==")]
    ),
    "a checksum that is none": RawResponse(
        [frame_body(RIGHT, "Content-Length: 7", "x-amz-checksum-crc32: ???")]
    ),
    "wrong bytes": RawResponse([frame_body(b"damaged")]),
}
SLOW = {
    "a stall before the answer": RawResponse([60.0]),
    "a stall in the headers": RawResponse([HEAD, 60.0]),
    "a stall after the headers": RawResponse([frame_body(b"", "Content-Length: 7"), 60.0]),
    "a stall in the body": RawResponse([frame_body(b"cor", "Content-Length: 7"), 60.0]),
}


def repeat_forever(*parts: bytes | float) -> Iterator[bytes | float]:
    """Parts, of which the last few come again and again."""
    return itertools.chain([HEAD], itertools.cycle(parts))


ENDLESS: dict[str, Callable[[], RawResponse]] = {
    "headers": lambda: RawResponse(repeat_forever(b"x-amz-meta-a: b\r\n" * 100)),
    "one header": lambda: RawResponse(repeat_forever(b"x" * 4096)),
    "interim answers": lambda: RawResponse(
        itertools.chain([b""], itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"))
    ),
}


def fetch_error(engine: str, client: Any, folder: Path, **more: Any) -> StepError:
    """The error of fetching the object, which leaves nothing behind."""
    (outcome,) = storage(engine, client).get([Get(KEY, folder / "f", LISTED, **more)], Cancel())
    assert list(folder.iterdir()) == []
    assert outcome.error is not None
    error: StepError = outcome.error
    return error


@pytest.mark.parametrize(
    "response_on_wire",
    [*CUT_OFF.values(), *GARBAGE.values(), *SLOW.values()],
    ids=[*CUT_OFF, *GARBAGE, *SLOW],
)
def test_an_object_that_comes_wrong_is_not_kept(
    response_on_wire: RawResponse, engine: str, tmp_path: Path
) -> None:
    with start_hostile_s3(lambda request: response_on_wire) as (client, _):
        fetch_error(engine, client, tmp_path)


@pytest.mark.parametrize("response_on_wire", ENDLESS.values(), ids=ENDLESS)
def test_what_has_no_end_is_cut_off(
    response_on_wire: Callable[[], RawResponse], engine: str, tmp_path: Path
) -> None:
    if engine == "boto3" and response_on_wire is ENDLESS["interim answers"]:
        pytest.skip("http.client reads on for ever: a step's timeout ends it, as below")
    with start_hostile_s3(lambda request: response_on_wire()) as (client, _):
        fetch_error(engine, client, tmp_path)


def test_a_server_that_drips_is_left_when_the_step_is_stopped(engine: str, tmp_path: Path) -> None:
    if engine == "boto3":
        pytest.skip("botocore waits for whole blocks: a step's timeout ends it, as below")

    def drip_bytes() -> Iterator[bytes | float]:
        yield HEAD + b"Content-Length: 1000000\r\n\r\n"
        while True:
            yield b"x"
            yield READ_TIMEOUT / 4

    cancel = Cancel()
    with start_hostile_s3(lambda request: RawResponse(drip_bytes())) as (client, _):
        import threading

        threading.Timer(1, cancel.set).start()
        try:
            outcomes = list(
                storage(engine, client).get(
                    [Get(KEY, tmp_path / "f", ObjectInfo("in/key", 1_000_000))], cancel
                )
            )
            assert outcomes[0].error is not None
        except StepError as error:
            assert error.type == "Stopped"
    assert list(tmp_path.iterdir()) == []


def test_no_connection_is_an_error(engine: str, tmp_path: Path) -> None:
    with start_hostile_s3(
        lambda request: RawResponse(), greeting=lambda: RawResponse(connection="reset")
    ) as (client, requests):
        fetch_error(engine, client, tmp_path)
    assert requests == []


@pytest.mark.parametrize(
    "response_on_wire",
    [
        RawResponse(
            [
                frame_body(
                    b"3\r\ncor\r\n4;x=y\r\nrect\r\n0\r\nx-trailer: 1\r\n\r\n",
                    "Transfer-Encoding: chunked",
                )
            ]
        ),
        RawResponse([b"HTTP/1.1 100 Continue\r\n\r\n", frame_body(RIGHT)]),
        RawResponse(
            [HEAD[:20], 0.1, HEAD[20:], b"Content-Length: 7\r\n", 0.1, b"\r\ncor", 0.1, b"rect"]
        ),
        RawResponse([frame_body(RIGHT, "Connection: close")]),
        RawResponse([frame_body(RIGHT).replace(b"Content-Length", b"cOnTeNt-LeNgTh")]),
    ],
    ids=["chunks", "an interim answer", "bit by bit", "until it is closed", "headers in any case"],
)
def test_an_object_that_comes_in_another_way_is_right(
    response_on_wire: RawResponse, engine: str, tmp_path: Path
) -> None:
    with start_hostile_s3(lambda request: response_on_wire) as (client, _):
        (outcome,) = storage(engine, client).get([Get(KEY, tmp_path / "f", LISTED)], Cancel())
    assert (outcome.error, (tmp_path / "f").read_bytes()) == (None, RIGHT)


def test_a_gzip_file_that_is_cut_short_is_not_unpacked(engine: str, tmp_path: Path) -> None:
    data = gzip.compress(b"a" * 1000)[:-6]
    with start_hostile_s3(
        lambda request: Response(data, headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"'})
    ) as (client, _):
        assert (
            fetch_error(engine, client, tmp_path, decompress=Decompression("gzip")).type
            == "NotGzip"
        )


# ranges

CONTENT = b"oldoldoldold"
SMALL_PARTS = Tuning(large=8, part=4)


def fetch_ranges_error(engine: str, client: Any, folder: Path) -> StepError:
    (outcome,) = storage(engine, client, SMALL_PARTS).get(
        [Get(KEY, folder / "f", ObjectInfo("in/key", 12, "e-3"))], Cancel()
    )
    assert list(folder.iterdir()) == []
    assert outcome.error is not None
    error: StepError = outcome.error
    return error


def respond_to_range(request: Request, **lies: str) -> Response:
    """The range that is asked for, of an object without a checksum, and what is said about it."""
    if request.operation == "HEAD":
        return Response(headers={"ETag": '"e-3"', "Content-Length": "12"})
    start, end = map(int, request.headers["range"][6:].split("-"))
    told = {
        "ETag": '"e-3"',
        "Content-Range": f"bytes {start}-{end}/12",
        **{name.replace("_", "-"): value for name, value in lies.items()},
    }
    return Response(CONTENT[start : end + 1], 206, told)


def test_ranges_come_right(engine: str, tmp_path: Path) -> None:
    with start_hostile_s3(respond_to_range) as (client, _):
        (outcome,) = storage(engine, client, SMALL_PARTS).get(
            [Get(KEY, tmp_path / "f", ObjectInfo("in/key", 12, "e-3"))], Cancel()
        )
    assert (outcome.error, (tmp_path / "f").read_bytes()) == (None, CONTENT)


@pytest.mark.parametrize(
    "lie",
    [{"Content_Range": "bytes 0-3/12"}, {"Content_Range": "bytes 0-3/99"}, {"ETag": '"another"'}],
    ids=["another range", "of a longer object", "of another object"],
)
def test_a_range_that_was_not_asked_for_is_not_believed(
    lie: dict[str, str], engine: str, tmp_path: Path
) -> None:
    with start_hostile_s3(
        lambda request: respond_to_range(
            request, **(lie if request.headers.get("range") == "bytes=4-7" else {})
        )
    ) as (client, _):
        fetch_ranges_error(engine, client, tmp_path)


def test_the_whole_object_instead_of_a_range_is_not_believed(engine: str, tmp_path: Path) -> None:
    def respond(request: Request) -> Response:
        return (
            Response(CONTENT, headers={"ETag": '"e-3"'})
            if request.headers.get("range") == "bytes=4-7"
            else respond_to_range(request)
        )

    with start_hostile_s3(respond) as (client, _):
        fetch_ranges_error(engine, client, tmp_path)


LIES_OF_A_RANGE = {
    "another range": {"Content_Range": "bytes 1-12/13"},
    "of another object": {"ETag": '"another"'},
    "of no object": {"ETag": ""},
}


@pytest.mark.parametrize("blocks", [False, True], ids=["whole", "in blocks"])
@pytest.mark.parametrize("lie", LIES_OF_A_RANGE.values(), ids=LIES_OF_A_RANGE)
def test_a_copy_between_two_roles_does_not_believe_such_a_range_either(
    lie: dict[str, str], blocks: bool, engine: str
) -> None:
    """Nor where its parts are too large to be held, and go by in blocks."""

    def respond(request: Request) -> Response | RawResponse:
        if request.key != KEY.key:
            return respond_to_multipart(Response(DONE))(request)
        return (
            Response(b"<Tagging><TagSet/></Tagging>")
            if request.operation == "GET [tagging]"
            else respond_to_range(request, **(lie if lies else {}))
        )

    tuning = replace(SMALL_PARTS, memory=8 if blocks else 64 << 20)
    for lies in (False, True):
        with start_hostile_s3(respond) as (client, requests):
            its = storage(engine, client, tuning)
            (outcome,) = its.relay([Copy(KEY, TO, ObjectInfo("in/key", 12, "e-3"))], its, Cancel())
        told, ends = (
            outcome.error.type if outcome.error is not None else "",
            {"POST [uploadId]", "DELETE [uploadId]"},
        )
        assert (told, ends & {each.operation for each in requests}) == (
            ("IntegrityFailed", {"DELETE [uploadId]"}) if lies else ("", {"POST [uploadId]"})
        )
        assert (
            any("x-amz-trailer" in each.headers for each in requests) is blocks or engine == "boto3"
        )


# listings


def render_page(*keys: str, token: str = "", more: bool | None = None, head: str = "") -> Response:
    contents = "".join(
        f"<Contents><Key>{key}</Key><Size>1</Size><ETag>e</ETag></Contents>" for key in keys
    )
    truncated = bool(token) if more is None else more
    next_one = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    is_truncated = f"<IsTruncated>{str(truncated).lower()}</IsTruncated>"
    text = f"{head}<ListBucketResult>{is_truncated}{contents}{next_one}</ListBucketResult>"
    return Response(text.encode())


def list_keys(engine: str, client: Any, most: int = 100_000) -> list[str]:
    return [
        info.key
        for info in itertools.islice(storage(engine, client).list(S3Uri("bucket", "in/")), most)
    ]


BOMB = (
    '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi"))
    + "]>"
)
LIES = {
    "the same page again and again": lambda request: render_page("in/a", token="1"),
    "pages in a circle": lambda request: render_page(
        "in/a", token="2" if request.query.get("continuation-token") == ["1"] else "1"
    ),
    "more, but not where": lambda request: render_page("in/a", more=True),
    "a key outside the prefix": lambda request: render_page("other/secret"),
    "a key above the prefix": lambda request: render_page("in"),
    "a size that is no number": lambda request: Response(
        render_page("in/a").body.replace(b"<Size>1", b"<Size>one")
    ),
    "a negative size": lambda request: Response(
        render_page("in/a").body.replace(b"<Size>1", b"<Size>-1")
    ),
    "no size": lambda request: Response(render_page("in/a").body.replace(b"<Size>1</Size>", b"")),
    "a bomb": lambda request: render_page("in/&i;", head=BOMB),
    "a page that ends early": lambda request: Response(render_page("in/a", "in/b").body[:-40]),
    "an error": lambda request: Response(
        b"<Error><Code>InternalError</Code><Message>We had one.</Message></Error>"
    ),
    "a page for people": lambda request: Response(
        b"<html><body>Sign in</body></html>", headers={"Content-Type": "text/html"}
    ),
    "nothing": lambda request: Response(b""),
    "bytes that are no text": lambda request: Response(
        render_page("in/a").body.replace(b"in/a", b"in/\xff\xfe")
    ),
    "half": lambda request: RawResponse(
        [frame_body(render_page("in/a").body, "Content-Length: 9999")]
    ),
    "no end": lambda request: RawResponse(
        itertools.chain(
            [HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n<a>xx\r\n"], itertools.repeat(60.0)
        )
    ),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_listing_that_cannot_be_believed_is_an_error(
    lie: Callable[[Request], Any], engine: str
) -> None:
    with start_hostile_s3(lie) as (client, requests), pytest.raises(StepError):
        list_keys(engine, client)
    assert len(requests) < 100


def test_what_a_document_type_names_is_not_fetched(engine: str) -> None:
    with start_hostile_s3(lambda request: Response(b"secret")) as (other_client, fetched_there):
        head = f'<!DOCTYPE a [<!ENTITY x SYSTEM "{other_client.meta.endpoint_url}/x">]>'
        with (
            start_hostile_s3(lambda request: render_page("in/&x;", head=head)) as (client, _),
            pytest.raises(StepError),
        ):
            list_keys(engine, client)
    assert fetched_there == []


# what is written


def store_error(engine: str, client: Any, file: Path, tuning: Tuning = DEFAULT_TUNING) -> StepError:
    (outcome,) = storage(engine, client, tuning).put([Put(file, TO)], Cancel())
    assert outcome.error is not None
    error: StepError = outcome.error
    return error


@pytest.mark.parametrize(
    "response_on_wire",
    [
        *CUT_OFF.values(),
        RawResponse([60.0]),
        RawResponse([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]),
        RawResponse([b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>"]),
        RawResponse([b"HTTP/1.1 304 Not Modified\r\n\r\n"]),
    ],
    ids=[*CUT_OFF, "a stall", "no word of it", "a page for people", "not modified"],
)
def test_an_upload_that_is_not_confirmed_is_a_failure(
    response_on_wire: RawResponse, engine: str, tmp_path: Path
) -> None:
    if response_on_wire in [
        CUT_OFF[name]
        for name in (
            "no body",
            "half the body",
            "half the body, reset",
            "half a chunk",
            "no last chunk",
        )
    ]:
        response_on_wire = RawResponse(
            [
                bytes(part).replace(ETAG.encode(), b'""')
                for part in response_on_wire.parts
                if isinstance(part, bytes)
            ],
            connection=response_on_wire.connection,
        )
    (tmp_path / "f").write_bytes(RIGHT)
    with start_hostile_s3(lambda request: response_on_wire) as (client, _):
        store_error(engine, client, tmp_path / "f")


def test_a_server_that_does_not_read_is_left(engine: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(12 << 20))
    with start_hostile_s3(lambda request: RawResponse(), greeting=lambda: RawResponse([60.0])) as (
        client,
        _,
    ):
        store_error(engine, client, tmp_path / "f", Tuning(large=64 << 20))


END = b"<Error><Code>InternalError</Code><Message>We had one.</Message></Error>"
DONE = b"<CompleteMultipartUploadResult><ETag>done</ETag></CompleteMultipartUploadResult>"
MULTIPART = Tuning(large=8)


BEGUN = Response(
    b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
)


def respond_to_multipart(
    end: Response | RawResponse, upload_response: Response = BEGUN
) -> Callable[[Request], Response | RawResponse]:
    def respond(request: Request) -> Response | RawResponse:
        if request.operation == "POST [uploads]":
            return upload_response
        if request.operation == "PUT [uploadId]":
            return Response(headers={"ETag": '"p"', **echo_checksum(request)})
        return end if request.operation == "POST [uploadId]" else Response(status=204)

    return respond


@pytest.mark.parametrize(
    "end",
    [Response(END), Response(b""), Response(b"<html/>"), RawResponse(), RawResponse([60.0])],
    ids=["an error", "nothing", "html", "cut", "stall"],
)
def test_an_upload_in_parts_that_does_not_end_well_is_aborted(
    end: Response | RawResponse, engine: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    with start_hostile_s3(respond_to_multipart(end)) as (client, requests):
        store_error(engine, client, tmp_path / "f", MULTIPART)
    assert requests[-1].operation == "DELETE [uploadId]"


def test_an_upload_that_gets_no_id_is_a_failure(engine: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    with start_hostile_s3(
        respond_to_multipart(
            Response(END), upload_response=Response(b"<InitiateMultipartUploadResult/>")
        )
    ) as (
        client,
        requests,
    ):
        store_error(engine, client, tmp_path / "f", MULTIPART)
    assert [each.operation for each in requests] == ["POST [uploads]"]


def test_an_upload_whose_end_takes_long_is_waited_for(engine: str, tmp_path: Path) -> None:
    """S3 sends blanks while it puts the parts together."""
    (tmp_path / "f").write_bytes(b"0123456789")
    blanks: list[bytes | float] = [b"1\r\n \r\n", READ_TIMEOUT / 2] * 6
    parts: list[bytes | float] = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        *blanks,
        b"%x\r\n%s\r\n0\r\n\r\n" % (len(DONE), DONE),
    ]
    with start_hostile_s3(respond_to_multipart(RawResponse(parts))) as (client, _):
        (outcome,) = storage(engine, client, MULTIPART).put([Put(tmp_path / "f", TO)], Cancel())
    assert (outcome.error, outcome.etag) == (None, "done")


@pytest.mark.parametrize(
    "body",
    [END, b"", b"<html/>", b"<CopyObjectResult/>", b"<CopyObjectResult><ETag>"],
    ids=["error", "nothing", "html", "no etag", "cut"],
)
def test_a_copy_that_is_not_confirmed_is_a_failure(body: bytes, engine: str) -> None:
    with start_hostile_s3(lambda request: Response(body)) as (client, _):
        (outcome,) = storage(engine, client).copy([Copy(KEY, TO, LISTED)], Cancel())
    assert outcome.error is not None


@pytest.mark.parametrize(
    "body", [END, b"", b"<html/>", b"<DeleteResult>"], ids=["error", "nothing", "html", "cut"]
)
def test_a_deletion_that_is_not_confirmed_is_a_failure(body: bytes, engine: str) -> None:
    with start_hostile_s3(lambda request: Response(body)) as (client, _):
        outcomes = list(
            storage(engine, client).delete(
                [ObjectInfo("a", 1), ObjectInfo("b", 1)], "bucket", Cancel()
            )
        )
    assert [outcome.status for outcome in outcomes] == ["failed", "failed"]


# a server that gets well again


@pytest.fixture
def retrying_engine(engine: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The engine with its tries."""
    monkeypatch.undo()
    return engine


def test_a_storm_of_503_passes(retrying_engine: str, tmp_path: Path) -> None:
    refused: dict[str, int] = {}

    def respond(request: Request) -> Response:
        refused[request.key] = refused.get(request.key, 0) + 1
        if refused[request.key] <= 2:
            return SLOW_DOWN
        return Response(RIGHT, headers={"ETag": ETAG})

    with start_hostile_s3(respond, retries={"mode": "standard", "max_attempts": 4}) as (client, _):
        gets = [
            Get(S3Uri("bucket", f"k{number}"), tmp_path / f"f{number}", LISTED)
            for number in range(16)
        ]
        outcomes = list(storage(retrying_engine, client).get(gets, Cancel()))
    assert [outcome.error for outcome in outcomes] == [None] * 16


def download_small(storage: Any, folder: Path, count: int) -> list[Outcome]:
    gets = [
        Get(S3Uri("bucket", f"k{number}"), folder / f"f{number}", LISTED) for number in range(count)
    ]
    return list(storage.get(gets, Cancel()))


@pytest.mark.parametrize("limit", ["so many a second", "so many at once"])
def test_a_step_slows_down_when_it_is_told_to(
    limit: str, retrying_engine: str, tmp_path: Path
) -> None:
    """The step slows down as a whole; separate backoffs would be refused twice for each object.

    The server takes half of the requests that this machine sends, however busy it is.
    """
    server = Throttling(lambda request: Response(RIGHT, headers={"ETag": ETAG}))
    # not start_hostile_s3, which bounds the time: here the server's limit sets it
    with start_fake_s3(server, retries={"mode": "standard", "max_attempts": 5}) as (client, _):
        engine = storage(retrying_engine, client)
        download_small(engine, tmp_path, 8)  # connects
        started_at = time.monotonic()
        download_small(engine, tmp_path, 60)
        seconds = time.monotonic() - started_at
        if limit == "so many a second":
            server.limit(per_second=60 / seconds / 2)
        else:
            server.limit(max_concurrent=4, response_seconds=0.02)
        outcomes = download_small(engine, tmp_path, 300)
    assert [outcome.error for outcome in outcomes] == [None] * 300
    assert 0 < server.refused < 300


def test_a_range_that_goes_by_is_asked_for_again(retrying_engine: str) -> None:
    """In a relayed copy with parts too large for memory, the part is repeated, not the object."""
    refusals = iter([SLOW_DOWN] * 2)

    def respond(request: Request) -> Response | RawResponse:
        if request.key != KEY.key:
            return respond_to_multipart(Response(DONE))(request)
        if request.operation == "GET [tagging]":
            return Response(b"<Tagging><TagSet/></Tagging>")
        return (
            next(refusals, respond_to_range(request))
            if request.operation == "GET"
            else respond_to_range(request)
        )

    with start_hostile_s3(respond, retries={"mode": "standard", "max_attempts": 5}) as (
        client,
        requests,
    ):
        its = storage(retrying_engine, client, replace(SMALL_PARTS, memory=8))
        (outcome,) = its.relay([Copy(KEY, TO, ObjectInfo("in/key", 12, "e-3"))], its, Cancel())
    assert (outcome.error, outcome.etag) == (None, "done")
    assert [each.operation for each in requests].count("POST [uploads]") == 1


def test_connections_that_are_closed_without_a_word_are_made_anew(
    retrying_engine: str, tmp_path: Path
) -> None:
    with start_hostile_s3(
        lambda request: RawResponse([frame_body(RIGHT)]),
        retries={"mode": "standard", "max_attempts": 3},
    ) as (client, _):
        gets = [
            Get(S3Uri("bucket", f"k{number}"), tmp_path / f"f{number}", LISTED)
            for number in range(60)
        ]
        outcomes = list(storage(retrying_engine, client).get(gets, Cancel()))
    assert [outcome.error for outcome in outcomes] == [None] * 60
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {RIGHT}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_another_host_gets_no_signature(
    status: int, engine: str, tmp_path: Path
) -> None:
    with start_hostile_s3(lambda request: Response(RIGHT, headers={"ETag": ETAG})) as (
        other_client,
        asked_there,
    ):
        headers = {
            "Location": f"{other_client.meta.endpoint_url}/bucket/in/key",
            "x-amz-bucket-region": "us-west-2",
        }
        text = (
            b"<Error><Code>PermanentRedirect</Code><Endpoint>127.0.0.1</Endpoint>"
            b"<Bucket>bucket</Bucket></Error>"
        )
        with start_hostile_s3(lambda request: Response(text, status, headers)) as (
            client,
            requests,
        ):
            fetch_error(engine, client, tmp_path)
    assert asked_there == []
    assert len(requests) < 20


# secrets


def run_against(
    client: Any, rolerunner: Callable[..., Any], folder: Path, engine: str = "fast", **fields: Any
) -> Any:
    """The command, with a step that asks this server as the job."""
    step = {"id": "it", "role": "job", **fields}
    (folder / "job.yaml").write_text(
        f"version: 1\nname: t\nengine: {engine}\nsteps:\n  - {json.dumps(step)}"
    )
    return rolerunner(
        "run",
        "job.yaml",
        "--result",
        "result.json",
        "--log-level",
        "debug",
        AWS_ENDPOINT_URL=client.meta.endpoint_url,
        AWS_REGION="eu-west-1",
        AWS_ACCESS_KEY_ID="ASIAIOSFODNN7EXAMPLE",
        AWS_SECRET_ACCESS_KEY=SECRET,
        AWS_SESSION_TOKEN=TOKEN,
    )


SECRET, TOKEN = "wJalrXUtnFEMI" + "K7MDENG" * 4, "FwoGZXIvYXdzE" + "A" * 200


def test_no_secret_is_said_when_the_server_echoes_what_it_got(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    def respond(request: Request) -> Response:
        told = (
            "<Error><Code>SignatureDoesNotMatch</Code>"
            f"<Message>{json.dumps(request.headers)} {TOKEN}</Message></Error>"
        )
        return Response(told.encode(), 403, {"x-amz-request-id": TOKEN})

    with start_hostile_s3(respond) as (client, requests):
        completed = run_against(
            client,
            rolerunner,
            tmp_path,
            action="s3.download",
            source="s3://bucket/in/",
            target=f"{tmp_path}/out/",
        )
    assert (completed.returncode, len(requests) > 0) == (4, True)
    said = completed.stdout + completed.stderr + (tmp_path / "result.json").read_text()
    for hidden in (
        SECRET,
        TOKEN,
        requests[-1].headers["authorization"].rpartition("Signature=")[2],
    ):
        assert hidden not in said


def test_a_timeout_ends_a_step_whose_server_drips(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    def respond(request: Request) -> Response | RawResponse:
        if "list-type" in request.query:
            return render_page("in/key")
        if request.operation != "GET":
            return Response(status=403)
        return RawResponse(
            itertools.chain([HEAD + b"Content-Length: 99999\r\n\r\n"], itertools.cycle([b"x", 0.1]))
        )

    with start_hostile_s3(respond) as (client, _):
        fields = {
            "action": "s3.download",
            "source": "s3://bucket/in/",
            "target": f"{tmp_path}/out/",
            "timeout": "2s",
        }
        completed = run_against(client, rolerunner, tmp_path, "boto3", **fields)
    assert completed.returncode == 4, completed.stdout
    assert (
        json.loads((tmp_path / "result.json").read_text())["steps"][0]["error"]["type"] == "Timeout"
    )
    assert not (tmp_path / "out/key").exists()
