"""Proofs that two sides hold the same content, and values that prove nothing."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from rolerunner.actions.comparisons import (
    DIFFERENT,
    SAME,
    UNPROVEN,
    LocalFile,
    StoredObject,
    Verdict,
    compare_objects,
    compare_sizes,
    compare_with_digest,
    compare_with_file,
    find_digest,
)
from rolerunner.common.cancellation import Cancel
from rolerunner.errors import LocalFileFailed, StepError
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.storage.parts import ObjectRange
    from rolerunner.storage.protocol import Storage

BODY = b"id\n1\n"
MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
NOTHING = (UNPROVEN, "no checksum of the two can be compared")
SHA256 = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
OTHER_SHA256 = base64.b64encode(hashlib.sha256(b"x").digest()).decode()


class Body:
    """An object of one body, with the checksum that HEAD reports; counts what is read."""

    def __init__(self, body: bytes, checksum: str = "", etag: str = "e-1") -> None:
        self.body, self.checksum, self.etag = body, checksum, etag
        self.read = 0

    def head(self, uri: S3Uri, _: str = "") -> ObjectInfo:
        return ObjectInfo(uri.key, len(self.body), self.etag, checksum=self.checksum)

    def read_range(self, part: ObjectRange, _: Cancel) -> bytes:
        self.read += part.length
        return self.body[part.start : part.start + part.length]

    def get_part_size(self, *_: object) -> int:
        return 3

    def stored(self) -> StoredObject:
        info = ObjectInfo("a", len(self.body), self.etag, version="v1")
        return StoredObject(cast("Storage", self), S3Uri("box", "a"), info)


def compare(one: Body, other: Body, *, read: bool = False) -> tuple[str, str]:
    verdict = compare_objects(one.stored(), other.stored(), Cancel(), read=read)
    return verdict.status, verdict.reason


def test_other_sizes_are_different() -> None:
    assert compare_sizes(3, 3) is None
    assert compare_sizes(1234, 5) == Verdict(DIFFERENT, "1,234 bytes, not 5")
    assert compare(Body(b"a"), Body(b"ab")) == (DIFFERENT, "1 bytes, not 2")


@pytest.mark.parametrize(
    ("one", "other", "status"),
    [
        (f"SHA256:{SHA256}", f"SHA256:{SHA256}", SAME),
        (f"SHA256:{SHA256}", f"SHA256:{OTHER_SHA256}", DIFFERENT),
        (f"SHA256:{SHA256}", "CRC32:AAAAAA==", UNPROVEN),
        ("", "", UNPROVEN),
        (f"SHA256:{SHA256}", "", UNPROVEN),
        (f"SHA256:{SHA256}-2", f"SHA256:{SHA256}-2", SAME),
        (f"SHA256:{SHA256}-2", f"SHA256:{OTHER_SHA256}-3", UNPROVEN),
    ],
)
def test_checksums_prove_something_if_they_are_of_one_kind(
    one: str, other: str, status: str
) -> None:
    assert compare(Body(BODY, one), Body(BODY, other))[0] == status


def test_bytes_are_read_only_if_they_may_be() -> None:
    one, other = Body(BODY), Body(BODY)
    assert compare(one, other) == NOTHING
    assert one.read == 0
    assert compare(one, other, read=True) == (SAME, "")
    assert compare(one, Body(b"id\n2\n"), read=True) == (DIFFERENT, "the bytes differ")
    assert one.read == 2 * len(BODY)


def test_the_headers_are_those_of_the_version() -> None:
    stored = Body(BODY, "MD5:x").stored().with_headers()
    assert (stored.info.version, stored.info.checksum) == ("v1", "MD5:x")


def compare_file(path: Path, body: Body, *, read: bool = False) -> tuple[str, str]:
    file = LocalFile(str(path), path.stat().st_size)
    verdict = compare_with_file(body.stored(), file, Cancel(), read=read)
    return verdict.status, verdict.reason


@pytest.mark.parametrize(
    ("stored", "verdict"),
    [
        (Body(BODY, etag=MD5), (SAME, "")),
        (Body(BODY, f"SHA256:{SHA256}", etag="0" * 32), (SAME, "")),
        (Body(BODY, f"SHA256:{OTHER_SHA256}"), (DIFFERENT, "the SHA256 differs")),
        (Body(BODY), NOTHING),
        (
            Body(BODY, f"SHA256:{OTHER_SHA256}-2"),
            (UNPROVEN, "no checksum of the two can be compared"),
        ),
    ],
    ids=["etag", "checksum", "other checksum", "none", "parts"],
)
def test_an_object_and_a_file(tmp_path: Path, stored: Body, verdict: tuple[str, str]) -> None:
    (tmp_path / "a").write_bytes(BODY)
    assert compare_file(tmp_path / "a", stored) == verdict


@pytest.mark.parametrize("body", [BODY, b"id\n2\n"])
def test_the_bytes_of_a_file(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "a").write_bytes(body)
    expected = (SAME, "") if body == BODY else (DIFFERENT, "the bytes differ")
    assert compare_file(tmp_path / "a", Body(BODY), read=True) == expected


def test_a_file_that_has_grown_is_different(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BODY + b"2\n")
    assert compare_file(tmp_path / "a", Body(BODY), read=True) == (DIFFERENT, "the bytes differ")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    gone = LocalFile(str(tmp_path / "gone"), 5)
    with pytest.raises(LocalFileFailed, match="is no longer a regular file"):
        compare_with_file(Body(BODY).stored(), gone, Cancel(), read=True)
    problem = StepError("deleted", type="Gone")
    with pytest.raises(StepError, match="deleted"):
        compare_with_file(Body(BODY).stored(), replace(gone, problem=problem), Cancel(), read=True)


@pytest.mark.parametrize(
    ("body", "algorithm", "read", "digest"),
    [
        (Body(BODY, f"MD5:{MD5}"), "MD5", False, MD5),
        (Body(BODY, f"SHA256:{SHA256}"), "SHA256", False, hashlib.sha256(BODY).hexdigest()),
        (Body(BODY, f"SHA256:{SHA256}-2"), "SHA256", False, None),
        (Body(BODY, f"SHA256:{SHA256}"), "MD5", False, None),
        (Body(BODY), "SHA256", True, hashlib.sha256(BODY).hexdigest()),
    ],
    ids=["md5", "sha256", "parts", "another", "bytes"],
)
def test_the_digest_of_an_object(
    body: Body, algorithm: str, read: bool, digest: str | None
) -> None:
    assert find_digest(body.stored(), algorithm, Cancel(), read=read) == digest


def test_an_object_and_a_digest() -> None:
    def decide(body: Body, algorithm: str, digest: str) -> Any:
        return compare_with_digest(body.stored(), algorithm, digest, Cancel(), read=False)

    assert decide(Body(BODY, etag=MD5), "MD5", MD5).status == SAME
    assert decide(Body(BODY), "MD5", MD5) == Verdict(
        UNPROVEN, "S3 does not report the object's MD5"
    )
    other = Body(BODY, f"SHA256:{OTHER_SHA256}")
    assert decide(other, "SHA256", hashlib.sha256(BODY).hexdigest()) == Verdict(
        DIFFERENT, "the SHA256 differs"
    )
