"""Lines of text, CSV and JSON as objects: keys, URIs, details, and lines that name none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rolerunner.errors import StepError
from rolerunner.selection.list_files.entries import (
    UNKNOWN_SIZE,
    BadLine,
    ListedObject,
    parse_name,
    read_csv,
    read_json_lines,
    read_text,
)


def number(text: str) -> Any:
    return iter(enumerate(text.splitlines(), 1))


def show(entries: Any) -> list[Any]:
    return [
        (each.line, each.problem)
        if isinstance(each, BadLine)
        else (each.line, each.bucket, each.info.key, each.info.size)
        for each in entries
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b", ("", "a/b")),
        (" a ", ("", " a ")),
        ("s3://box/a b", ("box", "a b")),
        ("s3:/box/a", ("", "s3:/box/a")),
        ("\xe9" * 512, ("", "\xe9" * 512)),
    ],
)
def test_a_line_is_a_key_or_a_uri(text: str, expected: tuple[str, str]) -> None:
    entry = parse_name(3, text)
    assert isinstance(entry, ListedObject)
    assert (entry.line, entry.bucket, entry.info.key) == (3, *expected)
    assert entry.info.size == UNKNOWN_SIZE


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no key, but nothing"),
        ("s3://box", "names no object: it is the bucket 's3://box'"),
        ("s3://x/a", "names no object: 'x' is not a bucket name in 's3://x/a'"),
        ("a\0b", "names no object: it contains a NUL character"),
        ("\xe9" * 513, "names no object: it has a key of 1,026 bytes, 1,024 at most"),
    ],
)
def test_a_line_that_names_no_object(text: str, problem: str) -> None:
    entry = parse_name(3, text)
    assert isinstance(entry, BadLine)
    assert (entry.line, entry.problem[: len(problem)]) == (3, problem)


def test_empty_lines_of_text_are_left_out() -> None:
    assert show(read_text(number("a\n\nb"))) == [(1, "", "a", -1), (3, "", "b", -1)]


def test_records_of_a_manifest_keep_their_details_and_leave_out_failures() -> None:
    records = [
        {"key": "a", "size": 3, "etag": "e", "status": "succeeded"},
        {"key": "b", "status": "failed"},
        {"uri": "s3://box/c", "key": "other", "size": True, "etag": "e"},
        {"key": "d", "size": -1},
        {"key": "e", "bucket": "box", "size": 1, "deleted": True},
        {"size": 1},
        {"key": 5},
    ]
    entries = list(read_json_lines(number("\n".join(map(json.dumps, records))), ""))
    assert show(entries) == [
        (1, "", "a", 3),
        (3, "box", "c", UNKNOWN_SIZE),
        (4, "", "d", UNKNOWN_SIZE),
        (5, "box", "e", 1),
        (6, "has no key, but nothing"),
        (7, "has no key, but nothing"),
    ]
    first, third, deleted = entries[0], entries[1], entries[3]
    assert isinstance(first, ListedObject)
    assert isinstance(third, ListedObject)
    assert isinstance(deleted, ListedObject)
    assert (first.info.etag, third.info.etag, deleted.info.deleted) == ("e", "", True)


@pytest.mark.parametrize(
    ("line", "column", "problem"),
    [
        ("[1]", "", "is not a JSON object"),
        ("{", "", "is not JSON: Expecting property name"),
        ("[" * 100_000, "", "is not JSON: "),
        ('{"a": 1}', "name", "has no field 'name'"),
        ('{"name": 1}', "name", "has no key in 'name', but a number"),
        ('{"name": ""}', "name", "has no key in 'name', but nothing"),
    ],
)
def test_a_line_of_json_that_names_no_object(line: str, column: str, problem: str) -> None:
    ((number_of_line, found),) = show(read_json_lines(number(line), column))
    assert number_of_line == 1
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("key,size\na,1", "", [(2, "", "a", -1)]),
        ("name\na\n\nb", "", [(2, "", "a", -1), (4, "", "b", -1)]),
        ("x,name\n1,a\n2", "name", [(2, "", "a", -1), (3, "has no value in the column 'name'")]),
        (
            "uri,key,size,etag,modified\ns3://box/a,a,7,e,m\ns3://box/b,b,,e,m",
            "",
            [(2, "box", "a", 7), (3, "has no size, but nothing")],
        ),
        ('key\n"a\nb"\nc', "", [(2, "", "a\nb", -1), (4, "", "c", -1)]),
        ("", "", []),
    ],
)
def test_rows_of_csv(text: str, column: str, expected: list[Any]) -> None:
    assert show(read_csv(number(text), column, "list")) == expected


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("a,b\n1,2", "", "list:1: has several columns; it has a, b"),
        ("a,b\n1,2", "c", "list:1: has no column 'c'; it has a, b"),
        ('key\n"a', "", "list:2: is not CSV: unexpected end of data"),
        ('key\nx"a"\n"b"c', "", "list:3: is not CSV: "),
    ],
)
def test_a_file_that_is_no_list(text: str, column: str, message: str) -> None:
    with pytest.raises(StepError) as failed:
        list(read_csv(number(text), column, "list"))
    assert str(failed.value).startswith(message)
