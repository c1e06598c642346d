"""Parts of files over TLS and without it: where their checksums are, and what goes wrong."""

from __future__ import annotations

import base64
import os
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import LocalFileFailed, StepError
from rolerunner.model import S3Uri
from rolerunner.storage import payloads
from rolerunner.storage.native.part_sender import PartSender
from rolerunner.storage.parts import PartUpload
from rolerunner.storage.protocol import Outcome, Put
from rolerunner.storage.upload_source import UploadSource
from tests.memory_aws import DROP, Response, Upload, error, start_memory_aws
from tests.raw_server import create_tls_context
from tests.unit.storage.engines import once, open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.memory_aws import Request, Store

DATA = b"one-two-three"
"""As many bytes as a large object of these engines, which goes in a part."""
URI = S3Uri("bucket", "key")
STREAMING = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
PART = PartUpload(URI, "upload", 1, 0, len(DATA), {"ChecksumAlgorithm": "CRC32"})


@pytest.fixture(params=[True, False], ids=["TLS", "plain"])
def secure(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def aws(secure: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    context = create_tls_context(tmp_path) if secure else None
    with start_memory_aws(context) as store:
        for name, value in store.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "cert.pem"))
        yield store


@pytest.fixture
def engine(aws: Store, tmp_path: Path) -> Iterator[Any]:
    del aws
    opened = open_engine("native", bundle=str(tmp_path / "cert.pem"))
    yield opened
    opened.client.connections.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(DATA)
    return tmp_path / "file"


def upload(engine: Any, path: Path, options: dict[str, str] | None = None) -> Outcome:
    (outcome,) = engine.put([Put(path, URI, options or {})], Cancel())
    assert isinstance(outcome, Outcome)
    return outcome


def sent_parts(aws: Store) -> list[Request]:
    return [each for each in aws.requests_of("PUT") if "partNumber" in each.query]


def is_trailing(request: Request) -> bool:
    return request.headers["x-amz-content-sha256"] == STREAMING


def test_each_part_has_its_checksum_over_tls_in_a_trailer(
    secure: bool, engine: Any, aws: Store, path: Path
) -> None:
    assert upload(engine, path).error is None
    assert aws.bodies() == {str(URI): DATA}
    parts = sent_parts(aws)
    assert {is_trailing(each) for each in parts} == {secure}
    for each in parts:
        digest = base64.b64encode(zlib.crc32(each.body).to_bytes(4, "big")).decode()
        assert each.headers["x-amz-checksum-crc32"] == digest


def test_another_checksum_is_in_a_header(engine: Any, aws: Store, path: Path) -> None:
    assert upload(engine, path, {"ChecksumAlgorithm": "SHA256"}).error is None
    assert aws.bodies() == {str(URI): DATA}
    assert not any(map(is_trailing, sent_parts(aws)))
    assert all("x-amz-checksum-sha256" in each.headers for each in sent_parts(aws))


@pytest.mark.parametrize("secure", [True], ids=["TLS"], indirect=True)
@pytest.mark.parametrize("code", ["NotImplemented", "InvalidRequest"])
def test_a_server_without_trailers_gets_headers(
    code: str, engine: Any, aws: Store, path: Path
) -> None:
    aws.hook = lambda request: error(400, code) if is_trailing(request) else None
    assert upload(engine, path).error is None
    assert aws.bodies() == {str(URI): DATA}
    assert not payloads.takes_trailers(engine.client.requests.client)
    aws.requests.clear()
    assert upload(engine, path).error is None
    assert not any(map(is_trailing, sent_parts(aws)))


@pytest.mark.parametrize("secure", [True], ids=["TLS"], indirect=True)
def test_a_server_that_does_not_return_the_checksum_gets_headers(
    engine: Any, aws: Store, path: Path
) -> None:
    """It may have stored the sizes of the chunks too, which the part with a header replaces."""

    def store_encoded(request: Request) -> Response | None:
        if not is_trailing(request):
            return None
        aws.uploads[request.query["uploadId"]].parts[1] = b"d\r\n" + request.body
        return Response(200, {"ETag": '"e"'})

    aws.hook = store_encoded
    assert upload(engine, path).error is None
    assert aws.bodies() == {str(URI): DATA}
    assert not payloads.takes_trailers(engine.client.requests.client)


@pytest.mark.parametrize("secure", [True], ids=["TLS"], indirect=True)
@pytest.mark.parametrize("code", ["InvalidPart", "BadDigest", "InvalidRequest"])
def test_a_part_that_is_refused_anyway_says_nothing_about_trailers(
    code: str, engine: Any, aws: Store, path: Path
) -> None:
    aws.hook = lambda request: error(400, code) if "partNumber" in request.query else None
    outcome = upload(engine, path)
    assert outcome.error is not None
    assert code in str(outcome.error)
    assert not aws.bodies()
    assert payloads.takes_trailers(engine.client.requests.client)


def test_a_part_is_read_again_after_a_lost_connection(engine: Any, aws: Store, path: Path) -> None:
    aws.uploads["upload"] = Upload({}, "")
    sender, file = PartSender(engine.client), UploadSource.of(path)
    sender.send_file(file, PART, Cancel())
    aws.hook, dropped = once(lambda request: "partNumber" in request.query, DROP)
    sender.send_file(file, replace(PART, number=2), Cancel())
    assert aws.uploads["upload"].parts == {1: DATA, 2: DATA}
    assert [each.body for each in dropped] == [DATA, DATA]


def test_a_file_that_became_shorter_is_an_error(engine: Any, aws: Store, path: Path) -> None:
    file = UploadSource.of(path)
    os.truncate(path, 4)
    with pytest.raises(StepError, match="became shorter") as raised:
        PartSender(engine.client).send_file(file, PART, Cancel())
    assert raised.value.type == "FileChanged"
    assert not sent_parts(aws)


def test_a_file_that_changed_is_an_error(engine: Any, aws: Store, path: Path) -> None:
    file = UploadSource.of(path)
    path.write_bytes(DATA.upper())
    os.utime(path, ns=(1, 1))
    aws.uploads["upload"] = Upload({}, "")
    with pytest.raises(LocalFileFailed, match="changed while it was read"):
        PartSender(engine.client).send_file(file, PART, Cancel())


def test_a_cancelled_part_is_not_sent(engine: Any, aws: Store, path: Path) -> None:
    cancel = Cancel()
    cancel.set()
    with pytest.raises(StepError) as raised:
        PartSender(engine.client).send_file(UploadSource.of(path), PART, cancel)
    assert raised.value.type == "Stopped"
    assert not sent_parts(aws)


def test_a_part_that_cannot_be_read_names_the_file(
    engine: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(LocalFileFailed, match=f"{path}: .*Input/output error"):
        PartSender(engine.client).send_file(UploadSource.of(path), PART, Cancel())
