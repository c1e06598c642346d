"""Manifests and files of S3 Inventory: columns of both kinds, versions, and other documents."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.selection.list_files.entries import BadLine
from rolerunner.selection.list_files.inventory_places import find_data_prefix
from rolerunner.selection.list_files.s3_inventory import (
    parse_manifest,
    read_csv_file,
    read_parquet_rows,
)

MD5 = "0123456789ABCDEF0123456789abcdef"
MANIFEST = {
    "fileFormat": "CSV",
    "fileSchema": "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag",
    "files": [{"key": "in/data/1.csv.gz", "size": 7, "MD5checksum": MD5}],
}
COLUMNS = ("bucket", "key", "version", "latest", "deleted", "size", "modified", "etag")
CURRENT = 'box,a%20b%2Bc,v2,true,false,3,2026-01-31T00:00:00.123Z,"e1"'
OLD = "box,a%20b%2Bc,v1,false,false,2,2026-01-30T00:00:00.000Z,e0"
MARKER = "box,gone,v9,true,true,,2026-01-30T00:00:00.000Z,"


def read(*rows: str, versions: bool, columns: tuple[str, ...] = COLUMNS) -> list[Any]:
    lines = iter([(number, f"{row}\n") for number, row in enumerate(rows, 1)])
    return list(read_csv_file(lines, columns, "list", versions=versions))


def test_the_columns_of_a_manifest_have_our_names() -> None:
    manifest = parse_manifest(json.dumps(MANIFEST).encode(), "m")
    assert manifest.columns == COLUMNS
    (file,) = manifest.files
    assert (file.key, file.size, file.md5) == ("in/data/1.csv.gz", 7, MD5.lower())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fileFormat": "ORC"}, "m: has the format ORC"),
        ({"fileFormat": None}, "m: has the format None"),
        ({"files": {}}, "m: is no manifest of S3 Inventory: it has no 'files'"),
        ({"files": [{}]}, "m: has a file without key, size and MD5checksum"),
        ({"files": [{**MANIFEST["files"][0], "MD5checksum": "x"}]}, "m: has a file without key"),  # type: ignore[dict-item]
        ({"fileSchema": "Bucket, Size"}, "m: has no column Key in its 'fileSchema'"),
        ({"fileSchema": None}, "m: has no column Key in its 'fileSchema'"),
    ],
)
def test_another_manifest_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(StepError) as failed:
        parse_manifest(json.dumps({**MANIFEST, **change}).encode(), "m")
    assert str(failed.value).startswith(message)
    assert failed.value.type == "BadList"


@pytest.mark.parametrize("data", [b"", b"x", b"[1]", b"[" * 100_000, b"\xff"])
def test_another_document_is_no_manifest(data: bytes) -> None:
    with pytest.raises(StepError, match="no manifest of S3 Inventory"):
        parse_manifest(data, "m")


def test_current_objects_alone_without_versions() -> None:
    (entry,) = read(CURRENT, OLD, MARKER, versions=False)
    assert (entry.line, entry.bucket, entry.info.key) == (1, "box", "a b+c")
    assert (entry.info.size, entry.info.etag, entry.info.version) == (3, "e1", "")
    assert entry.info.modified == "2026-01-31T00:00:00Z"


def test_every_version_and_delete_marker_with_versions() -> None:
    entries = read(CURRENT, OLD, MARKER, versions=True)
    assert [(each.info.version, each.info.size, each.info.deleted) for each in entries] == [
        ("v2", 3, False),
        ("v1", 2, False),
        ("v9", 0, True),
    ]


@pytest.mark.parametrize(
    ("row", "versions", "problem"),
    [
        ("box,a", False, "has 2 of 8 columns"),
        ("box,a,v,true,false,x,m,e", False, "has no size"),
        ("box,a,,true,false,3,m,e", True, "has no version, but 'versions' is true"),
        ("box,a,v,true,false,3,m,", True, "has no Size and ETag, which versions need"),
        ("box,,v,true,false,3,m,e", False, "has no key, but nothing"),
    ],
)
def test_a_row_that_names_no_object(row: str, versions: bool, problem: str) -> None:
    good, bad = read(CURRENT, row, versions=versions)
    assert good.info.key == "a b+c"
    assert bad == BadLine(2, problem)


@pytest.mark.parametrize("row", ['box,"a', "box,%ff,v,true,false,3,m,e"])
def test_a_file_that_is_not_an_inventory(row: str) -> None:
    with pytest.raises(StepError, match=r"^list:2: is not an inventory: "):
        read(CURRENT, row, versions=False)


def test_rows_of_parquet_have_columns_in_snake_case_and_times() -> None:
    time = datetime(2026, 1, 31, tzinfo=timezone.utc)
    row = {"bucket": "box", "key": "a%20b", "size": 3, "last_modified_date": time, "e_tag": "e"}
    (entry,) = read_parquet_rows(iter([row]), versions=False)
    assert not isinstance(entry, BadLine)
    assert (entry.info.key, entry.info.size, entry.info.etag) == ("a%20b", 3, "e")
    assert entry.info.modified == "2026-01-31T00:00:00Z"


def test_the_files_of_an_inventory_are_beside_its_manifests() -> None:
    manifest = S3Uri("lists", "in/box/daily/2026-01-31T01-00Z/manifest.json")
    assert find_data_prefix(manifest) == S3Uri("lists", "in/box/daily/data/")
