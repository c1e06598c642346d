"""Templates that are evaluated for each object, once the rest of what they read is known."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from rolerunner.run.state.fingerprint import fingerprint
from rolerunner.spec.expressions import parse_template
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.nested_templates import fill_templates
from rolerunner.spec.object_templates import (
    OBJECT_SAMPLE,
    ObjectTemplate,
    bind_template,
    find_type_mistake,
    list_object_names,
    reads_object,
)

SCOPE: dict[str, Any] = {"params": {"day": "31", "n": 2}, "run": {"id": "r"}}


def bind(text: str, scope: dict[str, Any] = SCOPE) -> ObjectTemplate:
    bound = fill_templates(parse_template(text), scope)
    assert isinstance(bound, ObjectTemplate)
    return bound


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${{ object.name }}", "part-1.csv"),
        ("100%-${{ object.stem }}-${{ params.day }}%s", "100%-part-1-31%s"),
        ("${{ object.number }}/${{ object.size }}", "1/1"),
        ("${{ object.modified }}", "2026-01-31 00:00:00+00:00"),
        ("${{ object.modified | format('%Y') }}", "2026"),
        ("${{ object.name | replace('1', params.day) }}", "part-31.csv"),
        ("${{ object['name'] }}", "part-1.csv"),
        ("${{ object.size == 1 }}", "true"),
        ("${{ 'x' if object.size == 2 }}", ""),
        ("${{ object.number * params.n }}", "2"),
        ("${{ object.folder ~ object.number }}", "2026/1"),
    ],
)
def test_an_object_makes_a_text_of_it(text: str, expected: str) -> None:
    bound = bind(text)
    assert bound.evaluate(OBJECT_SAMPLE) == expected
    assert bound.compile()(tuple(OBJECT_SAMPLE.values())) == expected


@pytest.mark.parametrize("text", ["${{ object.name | int }}", "${{ object.name | split('-') }}"])
def test_what_cannot_be_evaluated_is_told_alike(text: str) -> None:
    bound = bind(text)
    with pytest.raises(ExpressionError) as slow:
        bound.evaluate(OBJECT_SAMPLE)
    with pytest.raises(ExpressionError) as fast:
        bound.compile()(tuple(OBJECT_SAMPLE.values()))
    assert str(slow.value) == str(fast.value)


def test_what_is_known_is_evaluated_once() -> None:
    bound = bind("a-${{ params.day }}-${{ object.name | replace('a', params.day) }}")
    assert str(bound) == "a-31-${{ object.name | replace('a', params.day) }}"
    assert bound.inputs == {"params.day": "31"}
    assert bound.names == {"name"}


@pytest.mark.parametrize(
    "text", ["${{ params.x }}${{ object.name }}", "${{ object.name ~ run.x }}"]
)
def test_what_is_not_known_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError, match="there is no '"):
        bind_template(parse_template(text), SCOPE)


def test_templates_that_read_object_are_known_as_such() -> None:
    template = parse_template("${{ object.stem }}-${{ object['size'] ~ params.n }}")
    assert reads_object(template)
    assert list_object_names(template) == list_object_names(bind(template.text)) == {"stem", "size"}
    assert not reads_object(parse_template("${{ params.n }}"))
    assert not reads_object("object.name")
    assert list_object_names(None) == frozenset()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${{ object.size | lower }}", "this filter works on text, not 1"),
        ("${{ object.size + object.name }}", "unsupported operand"),
        ("${{ object.modified | plus(1) | format('%d') }}", ""),
        ("${{ (object.name | split('-'))[9] }}", ""),
        ("${{ object.name | int }}", ""),
    ],
)
def test_mistakes_of_every_object_are_told_from_those_of_one(text: str, message: str) -> None:
    (expression,) = parse_template(text).expressions
    found = find_type_mistake(expression, SCOPE)
    assert message in found
    assert bool(message) == bool(found)


def test_the_fingerprint_covers_the_values() -> None:
    text = "${{ object.name | replace('a', params.day) }}"
    other: dict[str, Any] = {**SCOPE, "params": {**SCOPE["params"], "day": "1"}}
    digests = {fingerprint({"name": bind(text, scope)})["name"] for scope in (SCOPE, other, SCOPE)}
    assert len(digests) == 2


def test_the_sample_is_an_object() -> None:
    assert OBJECT_SAMPLE["modified"] == datetime(2026, 1, 31, tzinfo=timezone.utc)
    parts = (OBJECT_SAMPLE[name] for name in ("folder", "stem", "suffix"))
    assert "".join(parts) == OBJECT_SAMPLE["relative"]
