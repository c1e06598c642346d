"""``s3.list``: order, limit, filters, empty prefixes, permissions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.builtin.s3_list import S3List
from rolerunner.errors import EmptySource
from rolerunner.model import S3Uri
from tests.unit.actions.builtin.fake import FakeStorage, make_step
from tests.unit.actions.context import Recorded

BODIES = {"in/a": b"123", "in/b": b"1", "in/c": b"12", "other": b""}


def run(folder: Path, bodies: dict[str, bytes] = BODIES, **fields: Any) -> Any:
    action = S3List.model_validate({"source": "s3://box/in/", **fields})
    return action.run(make_step(folder, FakeStorage(bodies)))


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        ({}, "abc"),
        ({"descending": True}, "cba"),
        ({"sort": "size"}, "bca"),
        ({"sort": "size", "descending": True}, "acb"),
        ({"sort": "modified"}, "cba"),
        ({"limit": 2}, "ab"),
        ({"limit": 1, "sort": "size"}, "b"),
        ({"limit": 1, "descending": True}, "c"),
        ({"limit": 9}, "abc"),
        ({"min_size": 2}, "ac"),
        ({"include": ["[ab]"], "exclude": ["b"]}, "a"),
    ],
)
def test_objects_are_filtered_sorted_and_limited(
    tmp_path: Path, fields: dict[str, Any], keys: str
) -> None:
    outputs = run(tmp_path, **fields)
    assert [info.key for info in outputs["objects"]] == [f"in/{key}" for key in keys]
    assert outputs["count"] == len(keys)
    assert outputs["bytes"] == sum(len(BODIES[f"in/{key}"]) for key in keys)


def test_the_latest_is_the_one_modified_last(tmp_path: Path) -> None:
    outputs = run(tmp_path)
    assert (outputs["latest"], outputs["folders"]) == ("s3://box/in/a", [])


def test_nothing_is_what_the_step_says(tmp_path: Path) -> None:
    with pytest.raises(EmptySource, match="there is nothing in s3://box/in/"):
        run(tmp_path, {})
    outputs = run(tmp_path, {}, on_empty="ok")
    assert (outputs["count"], outputs["latest"], list(outputs["objects"])) == (0, None, [])


def test_the_inventory_is_written_and_tracked(tmp_path: Path) -> None:
    action = S3List.model_validate(
        {"source": "s3://box/in/", "inventory": str(tmp_path / "list.csv")}
    )
    context = make_step(tmp_path, FakeStorage(BODIES))
    action.run(context)
    assert (tmp_path / "list.csv").read_text().count("\n") == 4
    assert list(action.tracked_paths(context, {})) == [str(tmp_path / "list.csv")]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"versions": True, "recursive": False}, "'versions' lists recursively"),
        ({"inventory": "/tmp/a.txt"}, "'inventory' must end with one of .jsonl, .csv, .parquet"),
        ({"limit": 0}, "greater than or equal to 1"),
    ],
)
def test_mistakes(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        S3List.model_validate({"source": "s3://box/in/", **fields})


def test_permissions_predictions_and_the_survey(tmp_path: Path) -> None:
    action = S3List.model_validate({"source": "s3://box/in/"})
    (needed,) = action.permissions()["role"]
    assert (needed.action, needed.resource) == ("s3:ListBucket", "arn:aws:s3:::box")
    assert action.predict_outputs()["objects"].prefix == S3Uri("box", "in/")
    context = make_step(tmp_path, FakeStorage(BODIES), Recorded())
    assert action.survey(context) == {"count": 3, "bytes": 6}
    versions = S3List.model_validate({"source": "s3://box/in/", "versions": True})
    assert versions.permissions()["role"][0].action == "s3:ListBucketVersions"
    assert versions.predict_outputs()["objects"].versions is True
