from __future__ import annotations

from typing import Any

import pytest

from awsglue import _fields
from awsglue._files import Files, _spark_options, _spark_path
from awsglue.gluetypes import DynamicRecord
from awsglue.local import LocalGlueError


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("id", ("id",)),
        ("address.city", ("address", "city")),
        ("`old.name`", ("old.name",)),
        ("a.`b.c`.d", ("a", "b.c", "d")),
        ("a b", ("a b",)),
    ],
)
def test_paths_are_split_at_dots(text: str, path: tuple[str, ...]) -> None:
    assert _fields.parse_path(text) == path


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "`a", "a`b`", "a[].b"])
def test_other_texts_are_no_paths(text: str) -> None:
    with pytest.raises(LocalGlueError):
        _fields.parse_path(text)


def test_columns_form_a_tree() -> None:
    tree: _fields.Tree = {}
    one: Any = object()
    two: Any = object()
    _fields.insert(tree, ("a", "b"), one)
    _fields.insert(tree, ("a", "c"), two)
    assert tree == {"a": {"b": one, "c": two}}
    with pytest.raises(LocalGlueError, match=r"'a\.b' is given twice"):
        _fields.insert(tree, ("a", "b"), two)
    with pytest.raises(LocalGlueError, match="inside a field that is selected whole"):
        _fields.insert(tree, ("a", "b", "c"), two)


def test_types_that_only_glue_has_are_refused() -> None:
    assert _fields.spark_type("Long") == "long"
    assert _fields.spark_type("struct") is None
    with pytest.raises(LocalGlueError, match="'choice' exists in Glue alone"):
        _fields.spark_type("choice")


def test_a_record_has_its_fields_as_attributes() -> None:
    record = DynamicRecord(id=1)
    record.name = "a"
    assert (record.id, record["name"]) == (1, "a")
    with pytest.raises(AttributeError, match="no field 'nme'; its fields are id, name"):
        _ = record.nme


def test_s3_paths_are_read_by_hadoops_connector() -> None:
    assert _spark_path("s3://bucket/a/") == "s3a://bucket/a/"
    assert _spark_path("/data/a") == "/data/a"


def test_options_of_glue_become_options_of_spark() -> None:
    given = {"withHeader": True, "separator": ";", "quoteChar": -1, "optimizePerformance": True}
    assert _spark_options("csv", given) == {
        "sep": ";",
        "quote": "",
        "escape": '"',
        "multiLine": "false",
        "header": "true",
    }
    assert _spark_options("csv", {"writeHeader": False}, writing=True)["header"] == "false"
    assert _spark_options("parquet", {"compression": "gzip"}) == {"compression": "gzip"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (Files("mysql", "csv"), "connection type 'mysql' is not available"),
        (Files("s3", "ion", {"path": "a"}), "format 'ion' is not available"),
        (Files("s3", None, {"path": "a"}), "format None is not available"),
        (Files("s3", "csv", {"path": "a", "exclusions": "[]"}), "connection option 'exclusions'"),
        (Files("s3", "csv", {"path": "a"}, {"skipFirst": True, "withHeader": True}), "skipFirst"),
        (Files("s3", "json", {"path": "a"}, {"jsonPath": "$.id"}), "format option 'jsonPath' of"),
    ],
)
def test_what_only_glue_reads_is_refused(files: Files, message: str) -> None:
    class Session:
        read = property(lambda self: self)

        def options(self, **options: str) -> None:
            raise AssertionError(options)

    session: Any = Session()
    with pytest.raises(LocalGlueError, match=message):
        files.read(session)
