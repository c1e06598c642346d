"""The limits of S3 on metadata, tags, headers and KMS keys, at their bounds."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from rolerunner.actions.object_values import Header, KmsKey, Metadata, StorageClass, Tags
from rolerunner.spec.field_types import PARTIAL_VALUES

ID = "1234abcd-12ab-34cd-56ef-1234567890ab"


def check(kind: Any, value: Any, **context: Any) -> str:
    """Returns the message of the first error; empty if the value is valid."""
    try:
        checked = TypeAdapter(kind).validate_python(value, context=context)
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    assert checked == value
    return ""


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("text/csv; charset=utf-8", ""),
        ("", ""),
        ("a b", ""),
        ("a\nb", "must not contain a line break: it is sent as an HTTP header"),
        ("a\rb", "must not contain a line break: it is sent as an HTTP header"),
        ("a\tb", "must not contain the control character U+0009: it is sent as an HTTP header"),
        ("a\x7f", "must not contain the control character U+007F: it is sent as an HTTP header"),
        (
            "caf\xe9",
            "must contain ASCII characters only, not '\xe9' (U+00E9): it is sent as an HTTP header",
        ),
        (" a", "must not begin or end with a space, which is lost in an HTTP header"),
        ("a ", "must not begin or end with a space, which is lost in an HTTP header"),
    ],
)
def test_headers(value: str, message: str) -> None:
    assert check(Header, value) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, ""),
        ({"Run-Id_1.x": "a"}, ""),
        ({"a": "x" * 2047}, ""),
        ({"a": "x" * 2048}, "must have at most 2,048 bytes in all names and values, not 2,049"),
        (
            {"a b": "x"},
            "'a b' is not a metadata name: use letters, digits, '-', '_' and '.'",
        ),
        ({"": "x"}, "'' is not a metadata name: use letters, digits, '-', '_' and '.'"),
        (
            {"X-Amz-Meta-a": "x"},
            "'X-Amz-Meta-a': write the name without x-amz-meta-, which S3 adds",
        ),
        (
            {"Run": "1", "run": "2"},
            "'Run' and 'run' are one name to S3, which stores names of metadata in lower case",
        ),
    ],
)
def test_metadata(value: dict[str, str], message: str) -> None:
    assert check(Metadata, value) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"k" * 128: "v" * 256}, ""),
        ({"k": ""}, ""),
        ({f"k{n}": "v" for n in range(10)}, ""),
        ({f"k{n}": "v" for n in range(11)}, "must have at most 10 tags, not 11"),
        ({"k" * 129: "v"}, "must have 1 to 128 characters as the key of a tag, not 129"),
        ({"": "v"}, "must have 1 to 128 characters as the key of a tag, not 0"),
        ({"k": "v" * 257}, "must have at most 256 characters as the value of a tag, not 257"),
        (
            {"AWS:a": "v"},
            "must not begin with aws: as the key of a tag, which AWS reserves",
        ),
    ],
)
def test_tags(value: dict[str, str], message: str) -> None:
    assert check(Tags, value) == message


@pytest.mark.parametrize("text", ["a!b", "a\nb", "a,b"])
def test_characters_that_no_tag_holds(text: str) -> None:
    assert "the key" in check(Tags, {text: "v"})
    assert "the value" in check(Tags, {"k": text})


@pytest.mark.parametrize(
    "value",
    [
        ID,
        f"mrk-{'a' * 32}",
        "alias/orders",
        f"alias/{'a' * 250}",
        f"arn:aws:kms:eu-west-1:111122223333:key/{ID}",
        "arn:aws-cn:kms:cn-north-1:111122223333:alias/a",
    ],
)
def test_kms_keys(value: str) -> None:
    assert check(KmsKey, value) == ""


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("orders", "; an alias is written alias/orders"),
        ("a/b", ""),
        ("alias/", ""),
        (f"alias/{'a' * 251}", ""),
        (f"mrk-{'a' * 31}", f"; an alias is written alias/mrk-{'a' * 31}"),
        (f"arn:aws:kms:eu-west-1:11112222333:key/{ID}", ""),
        (f"{ID}\n", ""),
        ("", ""),
    ],
)
def test_other_texts_are_no_kms_keys(value: str, hint: str) -> None:
    assert check(KmsKey, value) == (
        f"must be a KMS key's id, its ARN, alias/NAME or an alias's ARN, not '{value}'{hint}"
    )


def test_values_of_the_run_are_not_checked_before_it() -> None:
    partial = {PARTIAL_VALUES: True}
    assert check(Header, "a\n", **partial) == ""
    assert check(KmsKey, "*", **partial) == ""
    assert check(Tags, {"k": "!" * 300}, **partial) == ""
    assert check(Tags, {"k!": "v"}, **partial) != ""


def test_storage_classes_are_those_of_s3() -> None:
    assert check(StorageClass, "GLACIER_IR") == ""
    assert check(StorageClass, "glacier") != ""
