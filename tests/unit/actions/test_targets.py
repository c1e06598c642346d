"""Lists that are known to have targets that differ, and collisions in those that are not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rolerunner.actions.targets import check_copies
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.selection.manifest import ManifestWriter
from rolerunner.storage.protocol import ObjectInfo, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rolerunner.selection.manifest import ObjectList


def listed(path: Path, infos: Sequence[ObjectInfo]) -> ObjectList:
    with ManifestWriter(path / "list.jsonl") as manifest:
        for info in infos:
            manifest.add_object(info)
    return manifest.objects(S3Uri("box", "in/"))


def problem(objects: ObjectList, target: S3Uri, *, move: bool = True) -> str:
    def targets() -> Iterator[tuple[ObjectInfo, S3Uri]]:
        return ((info, target.join(objects.relative(info))) for info in objects if not info.deleted)

    try:
        check_copies(objects, target, targets, move=move)
    except StepError as error:
        return f"{error.type}: {error.message}"
    return ""


def test_keys_in_their_order_differ(tmp_path: Path) -> None:
    def ascends(*infos: ObjectInfo) -> bool:
        return listed(tmp_path, infos).ascending

    assert ascends()
    assert ascends(ObjectInfo("in/a", 1), ObjectInfo("in/b", 1), ObjectInfo("in/\U0001f600", 1))
    assert not ascends(ObjectInfo("in/a", 1), ObjectInfo("in/a", 1))
    assert not ascends(ObjectInfo("in/b", 1), ObjectInfo("in/a", 1), ObjectInfo("in/c", 1))
    assert not ascends(ObjectInfo("in/a", 1), ObjectInfo("in/b", 1, bucket="other"))
    assert not ascends(ObjectInfo("in/a", 1, bucket="other"), ObjectInfo("in/b", 1))
    with ManifestWriter(tmp_path / "done.jsonl") as manifest:
        manifest.add_outcome(Outcome(S3Uri("box", "in/a"), 1), "box")
    assert not manifest.objects(S3Uri("box", "in/")).ascending


@pytest.mark.parametrize("move", [True, False])
def test_two_versions_of_an_object_have_one_target(move: bool, tmp_path: Path) -> None:
    versions = [
        ObjectInfo("in/a", 1, version="2"),
        ObjectInfo("in/a", 1, version="1"),
        ObjectInfo("in/b", 1, version="1"),
    ]
    found = problem(listed(tmp_path, versions), S3Uri("other", "out/"), move=move)
    assert (
        found == "SameKey: s3://box/in/a (version 2) and s3://box/in/a (version 1) would both be "
        "s3://other/out/a"
    )
    markers = [ObjectInfo("in/a", 0, version="2", deleted=True), *versions[1:]]
    assert problem(listed(tmp_path, markers), S3Uri("other", "out/"), move=move) == "", (
        "a delete marker is not copied"
    )


def test_a_target_that_is_still_to_be_read(tmp_path: Path) -> None:
    infos = [ObjectInfo(key, 1) for key in ("in/a", "in/b", "in/x/a")]
    found = problem(listed(tmp_path, infos), S3Uri("box", "in/x/"))
    assert (
        found
        == "TargetInSource: s3://box/in/a would be s3://box/in/x/a, which is itself one of the "
        "objects to copy"
    )
    assert problem(listed(tmp_path, infos[:2]), S3Uri("box", "in/x/")) == ""
    assert problem(listed(tmp_path, infos[::-1]), S3Uri("other", "in/x/")) == ""


def test_each_object_onto_itself(tmp_path: Path) -> None:
    objects = listed(tmp_path, [ObjectInfo("in/a", 1), ObjectInfo("in/b", 1)])
    assert problem(objects, S3Uri("box", "in/"), move=False) == "", "which gives them new metadata"
    assert problem(objects, S3Uri("box", "in/")).startswith("MoveOntoItself: s3://box/in/a")
