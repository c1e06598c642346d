"""``s3.concat``: mistakes, permissions, and the order of its segments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.builtin.s3_concat import S3Concat
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.selection.manifest import ObjectList
from rolerunner.storage.protocol import ObjectInfo
from tests.unit.actions.context import make_context

if TYPE_CHECKING:
    from pathlib import Path


def create(**fields: Any) -> S3Concat:
    return S3Concat.model_validate({"source": "s3://box/in/", "target": "s3://box/all", **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": None}, "'source' or 'objects'"),
        (
            {"source": None, "objects": ["s3://box/a", "s3://box/b", "s3://box/a"]},
            "'objects' has s3://box/a twice",
        ),
        ({"source": None, "objects": ["s3://box/all"]}, "'target' s3://box/all is one of the"),
        ({"source": "s3://box/all"}, "'target' s3://box/all is one of the sources"),
        ({"target": "s3://box/out/"}, "must name one object"),
        ({"separator": "é" * 513}, "'separator' has more than 1,024 bytes"),
    ],
)
def test_mistakes(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        create(**fields)


def test_a_separator_of_the_most_bytes() -> None:
    assert create(separator="é" * 512).separator == "é" * 512


@pytest.mark.parametrize(
    ("fields", "actions"),
    [
        ({}, ["s3:ListBucket", "s3:GetObject"]),
        ({"source": None, "objects": ["s3://box/a"]}, ["s3:GetObject", "s3:GetObjectVersion"]),
    ],
)
def test_sources_are_read_and_the_target_is_written(
    fields: dict[str, Any], actions: list[str]
) -> None:
    needed = create(**fields).permissions()
    assert [each.action for each in needed["source_role"]] == actions
    assert "s3:PutObject" in {each.action for each in needed["target_role"]}
    assert not {each.action for each in needed["target_role"]} & {"s3:GetObject"}


def list_objects(folder: Path, *infos: ObjectInfo) -> ObjectList:
    with make_context(folder).manifest() as manifest:
        for info in infos:
            manifest.add_object(info)
    return manifest.objects(S3Uri("box", "in/"))


def test_a_separator_stands_between_two_objects(tmp_path: Path) -> None:
    gone = ObjectInfo("in/gone", 0, deleted=True)
    objects = list_objects(tmp_path, ObjectInfo("in/a", 3), gone, ObjectInfo("in/b", 4))
    segments = list(create(separator="--")._iterate_segments(objects))
    assert [(each.uri.key if each.uri else each.data, each.length) for each in segments] == [
        ("in/a", 3),
        (b"--", 2),
        ("in/b", 4),
    ]
    assert len(list(create()._iterate_segments(objects))) == 2


def test_a_target_among_its_sources_is_an_error(tmp_path: Path) -> None:
    objects = list_objects(tmp_path, ObjectInfo("in/a", 3), ObjectInfo("in/all", 4))
    assert create(target="s3://box/all")._count_sources(objects) == 2
    with pytest.raises(StepError) as caught:
        create(target="s3://box/in/all")._count_sources(objects)
    assert (caught.value.type, "'exclude'" in caught.value.hint) == ("TargetInSource", True)
