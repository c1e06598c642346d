"""Fields that a JSON Schema repeats become definitions."""

from __future__ import annotations

from typing import Any

from rolerunner.spec.schema_sharing import share_fields

LONG = {"type": "string", "description": "What a field of many actions is for. " * 3}
OTHER = {**LONG, "examples": ["other"]}


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def test_a_repeated_field_is_one_definition() -> None:
    shared = share_fields(
        {
            **closed(one=closed(name=LONG, size={"type": "integer"}), two=closed(name=LONG)),
            "definitions": {"Three": closed(name=OTHER)},
        }
    )
    reference = {"$ref": "#/definitions/name"}
    assert shared["properties"]["one"] == closed(name=reference, size={"type": "integer"})
    assert shared["properties"]["two"] == closed(name=reference)
    assert shared["definitions"] == {"Three": closed(name=OTHER), "name": LONG}


def test_fields_of_one_name_have_definitions_of_their_own() -> None:
    shared = share_fields(
        {
            **closed(a=closed(name=LONG), b=closed(name=LONG, b={}), c=closed(name=OTHER, c={})),
            "definitions": {"d": closed(name=OTHER), "name": closed()},
        }
    )
    assert shared["definitions"] == {
        "d": closed(name={"$ref": "#/definitions/name-3"}),
        "name": closed(),
        "name-2": LONG,
        "name-3": OTHER,
    }


def test_a_choice_refers_to_the_field_that_it_repeats() -> None:
    shared = share_fields(
        {
            **closed(a=closed(x=LONG), b=closed(x={"anyOf": [LONG, {"type": "null"}]})),
            "definitions": {},
        }
    )
    reference = {"$ref": "#/definitions/x"}
    assert shared["properties"]["b"] == closed(x={"anyOf": [reference, {"type": "null"}]})
    assert shared["properties"]["a"] == closed(x=reference)


def test_a_shared_field_refers_to_others_that_it_contains() -> None:
    inner = closed(deep=LONG)
    shared = share_fields(
        {
            **closed(a=closed(x=inner), b=closed(x=inner, b={}), c=closed(deep=LONG, c={})),
            "definitions": {},
        }
    )
    assert shared["definitions"] == {"x": closed(deep={"$ref": "#/definitions/deep"}), "deep": LONG}


def test_short_fields_and_fields_named_like_keywords_stay() -> None:
    schema = {
        **closed(a=closed(properties=closed(items={"type": "string"})), b={"type": "string"}),
        "definitions": {},
    }
    assert share_fields(schema) == schema
