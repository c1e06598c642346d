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
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.native.engine import open_native_engine
from rolerunner.storage.protocol import Copy, Get, ObjectInfo, Put
from rolerunner.storage.tuning import Tuning
from tests.fake_s3 import SLOW_DOWN, Answer, Asked, Throttling, Wire, serving

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
    """What is dropped here is collected here, and does not trouble the next module."""
    yield
    gc.collect()


@pytest.fixture(params=["boto3", "fast"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One try of each object: what is tried again, and how often, is another test's."""
    monkeypatch.setattr(retries, "MAX_TRIES", 1)
    return str(request.param)


USUAL = Tuning()


def storage(engine: str, client: Any, tuning: Tuning = USUAL) -> Any:
    if engine == "boto3":
        return BotoEngine(client, JOB, lambda: "", tuning=tuning)
    return open_native_engine(
        BotoEngine(client, JOB, lambda: "", tuning=tuning),
        Credentials("k", "s"),
        SocketFactory(None, READ_TIMEOUT, READ_TIMEOUT),
    )


@contextmanager
def hostile(
    answer: Callable[[Asked], Answer | Wire], **more: Any
) -> Iterator[tuple[Any, list[Asked]]]:
    began = time.monotonic()
    settings = {
        "connect_timeout": READ_TIMEOUT,
        "read_timeout": READ_TIMEOUT,
        "retries": NO_RETRIES,
        **more,
    }
    with serving(answer, **settings) as made:
        yield made
    assert time.monotonic() - began < PATIENT


def framed(data: bytes, *headers: str) -> bytes:
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
    "nothing": Wire(),
    "a reset": Wire(after="reset"),
    "half a status line": Wire([b"HTTP/1.1 2"]),
    "half the headers": Wire([HEAD[:40]]),
    "no body": Wire([framed(b"", "Content-Length: 7")]),
    "half the body": Wire([framed(b"cor", "Content-Length: 7")]),
    "half the body, reset": Wire([framed(b"cor", "Content-Length: 7")], after="reset"),
    "half a chunk": Wire([framed(b"7\r\ncor", "Transfer-Encoding: chunked")]),
    "no last chunk": Wire([framed(b"7\r\ncorrect\r\n", "Transfer-Encoding: chunked")]),
}
GARBAGE = {
    "another protocol": Wire([b"SSH-2.0-OpenSSH_9.6\r\n"]),
    "a status that is no number": Wire([b"HTTP/1.1 abc OK\r\nContent-Length: 7\r\n\r\ncorrect"]),
    "noise": Wire([bytes(range(256)) * 8]),
    "a length that is no number": Wire([framed(RIGHT, "Content-Length: seven")]),
    "a negative length": Wire([framed(RIGHT, "Content-Length: -7")]),
    "a length too short": Wire([framed(RIGHT, "Content-Length: 3")]),
    "a chunk's size that is no number": Wire(
        [framed(b"x\r\ncorrect\r\n0\r\n\r\n", "Transfer-Encoding: chunked")]
    ),
    "a chunk of exabytes": Wire(
        [framed(b"fffffffffffffff\r\ncorrect", "Transfer-Encoding: chunked")]
    ),
    "a page for people": Wire(
        [b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"]
    ),
    "a wrong checksum": Wire(
        [framed(RIGHT, "Content-Length: 7", "x-amz-checksum-crc32: AAAAAA==")]
    ),
    "a checksum that is none": Wire(
        [framed(RIGHT, "Content-Length: 7", "x-amz-checksum-crc32: ???")]
    ),
    "wrong bytes": Wire([framed(b"damaged")]),
}
SLOW = {
    "a stall before the answer": Wire([60.0]),
    "a stall in the headers": Wire([HEAD, 60.0]),
    "a stall after the headers": Wire([framed(b"", "Content-Length: 7"), 60.0]),
    "a stall in the body": Wire([framed(b"cor", "Content-Length: 7"), 60.0]),
}


def endless(*parts: bytes | float) -> Iterator[bytes | float]:
    """Parts, of which the last few come again and again."""
    return itertools.chain([HEAD], itertools.cycle(parts))


ENDLESS: dict[str, Callable[[], Wire]] = {
    "headers": lambda: Wire(endless(b"x-amz-meta-a: b\r\n" * 100)),
    "one header": lambda: Wire(endless(b"x" * 4096)),
    "interim answers": lambda: Wire(
        itertools.chain([b""], itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"))
    ),
}


def fetched(engine: str, client: Any, folder: Path, **more: Any) -> StepError:
    """The error of fetching the object, which leaves nothing behind."""
    (outcome,) = storage(engine, client).get([Get(KEY, folder / "f", LISTED, **more)], Cancel())
    assert list(folder.iterdir()) == []
    assert outcome.error is not None
    error: StepError = outcome.error
    return error


@pytest.mark.parametrize(
    "wire", [*CUT_OFF.values(), *GARBAGE.values(), *SLOW.values()], ids=[*CUT_OFF, *GARBAGE, *SLOW]
)
def test_an_object_that_comes_wrong_is_not_kept(wire: Wire, engine: str, tmp_path: Path) -> None:
    with hostile(lambda asked: wire) as (client, _):
        fetched(engine, client, tmp_path)


@pytest.mark.parametrize("wire", ENDLESS.values(), ids=ENDLESS)
def test_what_has_no_end_is_cut_off(wire: Callable[[], Wire], engine: str, tmp_path: Path) -> None:
    if engine == "boto3" and wire is ENDLESS["interim answers"]:
        pytest.skip("http.client reads on for ever: a step's timeout ends it, as below")
    with hostile(lambda asked: wire()) as (client, _):
        fetched(engine, client, tmp_path)


def test_a_server_that_drips_is_left_when_the_step_is_stopped(engine: str, tmp_path: Path) -> None:
    if engine == "boto3":
        pytest.skip("botocore waits for whole blocks: a step's timeout ends it, as below")

    def drip() -> Iterator[bytes | float]:
        yield HEAD + b"Content-Length: 1000000\r\n\r\n"
        while True:
            yield b"x"
            yield READ_TIMEOUT / 4

    cancel = Cancel()
    with hostile(lambda asked: Wire(drip())) as (client, _):
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
    with hostile(lambda asked: Wire(), greeting=lambda: Wire(after="reset")) as (client, asked):
        fetched(engine, client, tmp_path)
    assert asked == []


@pytest.mark.parametrize(
    "wire",
    [
        Wire(
            [
                framed(
                    b"3\r\ncor\r\n4;x=y\r\nrect\r\n0\r\nx-trailer: 1\r\n\r\n",
                    "Transfer-Encoding: chunked",
                )
            ]
        ),
        Wire([b"HTTP/1.1 100 Continue\r\n\r\n", framed(RIGHT)]),
        Wire([HEAD[:20], 0.1, HEAD[20:], b"Content-Length: 7\r\n", 0.1, b"\r\ncor", 0.1, b"rect"]),
        Wire([framed(RIGHT, "Connection: close")]),
        Wire([framed(RIGHT).replace(b"Content-Length", b"cOnTeNt-LeNgTh")]),
    ],
    ids=["chunks", "an interim answer", "bit by bit", "until it is closed", "headers in any case"],
)
def test_an_object_that_comes_in_another_way_is_right(
    wire: Wire, engine: str, tmp_path: Path
) -> None:
    with hostile(lambda asked: wire) as (client, _):
        (outcome,) = storage(engine, client).get([Get(KEY, tmp_path / "f", LISTED)], Cancel())
    assert (outcome.error, (tmp_path / "f").read_bytes()) == (None, RIGHT)


def test_a_gzip_file_that_is_cut_short_is_not_unpacked(engine: str, tmp_path: Path) -> None:
    data = gzip.compress(b"a" * 1000)[:-6]
    with hostile(
        lambda asked: Answer(data, headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"'})
    ) as (client, _):
        assert fetched(engine, client, tmp_path, decompress=True).type == "NotGzip"


# ranges

CONTENT = b"oldoldoldold"
SMALL_PARTS = Tuning(large=8, part=4)


def ranged(engine: str, client: Any, folder: Path) -> StepError:
    (outcome,) = storage(engine, client, SMALL_PARTS).get(
        [Get(KEY, folder / "f", ObjectInfo("in/key", 12, "e-3"))], Cancel()
    )
    assert list(folder.iterdir()) == []
    assert outcome.error is not None
    error: StepError = outcome.error
    return error


def a_range(asked: Asked, **lies: str) -> Answer:
    """The range that is asked for, of an object without a checksum, and what is said about it."""
    if asked.what == "HEAD":
        return Answer(headers={"ETag": '"e-3"', "Content-Length": "12"})
    start, end = map(int, asked.headers["range"][6:].split("-"))
    told = {
        "ETag": '"e-3"',
        "Content-Range": f"bytes {start}-{end}/12",
        **{name.replace("_", "-"): value for name, value in lies.items()},
    }
    return Answer(CONTENT[start : end + 1], 206, told)


def test_ranges_come_right(engine: str, tmp_path: Path) -> None:
    with hostile(a_range) as (client, _):
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
    with hostile(
        lambda asked: a_range(asked, **(lie if asked.headers.get("range") == "bytes=4-7" else {}))
    ) as (client, _):
        ranged(engine, client, tmp_path)


def test_the_whole_object_instead_of_a_range_is_not_believed(engine: str, tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        return (
            Answer(CONTENT, headers={"ETag": '"e-3"'})
            if asked.headers.get("range") == "bytes=4-7"
            else a_range(asked)
        )

    with hostile(answer) as (client, _):
        ranged(engine, client, tmp_path)


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

    def answer(asked: Asked) -> Answer | Wire:
        if asked.key != KEY.key:
            return multipart(Answer(DONE))(asked)
        return (
            Answer(b"<Tagging><TagSet/></Tagging>")
            if asked.what == "GET [tagging]"
            else a_range(asked, **(lie if lies else {}))
        )

    tuning = replace(SMALL_PARTS, memory=8 if blocks else 64 << 20)
    for lies in (False, True):
        with hostile(answer) as (client, asked):
            its = storage(engine, client, tuning)
            (outcome,) = its.relay([Copy(KEY, TO, ObjectInfo("in/key", 12, "e-3"))], its, Cancel())
        told, ends = (
            outcome.error.type if outcome.error is not None else "",
            {"POST [uploadId]", "DELETE [uploadId]"},
        )
        assert (told, ends & {each.what for each in asked}) == (
            ("IntegrityFailed", {"DELETE [uploadId]"}) if lies else ("", {"POST [uploadId]"})
        )
        assert any("x-amz-trailer" in each.headers for each in asked) is blocks or engine == "boto3"


# listings


def page(*keys: str, token: str = "", more: bool | None = None, head: str = "") -> Answer:
    contents = "".join(
        f"<Contents><Key>{key}</Key><Size>1</Size><ETag>e</ETag></Contents>" for key in keys
    )
    truncated = bool(token) if more is None else more
    next_one = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    text = f"{head}<ListBucketResult><IsTruncated>{str(truncated).lower()}</IsTruncated>{contents}{next_one}</ListBucketResult>"
    return Answer(text.encode())


def listed(engine: str, client: Any, most: int = 100_000) -> list[str]:
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
    "the same page again and again": lambda asked: page("in/a", token="1"),
    "pages in a circle": lambda asked: page(
        "in/a", token="2" if asked.query.get("continuation-token") == ["1"] else "1"
    ),
    "more, but not where": lambda asked: page("in/a", more=True),
    "a key outside the prefix": lambda asked: page("other/secret"),
    "a key above the prefix": lambda asked: page("in"),
    "a size that is no number": lambda asked: Answer(
        page("in/a").body.replace(b"<Size>1", b"<Size>one")
    ),
    "a negative size": lambda asked: Answer(page("in/a").body.replace(b"<Size>1", b"<Size>-1")),
    "no size": lambda asked: Answer(page("in/a").body.replace(b"<Size>1</Size>", b"")),
    "a bomb": lambda asked: page("in/&i;", head=BOMB),
    "a page that ends early": lambda asked: Answer(page("in/a", "in/b").body[:-40]),
    "an error": lambda asked: Answer(
        b"<Error><Code>InternalError</Code><Message>We had one.</Message></Error>"
    ),
    "a page for people": lambda asked: Answer(
        b"<html><body>Sign in</body></html>", headers={"Content-Type": "text/html"}
    ),
    "nothing": lambda asked: Answer(b""),
    "bytes that are no text": lambda asked: Answer(
        page("in/a").body.replace(b"in/a", b"in/\xff\xfe")
    ),
    "half": lambda asked: Wire([framed(page("in/a").body, "Content-Length: 9999")]),
    "no end": lambda asked: Wire(
        itertools.chain(
            [HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n<a>xx\r\n"], itertools.repeat(60.0)
        )
    ),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_listing_that_cannot_be_believed_is_an_error(
    lie: Callable[[Asked], Any], engine: str
) -> None:
    with hostile(lie) as (client, asked), pytest.raises(StepError):
        listed(engine, client)
    assert len(asked) < 100


def test_what_a_document_type_names_is_not_fetched(engine: str) -> None:
    with hostile(lambda asked: Answer(b"secret")) as (elsewhere, fetched_there):
        head = f'<!DOCTYPE a [<!ENTITY x SYSTEM "{elsewhere.meta.endpoint_url}/x">]>'
        with (
            hostile(lambda asked: page("in/&x;", head=head)) as (client, _),
            pytest.raises(StepError),
        ):
            listed(engine, client)
    assert fetched_there == []


# what is written


def stored(engine: str, client: Any, file: Path, tuning: Tuning = USUAL) -> StepError:
    (outcome,) = storage(engine, client, tuning).put([Put(file, TO)], Cancel())
    assert outcome.error is not None
    error: StepError = outcome.error
    return error


@pytest.mark.parametrize(
    "wire",
    [
        *CUT_OFF.values(),
        Wire([60.0]),
        Wire([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]),
        Wire([b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>"]),
        Wire([b"HTTP/1.1 304 Not Modified\r\n\r\n"]),
    ],
    ids=[*CUT_OFF, "a stall", "no word of it", "a page for people", "not modified"],
)
def test_an_upload_that_is_not_confirmed_is_a_failure(
    wire: Wire, engine: str, tmp_path: Path
) -> None:
    if wire in [
        CUT_OFF[name]
        for name in (
            "no body",
            "half the body",
            "half the body, reset",
            "half a chunk",
            "no last chunk",
        )
    ]:
        wire = Wire(
            [
                bytes(part).replace(ETAG.encode(), b'""')
                for part in wire.parts
                if isinstance(part, bytes)
            ],
            after=wire.after,
        )
    (tmp_path / "f").write_bytes(RIGHT)
    with hostile(lambda asked: wire) as (client, _):
        stored(engine, client, tmp_path / "f")


def test_a_server_that_does_not_read_is_left(engine: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(12 << 20))
    with hostile(lambda asked: Wire(), greeting=lambda: Wire([60.0])) as (client, _):
        stored(engine, client, tmp_path / "f", Tuning(large=64 << 20))


END = b"<Error><Code>InternalError</Code><Message>We had one.</Message></Error>"
DONE = b"<CompleteMultipartUploadResult><ETag>done</ETag></CompleteMultipartUploadResult>"
MULTIPART = Tuning(large=8)


BEGUN = Answer(
    b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
)


def multipart(end: Answer | Wire, begun: Answer = BEGUN) -> Callable[[Asked], Answer | Wire]:
    def answer(asked: Asked) -> Answer | Wire:
        if asked.what == "POST [uploads]":
            return begun
        if asked.what == "PUT [uploadId]":
            return Answer(headers={"ETag": '"p"'})
        return end if asked.what == "POST [uploadId]" else Answer(status=204)

    return answer


@pytest.mark.parametrize(
    "end",
    [Answer(END), Answer(b""), Answer(b"<html/>"), Wire(), Wire([60.0])],
    ids=["an error", "nothing", "html", "cut", "stall"],
)
def test_an_upload_in_parts_that_does_not_end_well_is_aborted(
    end: Answer | Wire, engine: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    with hostile(multipart(end)) as (client, asked):
        stored(engine, client, tmp_path / "f", MULTIPART)
    assert asked[-1].what == "DELETE [uploadId]"


def test_an_upload_that_gets_no_id_is_a_failure(engine: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    with hostile(multipart(Answer(END), begun=Answer(b"<InitiateMultipartUploadResult/>"))) as (
        client,
        asked,
    ):
        stored(engine, client, tmp_path / "f", MULTIPART)
    assert [each.what for each in asked] == ["POST [uploads]"]


def test_an_upload_whose_end_takes_long_is_waited_for(engine: str, tmp_path: Path) -> None:
    """S3 sends blanks while it puts the parts together."""
    (tmp_path / "f").write_bytes(b"0123456789")
    blanks: list[bytes | float] = [b"1\r\n \r\n", READ_TIMEOUT / 2] * 6
    parts: list[bytes | float] = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        *blanks,
        b"%x\r\n%s\r\n0\r\n\r\n" % (len(DONE), DONE),
    ]
    with hostile(multipart(Wire(parts))) as (client, _):
        (outcome,) = storage(engine, client, MULTIPART).put([Put(tmp_path / "f", TO)], Cancel())
    assert (outcome.error, outcome.etag) == (None, "done")


@pytest.mark.parametrize(
    "body",
    [END, b"", b"<html/>", b"<CopyObjectResult/>", b"<CopyObjectResult><ETag>"],
    ids=["error", "nothing", "html", "no etag", "cut"],
)
def test_a_copy_that_is_not_confirmed_is_a_failure(body: bytes, engine: str) -> None:
    with hostile(lambda asked: Answer(body)) as (client, _):
        (outcome,) = storage(engine, client).copy([Copy(KEY, TO, LISTED)], Cancel())
    assert outcome.error is not None


@pytest.mark.parametrize(
    "body", [END, b"", b"<html/>", b"<DeleteResult>"], ids=["error", "nothing", "html", "cut"]
)
def test_a_deletion_that_is_not_confirmed_is_a_failure(body: bytes, engine: str) -> None:
    with hostile(lambda asked: Answer(body)) as (client, _):
        outcomes = list(
            storage(engine, client).delete(
                [ObjectInfo("a", 1), ObjectInfo("b", 1)], "bucket", Cancel()
            )
        )
    assert [outcome.status for outcome in outcomes] == ["failed", "failed"]


# a server that gets well again


@pytest.fixture
def tried(engine: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The engine with its tries."""
    monkeypatch.undo()
    return engine


def test_a_storm_of_503_passes(tried: str, tmp_path: Path) -> None:
    refused: dict[str, int] = {}

    def answer(asked: Asked) -> Answer:
        refused[asked.key] = refused.get(asked.key, 0) + 1
        if refused[asked.key] <= 2:
            return SLOW_DOWN
        return Answer(RIGHT, headers={"ETag": ETAG})

    with hostile(answer, retries={"mode": "standard", "max_attempts": 4}) as (client, _):
        gets = [
            Get(S3Uri("bucket", f"k{number}"), tmp_path / f"f{number}", LISTED)
            for number in range(16)
        ]
        outcomes = list(storage(tried, client).get(gets, Cancel()))
    assert [outcome.error for outcome in outcomes] == [None] * 16


@pytest.mark.parametrize(
    "limits",
    [{"per_second": 200}, {"at_once": 4, "taking": 0.02}],
    ids=["so many a second", "so many at once"],
)
def test_a_step_slows_down_when_it_is_told_to(
    limits: dict[str, Any], tried: str, tmp_path: Path
) -> None:
    """As a whole: requests that each back off by themselves are refused twice for each object that comes."""
    server = Throttling(lambda asked: Answer(RIGHT, headers={"ETag": ETAG}), **limits)
    with hostile(server, retries={"mode": "standard", "max_attempts": 5}) as (client, _):
        gets = [
            Get(S3Uri("bucket", f"k{number}"), tmp_path / f"f{number}", LISTED)
            for number in range(400)
        ]
        outcomes = list(storage(tried, client).get(gets, Cancel()))
    assert [outcome.error for outcome in outcomes] == [None] * 400
    assert 0 < server.refused < 400


def test_a_range_that_goes_by_is_asked_for_again(tried: str) -> None:
    """Of a copy between two roles whose parts are too large to be held: the part is begun again, not the object."""
    refusals = iter([SLOW_DOWN] * 2)

    def answer(asked: Asked) -> Answer | Wire:
        if asked.key != KEY.key:
            return multipart(Answer(DONE))(asked)
        if asked.what == "GET [tagging]":
            return Answer(b"<Tagging><TagSet/></Tagging>")
        return next(refusals, a_range(asked)) if asked.what == "GET" else a_range(asked)

    with hostile(answer, retries={"mode": "standard", "max_attempts": 5}) as (client, asked):
        its = storage(tried, client, replace(SMALL_PARTS, memory=8))
        (outcome,) = its.relay([Copy(KEY, TO, ObjectInfo("in/key", 12, "e-3"))], its, Cancel())
    assert (outcome.error, outcome.etag) == (None, "done")
    assert [each.what for each in asked].count("POST [uploads]") == 1


def test_connections_that_are_closed_without_a_word_are_made_anew(
    tried: str, tmp_path: Path
) -> None:
    with hostile(
        lambda asked: Wire([framed(RIGHT)]), retries={"mode": "standard", "max_attempts": 3}
    ) as (client, _):
        gets = [
            Get(S3Uri("bucket", f"k{number}"), tmp_path / f"f{number}", LISTED)
            for number in range(60)
        ]
        outcomes = list(storage(tried, client).get(gets, Cancel()))
    assert [outcome.error for outcome in outcomes] == [None] * 60
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {RIGHT}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_another_host_gets_no_signature(
    status: int, engine: str, tmp_path: Path
) -> None:
    with hostile(lambda asked: Answer(RIGHT, headers={"ETag": ETAG})) as (elsewhere, asked_there):
        headers = {
            "Location": f"{elsewhere.meta.endpoint_url}/bucket/in/key",
            "x-amz-bucket-region": "us-west-2",
        }
        text = (
            b"<Error><Code>PermanentRedirect</Code><Endpoint>127.0.0.1</Endpoint>"
            b"<Bucket>bucket</Bucket></Error>"
        )
        with hostile(lambda asked: Answer(text, status, headers)) as (client, asked):
            fetched(engine, client, tmp_path)
    assert asked_there == []
    assert len(asked) < 20


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
    def answer(asked: Asked) -> Answer:
        told = (
            "<Error><Code>SignatureDoesNotMatch</Code>"
            f"<Message>{json.dumps(asked.headers)} {TOKEN}</Message></Error>"
        )
        return Answer(told.encode(), 403, {"x-amz-request-id": TOKEN})

    with hostile(answer) as (client, asked):
        ended = run_against(
            client,
            rolerunner,
            tmp_path,
            action="s3.download",
            source="s3://bucket/in/",
            target=f"{tmp_path}/out/",
        )
    assert (ended.returncode, len(asked) > 0) == (4, True)
    said = ended.stdout + ended.stderr + (tmp_path / "result.json").read_text()
    for hidden in (SECRET, TOKEN, asked[-1].headers["authorization"].rpartition("Signature=")[2]):
        assert hidden not in said


def test_a_timeout_ends_a_step_whose_server_drips(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    def answer(asked: Asked) -> Answer | Wire:
        if "list-type" in asked.query:
            return page("in/key")
        if asked.what != "GET":
            return Answer(status=403)
        return Wire(
            itertools.chain([HEAD + b"Content-Length: 99999\r\n\r\n"], itertools.cycle([b"x", 0.1]))
        )

    with hostile(answer) as (client, _):
        fields = {
            "action": "s3.download",
            "source": "s3://bucket/in/",
            "target": f"{tmp_path}/out/",
            "timeout": "2s",
        }
        ended = run_against(client, rolerunner, tmp_path, "boto3", **fields)
    assert ended.returncode == 4, ended.stdout
    assert (
        json.loads((tmp_path / "result.json").read_text())["steps"][0]["error"]["type"] == "Timeout"
    )
    assert not (tmp_path / "out/key").exists()
