"""Objects and files against what is expected of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from rolerunner.spec_testing.compare_contents import compare_content
from rolerunner.spec_testing.contents import Content
from rolerunner.spec_testing.expectations import ExpectedObject

if TYPE_CHECKING:
    from rolerunner.spec_testing.case import Case

NO_CASE = cast("Case", None)
BODY = Content(body=b'{"a": 1}', stored={"content_type": "text/csv", "tags": {}})


def compare(fields: dict[str, Any], found: Content | None) -> list[str]:
    expected = ExpectedObject.model_validate(fields)
    made = compare_content("objects.x", expected, found, NO_CASE)
    return [f"{each.what}: {each.expected} | {each.seen}" for each in made]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"text": '{"a": 1}', "size": 8},
        {"contains": "a*1", "json": {"a": 1}},
        {"content_type": "text/csv", "tags": {}},
    ],
)
def test_an_object_as_expected(fields: dict[str, Any]) -> None:
    assert compare(fields, BODY) == []


@pytest.mark.parametrize(
    ("fields", "mismatch"),
    [
        ({"size": 9}, "objects.x.size: 9 | 8"),
        ({"json": {"a": True}}, 'objects.x.json: {"a": true} | {"a": 1}'),
        ({"gzip": "x"}, 'objects.x.gzip: "x" | "not gzip: 8 bytes"'),
        ({"contains": "b"}, 'objects.x.contains: a text with "b" | "{\\"a\\": 1}"'),
        ({"storage_class": "GLACIER"}, 'objects.x.storage_class: "GLACIER" | null'),
        ({"absent": True}, "objects.x: nothing there | "),
    ],
)
def test_an_object_that_differs(fields: dict[str, Any], mismatch: str) -> None:
    (shown,) = compare(fields, BODY)
    assert shown.startswith(mismatch)


def test_nothing_there() -> None:
    assert compare({"text": "x"}, None) == ["objects.x: something there | nothing there"]
    assert compare({"absent": True}, None) == []


@pytest.mark.parametrize(
    ("fields", "names", "mismatches"),
    [
        ({"count": 2}, ("a", "b"), []),
        ({"count": 1}, ("a", "b"), ["objects.x.count: 1 | 2"]),
        ({"names": ["b", "a"]}, ("a", "b"), []),
        ({"names": ["a"]}, (), ['objects.x.names: ["a"] | []']),
        ({"absent": True}, (), []),
        ({}, (), ["objects.x: something there | nothing there"]),
    ],
)
def test_the_names_of_a_folder(
    fields: dict[str, Any], names: tuple[str, ...], mismatches: list[str]
) -> None:
    assert compare(fields, Content(body=b"", names=names, stored={})) == mismatches
