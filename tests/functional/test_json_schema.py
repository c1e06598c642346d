"""The published JSON Schemas contain only keywords of JSON Schema."""

from __future__ import annotations

import json
from typing import Annotated, Any, Optional

import jsonschema
import pytest
from pydantic import Field

from rolerunner.actions import registry
from rolerunner.cli.schema import render_schema
from rolerunner.plugin import Action, Integer
from rolerunner.spec.json_schema import build_schema

META = jsonschema.Draft7Validator.META_SCHEMA
STRICT = {**META, "additionalProperties": False}
"""The meta-schema, made strict: by itself it accepts unknown keywords, at every level."""


def schema(kind: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(render_schema(for_tests=kind == "test files"))
    return made


@pytest.mark.parametrize("kind", ["specs", "test files"])
def test_every_keyword_is_one_of_draft_7(kind: str) -> None:
    errors = jsonschema.Draft7Validator(STRICT).iter_errors(schema(kind))
    assert [(list(error.absolute_path), error.message) for error in errors] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"ge": 1},
        {"properties": {"x": {"anyOf": [{"le": 3}]}}},
        {"definitions": {"x": {"items": {"gt": 0}}}},
    ],
)
def test_the_strict_meta_schema_refuses_other_keywords_anywhere(wrong: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(META).validate(wrong)
    assert not jsonschema.Draft7Validator(STRICT).is_valid(wrong)


@pytest.mark.parametrize("number", [0, 21])
def test_bounds_hold_in_an_editor(number: int) -> None:
    spec = {
        "version": 1,
        "name": "t",
        "defaults": {"retry": {"attempts": number}},
        "steps": [{"id": "a", "action": "s3.list", "role": "job", "source": "s3://bucket/"}],
    }
    validator = jsonschema.Draft7Validator(schema("specs"))
    assert not validator.is_valid(spec)
    assert validator.is_valid({**spec, "defaults": {"retry": {"attempts": 3}}})


@pytest.mark.parametrize(
    ("environments", "fits"),
    [
        ({"dev": {"params": {"stage": "dev"}, "glue": {"schedule": None}, "state": None}}, True),
        ({"dev": None, "prod": {"roles": {"a": None, "b": {"external_id": None}}}}, True),
        ({"dev": {"state": {"location": "s3://dev/state/"}}}, True),
        ({"dev": {"notify": None, "glue": {"after": {"jobs": ["extract"]}}}}, True),
        ({"dev": {"steps": []}}, False),
        ({"dev": {"glue": {"shedule": None}}}, False),
        ({"dev": {"roles": {"a": {"external": None}}}}, False),
        ({"d/ev": {}}, False),
        (["dev"], False),
    ],
)
def test_an_editor_knows_what_environments_change(environments: Any, fits: bool) -> None:
    spec = {
        "version": 1,
        "name": "t",
        "environments": environments,
        "steps": [{"id": "a", "action": "s3.list", "role": "job", "source": "s3://bucket/"}],
    }
    assert jsonschema.Draft7Validator(schema("specs")).is_valid(spec) == fits


class Bounded(Action):
    """An action of another package whose field has bounds."""

    kind = "test.bounded"
    count: Annotated[Integer, Field(ge=1, le=5)] = Field(1, description="How many.", examples=[1])
    most: Optional[Annotated[Integer, Field(gt=0, lt=5)]] = Field(
        None, description="How many at most.", examples=[1]
    )


def test_bounds_of_other_packages_actions_are_json_schema_too() -> None:
    made = build_schema({**registry(), Bounded.kind: Bounded})
    assert list(jsonschema.Draft7Validator(STRICT).iter_errors(made)) == []
    step = {"id": "a", "action": "test.bounded", "role": "job"}
    for fields, fits in (
        ({"count": 5, "most": 4}, True),
        ({"count": 6}, False),
        ({"count": 0}, False),
        ({"most": 5}, False),
    ):
        assert (
            jsonschema.Draft7Validator(made).is_valid(
                {"version": 1, "name": "t", "steps": [{**step, **fields}]}
            )
            == fits
        )
