"""Large objects that pass through this machine in parts: in blocks, or held in memory."""

from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.credentials import Credentials

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import AccessDenied, IntegrityFailed
from rolerunner.model import JOB, S3Uri
from rolerunner.storage import upload_journal
from rolerunner.storage.boto.engine import BotoEngine
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.native.engine import open_native_engine
from rolerunner.storage.protocol import Copy, ObjectInfo, Outcome
from rolerunner.storage.tuning import Tuning
from rolerunner.storage.upload_journal import UploadJournal
from tests import memory_aws as aws
from tests.unit.storage.engines import make_client

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE, TARGET = S3Uri("source", "a"), S3Uri("target", "b")
MIB = 1 << 20
DATA = bytes(range(256)) * (3 * MIB // 256) + b"rest"
HELD, IN_BLOCKS = 16 * MIB, 2 * MIB
"""Memory of which a quarter holds a part of one MiB, and memory of which it does not."""


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def open_engine(memory: int) -> Any:
    tuning = Tuning(large=10, part=MIB, memory=memory)
    plain = BotoEngine(make_client(), JOB, lambda: "", tuning=tuning)
    return open_native_engine(plain, Credentials("k", "s"), SocketFactory(None, 5, 5))


@pytest.fixture(params=[HELD, IN_BLOCKS], ids=["held", "in blocks"])
def engine(request: pytest.FixtureRequest, memory_aws: aws.Store) -> Iterator[Any]:
    """A native engine with memory for whole parts, and one without."""
    del memory_aws
    opened = open_engine(request.param)
    yield opened
    opened.client.connections.close()


@pytest.fixture
def small_engine(memory_aws: aws.Store) -> Iterator[Any]:
    """A native engine without memory for whole parts."""
    del memory_aws
    opened = open_engine(IN_BLOCKS)
    yield opened
    opened.client.connections.close()


def relay(engine: Any, **fields: Any) -> Outcome:
    (outcome,) = engine.relay([Copy(SOURCE, TARGET, **fields)], engine, Cancel())
    assert isinstance(outcome, Outcome)
    return outcome


def is_part(request: aws.Request) -> bool:
    return request.method == "PUT" and "partNumber" in request.query


def is_streamed(request: aws.Request) -> bool:
    return request.headers.get("x-amz-content-sha256", "").startswith("STREAMING")


CHECKSUMS = [
    {},
    {"x-amz-checksum-crc32": crc32(DATA)},
    {"x-amz-checksum-sha256": sha256(DATA)},
    {"x-amz-checksum-sha1": base64.b64encode(hashlib.sha1(DATA).digest()).decode()},
]


@pytest.mark.parametrize("checksum", CHECKSUMS, ids=["none", "crc32", "sha256", "sha1"])
def test_a_large_object_is_stored_with_the_checksum_of_each_part(
    engine: Any, memory_aws: aws.Store, checksum: dict[str, str]
) -> None:
    memory_aws.put("source", "a", DATA, headers=dict(checksum))
    outcome = relay(engine)
    assert outcome.error is None
    assert memory_aws.objects["target", "b"].body == DATA
    parts = {r.query["partNumber"]: r for r in memory_aws.requests if is_part(r)}
    sizes = [len(parts[number].body) for number in sorted(parts)]
    assert sizes == [MIB, MIB, MIB, 4]
    assert {is_streamed(each) for each in parts.values()} == {engine.tuning.memory == IN_BLOCKS}
    for part in parts.values():
        assert part.headers["x-amz-checksum-crc32"] == crc32(part.body)


@pytest.mark.parametrize(
    "checksum",
    [{"x-amz-checksum-crc32": crc32(b"x")}, {"x-amz-checksum-sha256": sha256(b"x")}],
    ids=["crc32", "sha256"],
)
@pytest.mark.usefixtures("_no_pauses")
def test_bytes_with_another_checksum_are_not_stored(
    engine: Any, memory_aws: aws.Store, checksum: dict[str, str]
) -> None:
    memory_aws.put("source", "a", DATA, headers=checksum)
    outcome = relay(engine)
    assert isinstance(outcome.error, IntegrityFailed)
    assert ("target", "b") not in memory_aws.objects
    assert memory_aws.uploads == {}, "nothing is left behind"


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (400, "InvalidRequest")])
def test_a_server_without_trailers_gets_checksums_in_headers(
    small_engine: Any, memory_aws: aws.Store, status: int, code: str
) -> None:
    memory_aws.put("source", "a", DATA)
    memory_aws.hook = lambda r: aws.error(status, code) if is_streamed(r) else None
    assert relay(small_engine).error is None
    assert memory_aws.objects["target", "b"].body == DATA
    memory_aws.requests.clear()
    assert relay(small_engine).error is None
    assert not any(map(is_streamed, memory_aws.requests)), "it is not tried again"


@pytest.mark.parametrize("there", ["as sent", "another part"])
@pytest.mark.parametrize("checksum", CHECKSUMS, ids=["none", "crc32", "sha256", "sha1"])
def test_parts_that_are_stored_are_read_for_the_checksum_of_the_whole(
    small_engine: Any,
    memory_aws: aws.Store,
    checksum: dict[str, str],
    there: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upload_journal, "WRITE_SECONDS", 0.0)
    entry = memory_aws.put("source", "a", DATA, headers=dict(checksum))
    text = ""

    def keep(written: str) -> None:
        nonlocal text
        text = written

    def relay_with_journal() -> Outcome:
        info = ObjectInfo("a", len(DATA), entry.etag)
        return relay(small_engine, info=info, journal=UploadJournal(text, keep, lambda *_: None))

    memory_aws.hook = lambda request: (
        aws.error(403, "AccessDenied") if request.query.get("partNumber") == "3" else None
    )
    assert isinstance(relay_with_journal().error, AccessDenied)
    if there == "another part":
        (upload,) = memory_aws.uploads.values()
        upload.parts[1] = bytes(MIB)
    memory_aws.hook = None
    memory_aws.requests.clear()
    assert relay_with_journal().error is None
    assert memory_aws.objects["target", "b"].body == DATA
    sent = {each.query["partNumber"] for each in memory_aws.requests if is_part(each)}
    assert "3" in sent
    assert "2" not in sent
    assert ("1" in sent) == (there == "another part")


def test_a_refused_part_is_no_refusal_of_trailers(small_engine: Any, memory_aws: aws.Store) -> None:
    memory_aws.put("source", "a", DATA)
    memory_aws.hook = lambda r: aws.error(403, "AccessDenied") if is_part(r) else None
    assert isinstance(relay(small_engine).error, AccessDenied)
    assert memory_aws.uploads == {}
    memory_aws.hook = None
    memory_aws.requests.clear()
    assert relay(small_engine).error is None
    assert any(map(is_streamed, memory_aws.requests))


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("outcome", [aws.DROP, aws.LOSE, aws.error(500, "InternalError")])
@pytest.mark.parametrize("checksum", CHECKSUMS[:3], ids=["none", "crc32", "sha256"])
def test_a_part_whose_response_is_lost_is_sent_again(
    engine: Any, memory_aws: aws.Store, outcome: Any, checksum: dict[str, str]
) -> None:
    memory_aws.put("source", "a", DATA, headers=dict(checksum))
    lost: list[aws.Request] = []

    def hook(request: aws.Request) -> Any:
        if is_part(request) and request.query["partNumber"] == "2" and not lost:
            lost.append(request)
            return outcome
        return None

    memory_aws.hook = hook
    assert relay(engine).error is None
    assert memory_aws.objects["target", "b"].body == DATA
    assert len(lost) == 1


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("outcome", [aws.DROP, aws.error(500, "InternalError")])
def test_a_source_whose_response_is_lost_is_read_again(
    engine: Any, memory_aws: aws.Store, outcome: Any
) -> None:
    memory_aws.put("source", "a", DATA)
    seen: list[aws.Request] = []

    def hook(request: aws.Request) -> Any:
        if request.method == "GET" and "range" in request.headers:
            seen.append(request)
            return outcome if len(seen) == 2 else None
        return None

    memory_aws.hook = hook
    assert relay(engine).error is None
    assert memory_aws.objects["target", "b"].body == DATA


@pytest.mark.usefixtures("_no_pauses")
def test_a_source_that_is_refused_is_named(engine: Any, memory_aws: aws.Store) -> None:
    info = memory_aws.put("source", "a", DATA)
    memory_aws.hook = lambda r: (
        aws.error(403, "AccessDenied") if r.method == "GET" and r.bucket == "source" else None
    )
    outcome = relay(engine)
    assert isinstance(outcome.error, AccessDenied)
    assert "source" in outcome.error.message
    assert memory_aws.uploads == {}
    assert info.etag


def test_the_plain_engine_reads_for_the_native_one(engine: Any, memory_aws: aws.Store) -> None:
    memory_aws.put("source", "a", DATA)
    tuning = replace(engine.tuning)
    plain = BotoEngine(make_client(), JOB, lambda: "", tuning=tuning)
    (outcome,) = engine.relay([Copy(SOURCE, TARGET)], plain, Cancel())
    assert outcome.error is None
    assert memory_aws.objects["target", "b"].body == DATA
