"""The fields that every step has, at their limits."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.spec.expressions import parse_template
from rolerunner.spec.field_types import TEMPLATES_ALLOWED
from rolerunner.spec.step_fields import Defaults, RetryFields, StepFields

EXPRESSION = parse_template("${{ steps.a.count }}")


def read(**fields: Any) -> StepFields:
    values = {"id": "a", "action": "s3.list", **fields}
    return StepFields.model_validate(values, context=TEMPLATES_ALLOWED)


def message(read_fields: Any, **fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        read_fields(**fields)
    return caught.value.errors()[0]["msg"].removeprefix("Value error, ")


def test_defaults() -> None:
    fields = read()
    assert (fields.when, fields.for_each, fields.needs, fields.retry) == (
        "on_success",
        None,
        None,
        None,
    )
    assert (fields.role, fields.timeout, fields.on_error) == (None, None, None)
    assert (fields.permissions, fields.secret_outputs, fields.description) == ([], [], "")
    retry = RetryFields()
    assert (retry.attempts, retry.delay, retry.backoff, retry.max_delay) == (3, 2.0, 2.0, 60.0)


@pytest.mark.parametrize("when", ["on_success", "on_failure", "always", EXPRESSION])
def test_when(when: Any) -> None:
    assert read(when=when).when == when


@pytest.mark.parametrize(
    "loop",
    [
        [],
        ["a"],
        EXPRESSION,
        {"items": []},
        {"items": EXPRESSION},
        {"items": ["a"], "max_parallel": 1},
        {"items": ["a"], "max_parallel": 64},
    ],
)
def test_for_each(loop: Any) -> None:
    assert read(for_each=loop).for_each == loop


@pytest.mark.parametrize(
    ("fields", "start"),
    [
        (
            {"when": "sometimes"},
            "must be one of on_success, on_failure, always, or an expression, not 'sometimes'",
        ),
        (
            {"for_each": "a"},
            "must be a list, an expression, or a mapping with 'items' and 'max_parallel'",
        ),
        ({"for_each": {}}, "must be a list, an expression, or a mapping with 'items' and"),
        ({"for_each": {"max_parallel": 2}}, "must be a list, an expression, or a mapping with"),
        ({"for_each": {"items": [], "x": 1}}, "must be a list, an expression, or a mapping with"),
        ({"for_each": {"items": "a"}}, "'items' of 'for_each' must be a list or an expression"),
        (
            {"for_each": {"items": [], "max_parallel": 0}},
            "'max_parallel' of 'for_each' must be 1 to 64",
        ),
        (
            {"for_each": {"items": [], "max_parallel": 65}},
            "'max_parallel' of 'for_each' must be 1 to 64",
        ),
        (
            {"for_each": {"items": [], "max_parallel": True}},
            "'max_parallel' of 'for_each' must be 1 to 64",
        ),
        (
            {"for_each": {"items": [], "max_parallel": "2"}},
            "'max_parallel' of 'for_each' must be 1 to 64",
        ),
        ({"role": ["a"]}, "must be an alias, an ARN, or job, not a list"),
        ({"role": 5}, "must be an alias, an ARN, or job, not 5"),
        ({"on_error": "ignore"}, "Input should be 'fail' or 'continue'"),
        ({"needs": "a"}, "Input should be a valid list"),
        ({"timeout": True}, "Input should be a valid number"),
        ({"unknown": 1}, "Extra inputs are not permitted"),
    ],
)
def test_mistakes(fields: dict[str, Any], start: str) -> None:
    assert message(read, **fields).startswith(start)


@pytest.mark.parametrize(
    "fields",
    [{"attempts": 1}, {"attempts": 20}, {"backoff": 1}, {"backoff": 10}, {"delay": "0s"}],
)
def test_retries_at_their_limits(fields: dict[str, Any]) -> None:
    RetryFields.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "start"),
    [
        ({"attempts": 0}, "Input should be greater than or equal to 1"),
        ({"attempts": 21}, "Input should be less than or equal to 20"),
        ({"backoff": 0.9}, "Input should be greater than or equal to 1"),
        ({"backoff": 10.1}, "Input should be less than or equal to 10"),
        ({"delay": "soon"}, "'soon' is not a duration such as 30s, 15m, 2h or 1h30m"),
    ],
)
def test_retries_beyond_their_limits(fields: dict[str, Any], start: str) -> None:
    assert message(lambda **each: RetryFields.model_validate(each), **fields).startswith(start)


@pytest.mark.parametrize("role", [None, "reader", "job"])
def test_the_role_of_all_steps_is_text(role: Any) -> None:
    assert Defaults.model_validate({"role": role}).role == role
    assert message(lambda **each: Defaults.model_validate(each), role=["reader"]) == (
        "must be an alias, an ARN, or job, not a list"
    )
