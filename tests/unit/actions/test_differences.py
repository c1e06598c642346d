"""Differences of two sides: counts, lists, reports, and the failure that names them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from rolerunner.actions.comparison_sides import Side
from rolerunner.actions.comparisons import DIFFERENT, UNPROVEN, LocalFile
from rolerunner.actions.differences import (
    EXTRA,
    MISSING,
    DifferenceRecorder,
    Differences,
    describe_differences,
    describe_failures,
)
from rolerunner.errors import AccessDenied
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo
from tests.unit.actions.context import Recorded, make_context

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.storage.protocol import Storage

SOURCE = Side(lambda: iter(()), cast("Storage", object()), S3Uri("from", "in/"))
TARGET = Side(lambda: iter(()), cast("Storage", object()), S3Uri("to", "out/"))
FOLDER = Side(lambda: iter(()))
ONE, OTHER = ObjectInfo("in/a", 3), ObjectInfo("out/a", 4)


def test_a_message_names_three_of_each_kind() -> None:
    found = Differences()
    for name in "abcd":
        found.add(MISSING, name)
    found.add(DIFFERENT, "it's")
    assert (found.total, found.seen) == (5, 5)
    assert found.describe() == "4 missing ('a', 'b', 'c', ...); 1 different (\"it's\")"


def test_hints_fit_the_differences() -> None:
    found = Differences()
    found.add(UNPROVEN, "a")
    failure = describe_differences(found, "s3://from/in/", "out", "")
    assert failure.message == "s3://from/in/ and out differ: 1 unproven ('a')"
    assert [each.partition("'")[2].partition("'")[0] for each in failure.hint.splitlines()] == [
        "read: true",
        "report: FILE",
    ]
    found = Differences()
    found.add(EXTRA, "a")
    assert describe_differences(found, "a", "b", "r.csv").hint == (
        "r.csv has a line for each difference"
    )


def test_pairs_that_could_not_be_compared() -> None:
    found = Differences(failed=2, error=AccessDenied("no GetObject", hint="grant it"))
    failure = describe_failures(found)
    assert failure.message == "2 objects could not be compared: no GetObject"
    assert failure.hint == "grant it"


def record(folder: Path, target: Side = TARGET, report: str = "") -> tuple[Any, Recorded]:
    recorded = Recorded()
    recorder = DifferenceRecorder(make_context(folder, recorded), SOURCE, target)
    with recorder.open(folder / report if report else None):
        recorder.add_same(ObjectInfo("in/same", 10))
        recorder.add(MISSING, "m", ObjectInfo("in/m", 1), None)
        recorder.add(DIFFERENT, "a", ONE, OTHER, "3 bytes, not 4")
        recorder.add(EXTRA, "x", None, ObjectInfo("out/x", 5))
        recorder.add_failure("f", ONE, OTHER, AccessDenied("no", hint="ask"))
    return recorder, recorded


def test_each_kind_has_a_list_of_objects(tmp_path: Path) -> None:
    recorder, recorded = record(tmp_path)
    lists = recorder.lists()
    assert {kind: [each.key for each in found] for kind, found in lists.items()} == {
        "missing": ["in/m"],
        "extra": ["out/x"],
        "different": ["in/a"],
        "unproven": [],
    }
    assert (lists[EXTRA].prefix, lists[MISSING].prefix) == (TARGET.prefix, SOURCE.prefix)
    found = recorder.found
    assert (found.seen, found.same, found.bytes, found.failed) == (5, 1, 10, 1)
    assert [each.objects for each in recorded.progress] == [2, 3, 4]


def test_a_report_of_json_lines(tmp_path: Path) -> None:
    record(tmp_path, report="r.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [(row["key"], row["status"]) for row in rows] == [
        ("m", "missing"),
        ("a", "different"),
        ("x", "extra"),
        ("f", "failed"),
    ]
    assert (rows[1]["source_size"], rows[1]["target_size"]) == (3, 4)
    assert rows[3]["reason"] == "no"


def test_a_report_as_csv(tmp_path: Path) -> None:
    record(tmp_path, report="r.csv")
    lines = (tmp_path / "r.csv").read_text().splitlines()
    assert lines[0] == "key,status,source_size,target_size,reason"
    assert lines[2] == 'a,different,3,4,"3 bytes, not 4"'


def test_a_report_that_is_not_finished_does_not_appear(tmp_path: Path) -> None:
    recorder = DifferenceRecorder(make_context(tmp_path), SOURCE, TARGET)
    with pytest.raises(AccessDenied), recorder.open(tmp_path / "r.csv"):
        raise AccessDenied("no", hint="ask")
    assert not (tmp_path / "r.csv").exists()


def test_an_extra_file_is_in_no_list_of_objects(tmp_path: Path) -> None:
    recorder = DifferenceRecorder(make_context(tmp_path), SOURCE, FOLDER)
    with recorder.open(tmp_path / "r.jsonl"):
        recorder.add(EXTRA, "x", None, LocalFile("/x", 5))
        recorder.add(EXTRA, "line", None, ObjectInfo("line", 0, checksum="MD5:x"))
    assert list(recorder.lists()[EXTRA]) == []
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [row["target_size"] for row in rows] == [5, None]  # a checksum has no size
