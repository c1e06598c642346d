"""S3's XML is read and written exactly."""

from __future__ import annotations

import pytest

from rolerunner.errors import ServiceFailed
from rolerunner.storage.http import xml


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<R><ETag>&quot;a&amp;b&quot;</ETag></R>", '"a&b"'),
        (b"<R><ETag>cut off", ""),
        (b"<R></R>", ""),
        (b"<R><ETag><Inner/></ETag></R>", ""),
    ],
)
def test_the_text_of_an_element(body: bytes, expected: str) -> None:
    assert xml.find_field(body, "ETag") == expected


def test_tags_have_the_format_of_the_header() -> None:
    body = b"<Tagging><TagSet><Tag><Key>a b</Key><Value>1&amp;2</Value></Tag></TagSet></Tagging>"
    assert xml.parse_tags(body) == "a%20b=1%262"
    assert xml.parse_tags(b"") == ""
    with pytest.raises(ServiceFailed, match="TagSet"):
        xml.parse_tags(b"<html/>")


@pytest.mark.parametrize(
    ("text", "is_safe"), [("a/ü&<\n\t", True), ("a\r", False), ("\x01", False), ("\ud800", False)]
)
def test_some_characters_are_not_preserved(text: str, is_safe: bool) -> None:
    assert xml.is_xml_safe(text) is is_safe


def test_a_deletion_names_versions_and_conditions() -> None:
    body = xml.render_delete([("a\n&b", "v1", ""), ("c", "", "e1")]).decode()
    assert "<Object><Key>a&#10;&amp;b</Key><VersionId>v1</VersionId></Object>" in body
    assert "<Object><Key>c</Key><ETag>&quot;e1&quot;</ETag></Object>" in body


@pytest.mark.parametrize(
    "deleted",
    [
        b"<Deleted><Key>a&amp;b</Key><VersionId>v1</VersionId></Deleted>",
        b"<Deleted><VersionId>v1</VersionId><Key>a&amp;b</Key></Deleted>",
    ],
    ids=["usual", "another order"],
)
def test_a_delete_result_is_parsed(deleted: bytes) -> None:
    failed = b"<Error><Key>c</Key><Code>AccessDenied</Code></Error>"
    result = xml.parse_delete_result(b"<DeleteResult>" + deleted + failed + b"</DeleteResult>")
    assert result.has("a&b", "v1")
    assert not result.has("a&b", "v2")
    assert not result.has("c", "")
    error = result.error_of("c", "v9")
    assert error is not None
    assert error["Code"] == "AccessDenied"
    assert result.error_of("a&b", "v1") is None
    assert not result.has_all([("a&b", "v1")])  # since one failed


def test_a_delete_result_names_all_or_not() -> None:
    result = xml.DeleteResult([("a", ""), ("b", "v")], ())
    assert result.has_all([("b", "v"), ("a", "")])
    assert not result.has_all([("a", ""), ("b", "")])


def test_another_body_is_no_delete_result() -> None:
    with pytest.raises(ServiceFailed, match="DeleteResult"):
        xml.parse_delete_result(b"<html/>")
