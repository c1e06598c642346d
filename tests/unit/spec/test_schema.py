"""The top level of a spec and the location of its state, at their limits."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.spec.expressions import parse_template
from rolerunner.spec.field_types import TEMPLATES_ALLOWED
from rolerunner.spec.schema import LEAST_MEMORY, IncludedFile, SpecFile, StateFields

EXPRESSION = parse_template("${{ params.x }}")


def read_state(**fields: Any) -> StateFields:
    return StateFields.model_validate(fields, context=TEMPLATES_ALLOWED)


def read(**fields: Any) -> SpecFile:
    return SpecFile.model_validate({"version": 1, "name": "t", "steps": [{}], **fields})


def message(read_fields: Any, **fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        read_fields(**fields)
    (error,) = caught.value.errors()
    return error["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    "fields",
    [
        {"location": "/var/lib/state"},
        {"location": "s3://box/state/", "role": "job"},
        {"location": "/x", "stale_after": "1s"},
        {"location": "/x", "stale_after": EXPRESSION},
        {"location": EXPRESSION},
        {"location": EXPRESSION, "role": "job"},
    ],
)
def test_the_state(fields: dict[str, Any]) -> None:
    assert read_state(**fields).location == fields["location"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"location": "s3://box/x/"}, "'state' in S3 needs a 'role': an alias, an ARN, or job"),
        ({"location": "/x", "role": "job"}, "'role' of 'state' requires a 'location' in S3"),
        ({"location": "/x", "stale_after": "0.9s"}, "'stale_after' must be at least 1s"),
        ({"location": "s3:///x/", "role": "job"}, "'' is not a bucket name in 's3:///x/'"),
        (
            {"location": "s3://box/x/", "role": ["job"]},
            "must be an alias, an ARN, or job, not a list",
        ),
        ({"role": "job"}, "Field required"),
    ],
)
def test_mistakes_of_the_state(fields: dict[str, Any], expected: str) -> None:
    assert message(read_state, **fields).startswith(expected)


def test_defaults() -> None:
    spec = read()
    assert (spec.assume, spec.max_parallel, spec.on_failure, spec.engine) == (
        "first",
        4,
        "stop",
        "fast",
    )
    assert (spec.deadline, spec.memory, spec.state, spec.glue) == (None, None, None, None)
    assert read_state(location="/x").stale_after == 120.0


@pytest.mark.parametrize(
    "fields",
    [
        {"max_parallel": 1},
        {"max_parallel": 64},
        {"memory": LEAST_MEMORY},
        {"memory": "112MiB"},
        {"deadline": "6h"},
        {"engine": "boto3"},
        {"params": {"a": {"type": "choice", "choices": ["x"]}}},
    ],
)
def test_values_at_their_limits(fields: dict[str, Any]) -> None:
    read(**fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"version": 2}, "Input should be 1"),
        ({"name": "a b"}, "'a b' is not a name: a letter, then up to 63 letters, digits"),
        ({"steps": []}, "List should have at least 1 item after validation, not 0"),
        ({"max_parallel": 0}, "Input should be greater than or equal to 1"),
        ({"max_parallel": 65}, "Input should be less than or equal to 64"),
        ({"max_parallel": True}, "Input should be a valid integer"),
        ({"memory": LEAST_MEMORY - 1}, "Input should be greater than or equal to 117440512"),
        ({"engine": "slow"}, "Input should be 'fast' or 'boto3'"),
        ({"on_failure": "continue"}, "Input should be 'stop' or 'finish'"),
        ({"assume": "never"}, "Input should be 'first' or 'lazily'"),
        ({"params": {"a": {"type": "text"}}}, "Input should be 'string', 'integer', 'number'"),
        ({"params": {"a": {"pattern": "("}}}, "is not a valid regular expression: "),
        ({"step": []}, "Extra inputs are not permitted"),
    ],
)
def test_values_beyond_their_limits(fields: dict[str, Any], expected: str) -> None:
    assert message(read, **fields).startswith(expected)


def test_an_included_file_has_roles_alone() -> None:
    assert IncludedFile.model_validate({"roles": {"a": "x"}}).roles == {"a": "x"}
    wrong: list[dict[str, Any]] = [{}, {"roles": {}, "steps": []}]
    for values in wrong:
        with pytest.raises(ValidationError):
            IncludedFile.model_validate(values)
