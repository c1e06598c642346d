"""Operations on many objects: each item has one outcome, and decided ones pass through."""

from __future__ import annotations

import base64
import gzip
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.common.cancellation import Cancel
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.compression import Compression
from rolerunner.storage.protocol import Copy, Get, ObjectInfo, Outcome, Put
from rolerunner.storage.workers.pool import WorkerPool
from tests.unit.storage.engines import LARGE, open_engine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.memory_aws import Store

SIZES = [0, 1, LARGE - 1, LARGE]
DECIDED = Outcome(S3Uri("bucket", "decided"), status="skipped")


def put_objects(store: Store) -> list[ObjectInfo]:
    """Returns the objects that were put into the bucket."""
    entries = {str(size): store.put("bucket", str(size), b"x" * size) for size in SIZES}
    return [ObjectInfo(key, int(key), entry.etag) for key, entry in entries.items()]


def create_copies(objects: list[ObjectInfo]) -> list[Any]:
    copies = [
        Copy(S3Uri("bucket", each.key), S3Uri("other", each.key), each, large=LARGE, part=4)
        for each in objects
    ]
    return [*copies, DECIDED]


def check(outcomes: list[Outcome], bucket: str) -> None:
    assert [each for each in outcomes if each.error is not None] == []
    done = [each for each in outcomes if each is not DECIDED]
    assert len(outcomes) - len(done) == 1
    assert {str(each.uri) for each in done} == {f"s3://{bucket}/{size}" for size in SIZES}
    assert sorted(each.size for each in done) == SIZES


def test_files_are_uploaded_and_downloaded(memory_aws: Store, tmp_path: Path) -> None:
    engine = open_engine("native")
    for size in SIZES:
        (tmp_path / f"{size}").write_bytes(b"x" * size)
    uploads = [Put(tmp_path / f"{size}", S3Uri("bucket", f"{size}")) for size in SIZES]
    check(list(engine.put([*uploads, DECIDED], Cancel())), "bucket")
    assert memory_aws.bodies() == {f"s3://bucket/{size}": b"x" * size for size in SIZES}
    downloads = [Get(S3Uri("bucket", f"{size}"), tmp_path / f"new-{size}") for size in SIZES]
    check(list(engine.get([*downloads, DECIDED], Cancel())), "bucket")
    assert all((tmp_path / f"new-{size}").read_bytes() == b"x" * size for size in SIZES)


@pytest.mark.parametrize("is_relayed", [False, True], ids=["copied", "relayed"])
def test_objects_are_copied(is_relayed: bool, memory_aws: Store) -> None:
    engine, items = open_engine("native"), create_copies(put_objects(memory_aws))
    copied = (
        engine.relay(items, open_engine("native"), Cancel())
        if is_relayed
        else engine.copy(items, Cancel())
    )
    check(list(copied), "other")
    assert {f"s3://other/{size}" for size in SIZES} <= set(memory_aws.bodies())


def test_a_missing_object_is_a_failed_outcome(memory_aws: Store) -> None:
    (info, *_) = put_objects(memory_aws)
    engine = open_engine("native")
    items = [S3Uri("bucket", info.key), S3Uri("bucket", "missing")]
    found = {each.uri.key: each for each in engine.head_many(items, Cancel())}
    assert found[info.key].info.size == info.size
    assert isinstance(found["missing"].error, StepError)


def test_a_cancelled_operation_raises(memory_aws: Store) -> None:
    cancel = Cancel()
    cancel.set()
    with pytest.raises(StepError, match="stopped"):
        list(open_engine("native").copy(create_copies(put_objects(memory_aws)), cancel))


@pytest.mark.parametrize("method", ["put", "get", "copy", "relay"])
def test_only_small_items_without_a_check_may_go_to_other_processes(
    method: str, memory_aws: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = put_objects(memory_aws)
    for each in objects:
        (tmp_path / each.key).write_bytes(b"x" * each.size)
    items: list[Any] = create_copies(objects)[:-1]
    if method == "put":
        items = [Put(tmp_path / each.key, S3Uri("other", each.key)) for each in objects]
    elif method == "get":
        items = [
            Get(S3Uri("bucket", each.key), tmp_path / f"new-{each.key}", each) for each in objects
        ]
    if method != "put":
        items.append(replace(items[1], info=None))
    checked = [*items, replace(items[1], skip=lambda: True)]
    seen: list[tuple[int, bool]] = []

    def dispatch(_: Any, items: Any, begin: Any, name_item: Any) -> Any:
        for item in items:
            seen.append((begin(item)[0], name_item(item) is not None))
        return ()

    monkeypatch.setattr(WorkerPool, "dispatch", dispatch)
    engine = open_engine("native")
    sources = (open_engine("native"),) if method == "relay" else ()
    assert list(getattr(engine, method)(checked, *sources, Cancel())) == []
    weights = [0, 1, LARGE - 1, 0] if method in ("put", "relay") else [0] * 4
    small = [method != "put", True, True, False]
    more = [] if method == "put" else [(0, False)]
    last = (1 if method in ("put", "relay") else 0, False)
    assert seen == [*zip(weights, small), *more, last]


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("method", ["put", "relay"])
def test_bytes_are_stored_with_the_checksum_of_what_is_sent(
    method: str, is_compressed: bool, memory_aws: Store, tmp_path: Path
) -> None:
    text = b"some text"
    entry = memory_aws.put("bucket", "key", text)
    (tmp_path / "file").write_bytes(text)
    more: Any = {"compression": Compression.of("gzip")} if is_compressed else {}
    engine, target = open_engine("native"), S3Uri("other", "key")
    if method == "put":
        outcomes = engine.put([Put(tmp_path / "file", target, **more)], Cancel())
    else:
        item = Copy(S3Uri("bucket", "key"), target, ObjectInfo("key", 9, entry.etag), **more)
        outcomes = engine.relay([item], open_engine("native"), Cancel())
    (outcome,) = outcomes
    assert outcome.error is None
    body = memory_aws.bodies()["s3://other/key"]
    assert (gzip.decompress(body) if is_compressed else body) == text
    assert outcome.size == len(body)
    (stored,) = [each for each in memory_aws.requests if each.method == "PUT"]
    digest = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    assert stored.headers["x-amz-checksum-crc32"] == digest
