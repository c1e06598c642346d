"""Types of fields: values, limits, and expressions in their place."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from rolerunner.model import S3Uri
from rolerunner.redaction.secrets import SecretValue
from rolerunner.spec.expressions import parse_template
from rolerunner.spec.field_types import (
    TEMPLATES_ALLOWED,
    Account,
    Bytes,
    CustomerKey,
    Flag,
    Integer,
    Name,
    Rate,
    S3Location,
    S3Object,
    Seconds,
    StrictModel,
    Text,
)

KEY = base64.b64encode(b"z" * 32).decode()


def read(kind: Any, value: Any, **context: Any) -> Any:
    return TypeAdapter(kind).validate_python(value, strict=True, context=context)


def message(kind: Any, value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        read(kind, value)
    return caught.value.errors()[0]["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        (S3Location, "s3://box/in/", S3Uri("box", "in/")),
        (S3Location, S3Uri("box"), S3Uri("box")),
        (S3Object, "s3://box/a", S3Uri("box", "a")),
        (S3Object, f"s3://box/{'k' * 1024}", S3Uri("box", "k" * 1024)),
        (Seconds, "1m", 60.0),
        (Seconds, 5, 5.0),
        (Bytes, "1KiB", 1024),
        (Bytes, 7, 7),
        (Rate, "50MB/s", 50_000_000),
        (Rate, "1KiB", 1024),
        (Account, "000011112222", "000011112222"),
    ],
)
def test_texts_are_parsed(kind: Any, value: Any, result: Any) -> None:
    found = read(kind, value)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("kind", "value", "start"),
    [
        (S3Location, "box/in", "must be s3://bucket/key, not 'box/in'"),
        (S3Object, "s3://box/in/", "must name one object, not the prefix 's3://box/in/'"),
        (S3Object, "s3://box", "must name one object, not the prefix 's3://box/'"),
        (S3Object, f"s3://box/{'k' * 1025}", "has a key of 1,025 bytes, 1,024 at most: s3://box"),
        (S3Object, "s3://box/" + "\xe9" * 513, "has a key of 1,026 bytes, 1,024 at most: s3://box"),
        (Account, "12345", "must be an account id of twelve digits, not '12345'"),
        (Account, 11112222, 'is text; write "000011112222" in quotes'),
        (CustomerKey, "eA==", "must be 32 bytes in base64"),
        (CustomerKey, "not base64!", "must be 32 bytes in base64"),
        (Seconds, True, "Input should be a valid number"),
        (Integer, "1", "Input should be a valid integer"),
        (Integer, True, "Input should be a valid integer"),
        (Flag, 1, "Input should be a valid boolean"),
        (Text, 1, "Input should be a valid string"),
    ],
)
def test_mistakes(kind: Any, value: Any, start: str) -> None:
    assert message(kind, value).startswith(start)


def test_a_customer_key_is_a_secret_with_its_digest() -> None:
    key = read(CustomerKey, KEY)
    assert isinstance(key, SecretValue)
    assert key == KEY
    assert isinstance(key.digest, SecretValue)
    assert "eA==" not in message(CustomerKey, "eA=="), "errors do not show it"


class Fields(StrictModel):
    count: int = 0
    names: tuple[str, ...] = ()


@pytest.mark.parametrize("field", ["count", "names"])
def test_an_expression_takes_any_fields_place_while_a_spec_is_checked(field: str) -> None:
    template = parse_template("${{ params.x }}")
    made = Fields.model_validate({field: template}, context=TEMPLATES_ALLOWED)
    assert getattr(made, field) is template
    with pytest.raises(ValidationError):
        Fields.model_validate({field: template})


def test_models_are_strict_and_frozen() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Fields.model_validate({"cont": 1})
    with pytest.raises(ValidationError, match="Instance is frozen"):
        Fields().count = 2  # type: ignore[misc]  # what the test is about


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_a_name_cannot_be_empty(value: str) -> None:
    with pytest.raises(ValidationError, match="must be a name, and is empty"):
        TypeAdapter(Name).validate_python(value)
