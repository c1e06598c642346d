"""s3.pack: objects into archives, streamed, with the same bytes each time."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import SpecError
from rolerunner.storage.decompression import DecompressionBounds, decompress_blocks
from tests.memory_aws import error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rolerunner.model import StepResult
    from tests.memory_aws import Store

READER, WRITER = "arn:aws:iam::111122223333:role/reader", "arn:aws:iam::444455556666:role/writer"
TWO = {"source_role": READER, "target_role": WRITER}
LONG = f"{'folder/' * 40}name"
FORMATS = ["tar", "tar.gz", "tar.zst", "zip"]


@pytest.fixture(params=["fast", "boto3"])
def run(
    request: pytest.FixtureRequest, memory_aws: Store, tmp_path: Path
) -> Callable[..., StepResult]:
    """Runs one s3.pack and returns its result."""

    def run_step(**fields: Any) -> StepResult:
        path = tmp_path / "job.yaml"
        step = {"id": "it", "action": "s3.pack", **(fields if "role" in fields else TWO | fields)}
        path.write_text(
            json.dumps({"version": 1, "name": "t", "engine": request.param, "steps": [step]})
        )
        return api.run(api.load(path)).steps[0]

    return run_step


def members_of(data: bytes, kind: str) -> dict[str, bytes]:
    """The members of an archive in their order, as Python's own modules read them."""
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            return {name: archive.read(name) for name in archive.namelist()}
    if kind == "tar.zst":
        data = b"".join(decompress_blocks([data], "zstd", DecompressionBounds("it")))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {}
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            assert (member.uid, member.gid, member.uname, member.mode) == (0, 0, "", 0o644)
            found[member.name] = file.read()
        return found


def fill(store: Store) -> dict[str, bytes]:
    content = {
        "a": b"",
        "b/c.txt": b"one" * 1000,
        "b/\u00fcber \u4e2d.txt": b"unicode",
        LONG: b"long",
        "large": bytes(range(256)) * 40_000,  # 10 MB: more than one range
    }
    for name, body in content.items():
        store.put("landing", f"in/{name}", body)
    store.put("landing", "in/b/", b"")  # a marker of a folder
    return dict(sorted(content.items(), key=lambda each: each[0].encode()))


@pytest.mark.parametrize("kind", FORMATS)
def test_an_archive_has_the_objects_in_their_order_and_the_same_bytes_each_time(
    kind: str, run: Callable[..., StepResult], memory_aws: Store
) -> None:
    content = fill(memory_aws)
    target = f"s3://archive/out.{kind}"
    done = run(source="s3://landing/in/", target=target)
    assert done.status == "succeeded", done.error
    assert done.outputs["count"] == len(content)
    assert done.outputs["bytes"] == sum(map(len, content.values()))
    assert done.outputs["archives"] == 1
    body = memory_aws.bodies()[f"s3://archive/out.{kind}"]
    found = members_of(body, kind)
    assert found == content
    assert list(found) == list(content)
    assert [each.key for each in done.outputs["objects"]] == [f"out.{kind}"]
    run(source="s3://landing/in/", target=target)
    assert memory_aws.bodies()[f"s3://archive/out.{kind}"] == body


def test_a_large_archive_goes_in_parts_and_under_one_role(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    content = {f"{n}": bytes([n]) * 9_000_000 for n in range(5)}
    for name, body in content.items():
        memory_aws.put("box", f"in/{name}", body)
    done = run(role=READER, source="s3://box/in/", target="s3://box/out.tar")
    assert done.status == "succeeded", done.error
    assert members_of(memory_aws.bodies()["s3://box/out.tar"], "tar") == content
    assert len([each for each in memory_aws.requests_of("PUT") if "partNumber" in each.query]) > 2


def test_archives_are_divided_numbered_and_kept_if_they_hold_the_same(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    for number in range(5):
        memory_aws.put("landing", f"in/{number}", b"x" * 600_000)
    fields = {
        "source": "s3://landing/in/",
        "target": "s3://archive/day.tar.gz",
        "max_archive_size": "1.2MB",
        "if_exists": "skip_same",
    }
    done = run(**fields)
    assert done.status == "succeeded", done.error
    keys = [f"s3://archive/day-{number:05}.tar.gz" for number in (1, 2, 3)]
    packed = [list(members_of(memory_aws.bodies()[key], "tar.gz")) for key in keys]
    assert packed == [["0", "1"], ["2", "3"], ["4"]]
    assert done.outputs["archives"] == 3
    memory_aws.put("landing", "in/4", b"y")
    again = run(**fields)
    assert (again.outputs["count"], again.outputs["skipped"]) == (1, 4)
    assert members_of(memory_aws.bodies()[keys[2]], "tar.gz") == {"4": b"y"}


def test_nothing_of_an_archive_is_left_when_an_object_cannot_be_read(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    fill(memory_aws)

    def refuse(request: Any) -> Any:
        if request.method == "GET" and request.key.endswith("c.txt"):
            return error(403, "AccessDenied")
        return None

    memory_aws.hook = refuse
    done = run(source="s3://landing/in/", target="s3://archive/out.tar")
    assert done.status == "failed"
    assert done.error is not None
    assert "in/b/c.txt" in f"{done.error.message}"
    assert "s3://archive/out.tar" not in memory_aws.bodies()
    assert not memory_aws.uploads
    done = run(source="s3://landing/in/", target="s3://archive/out.tar", max_failures=1)
    assert done.status == "warning", done.error
    assert "b/c.txt" not in members_of(memory_aws.bodies()["s3://archive/out.tar"], "tar")


def test_an_object_that_fails_in_its_middle_leaves_nothing(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    fill(memory_aws)

    def damage(request: Any) -> Any:
        second = request.headers.get("range", "").startswith("bytes=8388608")
        return error(404, "NoSuchKey") if request.method == "GET" and second else None

    memory_aws.hook = damage
    done = run(source="s3://landing/in/", target="s3://archive/out.zip", max_failures=5)
    assert done.status == "failed"
    assert done.error is not None
    assert "in the middle of the archive" in done.error.message
    assert "s3://archive/out.zip" not in memory_aws.bodies()
    assert not memory_aws.uploads


@pytest.mark.parametrize("key", ["in/../up", "in//etc/passwd", "in/a/./b"])
def test_names_that_would_leave_the_target_are_refused_before_anything_is_stored(
    key: str, run: Callable[..., StepResult], memory_aws: Store
) -> None:
    memory_aws.put("landing", key, b"x")
    memory_aws.put("landing", "in/fine", b"x")
    done = run(source="s3://landing/in/", target="s3://archive/out.tar", max_failures=5)
    assert done.error is not None
    assert done.error.type == "UnsafeKey"
    assert not memory_aws.requests_of("PUT")


def test_two_objects_of_one_name_are_refused(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    for folder in "ab":
        memory_aws.put("landing", f"{folder}/same", b"x")
    objects = ["s3://landing/a/same", "s3://landing/b/same"]
    done = run(objects=objects, target="s3://archive/out.tar")
    assert done.error is not None
    assert done.error.type == "SameName"
    assert "s3://landing/a/same and s3://landing/b/same" in done.error.message
    assert not memory_aws.requests_of("PUT")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": "s3://archive/out.bin"}, "names no format"),
        ({"target": "s3://landing/in/out.tar"}, "is an archive of this step"),
        ({"target": "s3://landing/in/out.tar", "max_archive_size": "1GB"}, "out-00001.tar is an"),
        ({"target": "s3://archive/out.tar", "level": 3}, "needs a format that compresses"),
        ({"target": "s3://archive/out.zip", "level": 12}, "'level' of zip is 0 to 9, not 12"),
        ({"target": "s3://archive/out.tar", "objects": []}, "either 'source' or 'objects'"),
    ],
)
def test_validate_refuses(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    step = {"id": "it", "action": "s3.pack", **TWO, "source": "s3://landing/in/", **fields}
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps({"version": 1, "name": "t", "steps": [step]}))
    with pytest.raises(SpecError, match=message.replace("'", ".")):
        api.load(path)


def test_an_archive_below_its_source_is_allowed_where_filters_leave_it_out(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    memory_aws.put("landing", "in/a", b"x")
    fields = {"source": "s3://landing/in/", "exclude": ["*.tar"], "target": "s3://landing/in/o.tar"}
    assert run(**fields).status == "succeeded"
    assert run(**fields).outputs["count"] == 1


def test_a_step_that_is_listed_does_not_pack_its_own_archive(
    run: Callable[..., StepResult], memory_aws: Store
) -> None:
    memory_aws.put("landing", "in/a", b"x")
    memory_aws.put("landing", "in/o-00002.tar", b"x")
    objects = ["s3://landing/in/a", "s3://landing/in/o-00002.tar"]
    done = run(objects=objects, target="s3://landing/in/o.tar", max_archive_size="1GB")
    assert done.error is not None
    assert done.error.type == "TargetInSource"


def test_if_exists_fail_never_overwrites(run: Callable[..., StepResult], memory_aws: Store) -> None:
    memory_aws.put("landing", "in/a", b"x")
    memory_aws.put("archive", "out.tar", b"mine")
    done = run(source="s3://landing/in/", target="s3://archive/out.tar", if_exists="fail")
    assert done.error is not None
    assert done.error.type == "AlreadyThere"
    assert memory_aws.bodies()["s3://archive/out.tar"] == b"mine"
