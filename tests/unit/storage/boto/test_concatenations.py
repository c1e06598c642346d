"""One object made of many: conflicts at its end, changed sources, nothing left of a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.concatenation import Concatenation, Segment
from tests import memory_aws as aws

if TYPE_CHECKING:
    from rolerunner.storage.protocol import ObjectInfo

MIB = 1 << 20
BODIES = {"a": b"a" * (6 * MIB), "b": b"b", "c": b"c" * (5 * MIB)}
TARGET = S3Uri("bucket", "target")


@pytest.fixture(autouse=True)
def _fill(memory_aws: aws.Store) -> None:
    for key, body in BODIES.items():
        memory_aws.put("bucket", key, body)


def concatenate(engine: Any, *, within_s3: bool, **options: Any) -> ObjectInfo:
    infos = [engine.head(S3Uri("bucket", key)) for key in BODIES]

    def segments() -> list[Segment]:
        return [Segment(0, info.size, S3Uri("bucket", info.key), info) for info in infos]

    size = sum(info.size for info in infos)
    item = Concatenation(TARGET, segments, size, options, within_s3)
    stored: ObjectInfo = engine.concatenate(item, engine, Cancel())
    return stored


def is_completion(request: aws.Request) -> bool:
    return request.method == "POST" and "uploadId" in request.query


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("within_s3", [True, False])
@pytest.mark.parametrize("code", ["NoSuchUpload", "OperationAborted"])
def test_an_upload_that_is_lost_at_its_end_starts_again(
    engine: Any, memory_aws: aws.Store, code: str, within_s3: bool
) -> None:
    failures = iter([aws.error(409 if code == "OperationAborted" else 404, code)])

    def hook(request: aws.Request) -> Any:
        return next(failures, None) if is_completion(request) else None

    memory_aws.hook = hook
    stored = concatenate(engine, within_s3=within_s3, IfNoneMatch="*")
    assert memory_aws.objects["bucket", "target"].body == b"".join(BODIES.values())
    assert (stored.size, stored.etag) == (
        sum(map(len, BODIES.values())),
        memory_aws.objects["bucket", "target"].etag,
    )
    assert not memory_aws.uploads


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("within_s3", [True, False])
def test_a_source_that_changes_fails_and_leaves_nothing(
    engine: Any, memory_aws: aws.Store, within_s3: bool
) -> None:
    def hook(request: aws.Request) -> Any:
        if "uploads" in request.query:  # the upload begins
            memory_aws.put("bucket", "c", b"d" * (5 * MIB))

    memory_aws.hook = hook
    with pytest.raises(StepError):
        concatenate(engine, within_s3=within_s3)
    assert ("bucket", "target") not in memory_aws.objects
    assert not memory_aws.uploads
