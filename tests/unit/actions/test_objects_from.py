"""The mapping that names a file which lists objects."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.objects_from import ObjectsFrom
from rolerunner.model import S3Uri
from rolerunner.selection.list_files.inventory_places import find_data_prefix


def build(place: str, **fields: Any) -> ObjectsFrom:
    return ObjectsFrom.model_validate({"from": place, **fields})


@pytest.mark.parametrize(
    ("place", "form"),
    [
        ("s3://ops/l.csv", "csv"),
        ("s3://ops/l.CSV.gz", "csv"),
        ("/x/l.ndjson", "jsonl"),
        ("l.json", "jsonl"),
        ("s3://ops/l.parquet", "parquet"),
        ("s3://ops/x/manifest.json", "s3_inventory"),
        ("s3://ops/l.gz", "text"),
        ("s3://ops/list", "text"),
        ("s3://ops/a.csv/list.2026-01-31", "text"),
    ],
)
def test_name_tells_the_format(place: str, form: str) -> None:
    assert build(place).find_format() == form
    assert build(place, format="csv").find_format() == "csv"


@pytest.mark.parametrize(
    ("place", "fields", "message"),
    [
        ("s3://ops/", {}, "must name one file"),
        ("s3://B!/l", {}, "is not a bucket name"),
        ("http://ops/l", {}, "must be a path on this machine"),
        ("/x/l", {"role": "ops"}, "'role' is for a list in S3"),
        ("/x/l", {"column": "k"}, "'column' is for CSV"),
        ("/x/l.csv", {"versions": True}, "'versions' is for an S3 Inventory"),
        ("/x/l.csv", {"format": "xml"}, "Input should be 'text'"),
    ],
)
def test_mistakes(place: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        build(place, **fields)
    assert message in str(caught.value)


def test_prediction_has_the_prefix_and_what_is_known_of_versions() -> None:
    found = build("s3://ops/l.txt", prefix="s3://landing/in/").predict()
    assert (found.prefix, found.flat, found.versions, found.is_bare) == (
        S3Uri("landing", "in/"),
        False,
        False,
        True,
    )
    assert build("s3://ops/l.jsonl").predict().versions is None
    assert build("s3://ops/l.jsonl", column="k").predict().versions is False
    every = build("s3://ops/manifest.json", versions=True).predict()
    assert (every.versions, every.is_bare) == (True, False)


def test_permissions_are_for_the_list_alone() -> None:
    def resources(place: str) -> list[tuple[str, str]]:
        return [(each.action, each.resource) for each in build(place).permissions()]

    listed = ("s3:ListBucket", "arn:aws:s3:::ops")
    assert resources("/x/l") == []
    assert resources("s3://ops/l") == [listed, ("s3:GetObject", "arn:aws:s3:::ops/l")]
    assert resources("s3://ops/i/b/all/2026/manifest.json")[2:] == [
        ("s3:GetObject", "arn:aws:s3:::ops/i/b/all/data/*")
    ]


def test_data_of_an_inventory_lies_beside_its_manifests() -> None:
    manifest = S3Uri("ops", "i/b/all/2026-01-31T01-00Z/manifest.json")
    assert find_data_prefix(manifest) == S3Uri("ops", "i/b/all/data/")
    assert find_data_prefix(S3Uri("ops", "manifest.json")) == S3Uri("ops", "data/")
