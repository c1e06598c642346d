"""Objects that a file lists: where they lie, wrong lines, and repeated ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.actions import registry
from rolerunner.actions.listed_objects import read_listed_objects
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.selection.manifest import ObjectList
from tests.unit.actions.context import Recorded, make_context

if TYPE_CHECKING:
    from pathlib import Path


def read(
    folder: Path, text: str, recorded: Recorded | None = None, name: str = "l.csv", **fields: Any
) -> ObjectList:
    """Returns the objects of a list, as the action s3.delete takes them."""
    (folder / name).write_text(text)
    listing = {"from": str(folder / name), **fields}
    action = registry()["s3.delete"].model_validate({"objects": listing, "max_delete": 9})
    objects = getattr(read_listed_objects(action, make_context(folder, recorded)), "objects", None)
    assert isinstance(objects, ObjectList)
    return objects


def uris(objects: ObjectList) -> list[str]:
    return [str(objects.uri(info)) for info in objects]


def test_objects_of_several_buckets(tmp_path: Path) -> None:
    found = read(tmp_path, "s3://one/a\ns3://two/b\n", name="l.txt")
    assert uris(found) == ["s3://one/a", "s3://two/b"]
    assert (found.prefix, found.is_bare, found.bytes) == (S3Uri("one"), True, 0)


def test_keys_below_a_prefix(tmp_path: Path) -> None:
    found = read(tmp_path, "in/a\nin/b\n", name="l.txt", prefix="s3://box/in/")
    assert uris(found) == ["s3://box/in/a", "s3://box/in/b"]
    assert [found.relative(info) for info in found] == ["a", "b"]


def test_an_empty_list(tmp_path: Path) -> None:
    assert uris(read(tmp_path, "", name="l.txt")) == []


@pytest.mark.parametrize(
    ("text", "fields", "message"),
    [
        ("s3://b/a\n", {}, "names no object: 'b' is not a bucket name in 's3://b/a'"),
        ("s3://box/\n", {}, "names no object: it "),
        ("a\n", {}, "'a' has no bucket: write s3:// URIs, or set 'prefix'"),
        (
            "s3://box/out/a\n",
            {"prefix": "s3://box/in/"},
            "s3://box/out/a is not below the list's 'prefix' s3://box/in/",
        ),
        (
            "s3://other/in/a\n",
            {"prefix": "s3://box/in/"},
            "s3://other/in/a is not below the list's 'prefix' s3://box/in/",
        ),
    ],
)
def test_a_line_that_names_no_object_of_the_list(
    tmp_path: Path, text: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(StepError) as caught:
        read(tmp_path, text, name="l.txt", **fields)
    assert message in caught.value.message
    assert caught.value.message.startswith(f"{tmp_path}/l.txt:1: ")
    assert (caught.value.type, caught.value.hint) == (
        "BadList",
        "nothing was done; correct the list",
    )


def test_an_error_names_three_lines(tmp_path: Path) -> None:
    with pytest.raises(StepError) as caught:
        read(tmp_path, "s3://box/a\nx\ny\nz\nw\n", name="l.txt")
    assert [f"'{name}' has no bucket" in caught.value.message for name in "xyzw"] == [
        *(True, True, True),
        False,
    ]


def test_repeated_lines_are_left_out_with_a_note(tmp_path: Path) -> None:
    recorded = Recorded()
    found = read(tmp_path, "s3://box/z\ns3://box/a\ns3://box/z\n", recorded, name="l.txt")
    assert uris(found) == ["s3://box/z", "s3://box/a"]
    assert recorded.notes == [("info", "1 repeated lines of the list were left out", {})]


def test_an_action_without_a_list_stays_as_it_is(tmp_path: Path) -> None:
    action = registry()["s3.delete"].model_validate({"source": "s3://box/in/", "max_delete": 9})
    assert read_listed_objects(action, make_context(tmp_path)) is action
