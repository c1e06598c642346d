"""The archive that each object goes into, and its name there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from rolerunner.actions.packing import Packing, is_archive_of, own_archive_error
from rolerunner.errors import StepError, UnsafeKey
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo
from tests.unit.actions.context import make_context

if TYPE_CHECKING:
    from pathlib import Path

TARGET = S3Uri("box", "out/all.tar.gz")


def pack(folder: Path, *infos: ObjectInfo, flat: bool = False, **action: Any) -> Packing:
    context = make_context(folder)
    with context.manifest() as manifest:
        for info in infos:
            manifest.add_object(info)
    listed = manifest.objects(S3Uri("box", "in/"), flat=flat)
    options = {"max_archive_size": None, "if_exists": "overwrite", "level": None, **action}
    fields = SimpleNamespace(format_name=lambda: "tar.gz", **{"target": TARGET, **options})
    gathered = SimpleNamespace(objects=listed, refused=(), total=listed.count)
    nothing = cast("Any", None)
    return Packing(cast("Any", fields), cast("Any", gathered), nothing, nothing, context)


def info(name: str, size: int = 1, **more: Any) -> ObjectInfo:
    return ObjectInfo(f"in/{name}", size, "e", **more)


@pytest.mark.parametrize(
    ("key", "limit", "is_own"),
    [
        ("out/all.tar.gz", None, True),
        ("out/all.tar.gz", 10, False),
        ("out/all-00001.tar.gz", 10, True),
        ("out/all-00001.tar.gz", None, False),
        ("out/all-x.tar.gz", 10, False),
        ("out/all-.tar.gz", 10, False),
    ],
)
def test_the_archives_of_a_target(key: str, limit: int | None, is_own: bool) -> None:
    assert is_archive_of(S3Uri("box", key), TARGET, limit) is is_own
    assert not is_archive_of(S3Uri("other", key), TARGET, limit)


def test_markers_are_no_members(tmp_path: Path) -> None:
    packing = pack(tmp_path, info("a"), info("b/", 0), info("c", deleted=True), info("d/", 5))
    assert [name for _, name in packing.members()] == ["a", "d/"]


def test_objects_are_divided_by_their_size(tmp_path: Path) -> None:
    infos = [info("a", 6), info("b", 4), info("c", 1), info("d", 99), info("e", 1)]
    plan = list(pack(tmp_path, *infos, max_archive_size=10).plan())
    assert [(each.count, each.bytes) for each in plan] == [(2, 10), (1, 1), (1, 99), (1, 1)]
    assert len({each.target for each in plan}) == 4
    (whole,) = pack(tmp_path, *infos).plan()
    assert (whole.target, whole.count, whole.bytes, whole.names) == (TARGET, 5, 111, 5)


def test_nothing_is_no_archive(tmp_path: Path) -> None:
    assert list(pack(tmp_path).plan()) == []


def digest(folder: Path, *infos: ObjectInfo, **action: Any) -> str:
    (planned,) = pack(folder, *infos, **action).plan()
    return planned.digest


def test_a_digest_tells_other_members_and_other_settings(tmp_path: Path) -> None:
    same = digest(tmp_path, info("a"), info("b"))
    assert digest(tmp_path, info("a"), info("b")) == same
    others = [
        digest(tmp_path, info("b"), info("a")),
        digest(tmp_path, info("a", 2), info("b")),
        digest(tmp_path, info("a")),
        digest(tmp_path, info("a"), info("b"), level=9),
    ]
    assert len({same, *others}) == 5


@pytest.mark.parametrize("name", ["../a", "b/../../a"])
def test_a_name_that_leaves_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeKey):
        pack(tmp_path, info(name)).check_names()
    pack(tmp_path, info("b/a")).check_names()


def test_an_archive_is_not_packed_into_itself(tmp_path: Path) -> None:
    inside = S3Uri("box", "in/all.tar.gz")
    with pytest.raises(StepError) as caught:
        pack(tmp_path, info("all.tar.gz"), target=inside).check_names()
    assert caught.value.message == own_archive_error(inside).message
    assert (caught.value.type, "'exclude'" in caught.value.hint) == ("TargetInSource", True)


def test_two_objects_of_one_name_are_refused(tmp_path: Path) -> None:
    packing = pack(tmp_path, info("x/a"), info("y/a"), flat=True)
    with pytest.raises(UnsafeKey, match="would both be the member a") as caught:
        packing.check_names()
    assert caught.value.type == "SameName"
