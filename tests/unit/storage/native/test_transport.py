"""Parts and small objects are stored by the native engine, or left to boto3."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import LocalFileFailed, StepError
from rolerunner.model import S3Uri
from rolerunner.storage import hashing, payloads
from rolerunner.storage.http.sockets import SocketFactory
from rolerunner.storage.native.engine import open_native_engine
from rolerunner.storage.native.transport import (
    NativeTransport,
    _can_checksum,
    find_native_transport,
)
from rolerunner.storage.parts import PartUpload
from rolerunner.storage.protocol import ObjectInfo
from rolerunner.storage.upload_source import UploadSource
from tests import memory_aws as aws
from tests.unit.storage.engines import open_boto_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URI = S3Uri("bucket", "key")
DATA = b"0123456789"


@pytest.fixture
def transport(memory_aws: aws.Store) -> Iterator[NativeTransport]:
    del memory_aws
    engine = open_native_engine(
        open_boto_engine(), Credentials("k", "s"), SocketFactory(None, 5, 5)
    )
    yield engine.transport
    engine.client.connections.close()


@pytest.fixture
def info(memory_aws: aws.Store) -> ObjectInfo:
    """The object that is read."""
    entry = memory_aws.put("bucket", "key", DATA)
    return ObjectInfo("key", len(DATA), entry.etag)


def part(memory_aws: aws.Store, **options: Any) -> PartUpload:
    memory_aws.uploads["u"] = aws.Upload({}, "")
    return PartUpload(URI, "u", 3, 2, 4, {"ChecksumAlgorithm": "CRC32", **options})


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
def test_an_object_is_stored_with_its_checksum(
    transport: NativeTransport, memory_aws: aws.Store, algorithm: str
) -> None:
    options = {"ChecksumAlgorithm": algorithm, "ContentType": "text/csv"}
    stored = transport.store_object(URI, DATA, options, Cancel(), repeated=False)
    assert stored["ETag"].strip('"') == memory_aws.objects["bucket", "key"].etag
    (request,) = memory_aws.requests
    digest = hashing.compute_digest(algorithm, DATA)
    assert request.headers[f"x-amz-checksum-{algorithm.lower()}"] == digest
    assert request.headers["content-type"] == "text/csv"


def test_a_checksum_that_cannot_be_computed_is_left_to_boto3(
    transport: NativeTransport, memory_aws: aws.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "can_compute", lambda name: name != "SHA1")
    options = {"ChecksumAlgorithm": "SHA1"}
    transport.store_object(URI, DATA, options, Cancel(), repeated=False)
    assert memory_aws.objects["bucket", "key"].body == DATA
    assert "boto" in memory_aws.requests[0].headers["user-agent"].lower()
    assert transport.select_options(options) == options


@pytest.mark.parametrize("repeated", [False, True])
def test_a_condition_that_an_earlier_attempt_broke_is_met(
    transport: NativeTransport, memory_aws: aws.Store, repeated: bool
) -> None:
    memory_aws.put("bucket", "key", DATA)
    options = {"IfNoneMatch": "*"}
    if repeated:
        stored = transport.store_object(URI, DATA, options, Cancel(), repeated=True)
        assert stored["ETag"].strip('"') == memory_aws.objects["bucket", "key"].etag
        return
    with pytest.raises(ClientError, match="PreconditionFailed"):
        transport.store_object(URI, DATA, options, Cancel(), repeated=False)


def test_a_stored_object_without_an_etag_is_not_believed(
    transport: NativeTransport, memory_aws: aws.Store
) -> None:
    memory_aws.hook = lambda _: aws.Response(200)
    with pytest.raises(StepError, match="without an ETag"):
        transport.store_object(URI, DATA, {}, Cancel(), repeated=False)
    with pytest.raises(StepError, match="part 3 without an ETag"):
        transport.upload_part(part(memory_aws), b"2345", Cancel())


def test_a_part_of_a_file_is_sent(
    transport: NativeTransport, memory_aws: aws.Store, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(DATA)
    moved: list[int] = []
    transport.requests.pacer.on_bytes = moved.append
    source = UploadSource.of(tmp_path / "file")
    completed = transport.upload_file_part(source, part(memory_aws), Cancel())
    assert memory_aws.uploads["u"].parts == {3: b"2345"}
    assert completed["PartNumber"] == 3
    assert completed["ChecksumCRC32"] == hashing.compute_digest("CRC32", b"2345")
    assert sum(moved) == 4


def test_a_part_without_a_checksum_is_left_to_boto3(
    transport: NativeTransport, memory_aws: aws.Store, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(DATA)
    source = UploadSource.of(tmp_path / "file")
    upload = part(memory_aws, ChecksumAlgorithm="")
    upload = PartUpload(upload.target, upload.upload_id, 3, 2, 4, {})
    transport.upload_file_part(source, upload, Cancel())
    assert memory_aws.uploads["u"].parts == {3: b"2345"}
    transport.upload_part(upload, b"abcd", Cancel())
    assert memory_aws.uploads["u"].parts == {3: b"abcd"}


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_file_that_changes_is_not_uploaded(
    transport: NativeTransport, memory_aws: aws.Store, tmp_path: Path, is_gone: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    source = UploadSource.of(path)
    if is_gone:
        path.unlink()
    else:
        memory_aws.after = lambda _: os.utime(path, ns=(1, 1))
    with pytest.raises(LocalFileFailed, match="file"):
        transport.upload_file_part(source, part(memory_aws), Cancel())


def test_a_cancelled_part_is_not_sent(
    transport: NativeTransport, memory_aws: aws.Store, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(DATA)
    cancel = Cancel()
    cancel.set()
    with pytest.raises(StepError, match="stopped"):
        transport.upload_file_part(UploadSource.of(tmp_path / "file"), part(memory_aws), cancel)
    assert memory_aws.requests == []


def test_the_transport_of_a_native_engine_is_found(transport: NativeTransport) -> None:
    class Engine:
        pass

    engine: Any = Engine()
    assert find_native_transport(engine) is None
    engine.transport = "another one"
    assert find_native_transport(engine) is None
    engine.transport = transport
    assert find_native_transport(engine) is transport
    assert transport.count_memory(5) == 0


PART = 8 << 20


@pytest.mark.parametrize(
    ("size", "memory", "in_blocks"),
    [
        (1, 4 * PART, False),
        (1, 4 * PART - 4, True),
        (10_000 * PART, 4 * PART, False),
        (10_000 * PART + 1, 4 * PART, True),
    ],
)
def test_parts_beyond_a_quarter_of_the_memory_are_sent_in_blocks(
    size: int,
    memory: int,
    in_blocks: bool,
    transport: NativeTransport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport.client, "tuning", SimpleNamespace(part=PART, memory=memory))
    assert transport._must_use_blocks(size, transport) is in_blocks


@pytest.mark.parametrize("obstacle", ["get_object", "upload_part", "trailers"])
def test_what_boto3_sends_is_held_in_memory(
    obstacle: str, transport: NativeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport.client, "tuning", SimpleNamespace(part=PART, memory=0))
    monkeypatch.setattr(transport.client, "supports", lambda method: method != obstacle)
    monkeypatch.setattr(payloads, "takes_trailers", lambda _: obstacle != "trailers")
    assert not transport._must_use_blocks(1, transport)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, False), ({"ChecksumAlgorithm": "CRC32"}, True), ({"ChecksumAlgorithm": "X"}, False)],
)
def test_a_checksum_is_computed_if_one_is_asked_for(
    options: dict[str, str], expected: bool
) -> None:
    assert _can_checksum(options) is expected
