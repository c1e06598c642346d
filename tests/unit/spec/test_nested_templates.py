"""Templates inside nested values: where they are, and what they evaluate to."""

from __future__ import annotations

import pytest

from rolerunner.spec.expressions import Template, scan_template
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.nested_templates import fill_templates, iter_templates
from rolerunner.spec.object_templates import ObjectTemplate


def template(text: str) -> Template:
    parsed, mistakes = scan_template(text)
    assert list(mistakes) == []
    return parsed


X = template("${{ params.x }}")
VALUE = {"b": [X, 1], "c": {"d": X}, "e": "text"}


def test_each_template_is_found_with_its_path() -> None:
    assert list(iter_templates(VALUE, ("a",))) == [(("a", "b", 0), X), (("a", "c", "d"), X)]
    assert list(iter_templates(X)) == [((), X)]
    assert list(iter_templates("text")) == []


def test_all_templates_are_evaluated() -> None:
    filled = fill_templates(VALUE, {"params": {"x": 2}})
    assert filled == {"b": [2, 1], "c": {"d": 2}, "e": "text"}


def test_a_value_that_is_not_known_is_an_error() -> None:
    with pytest.raises(ExpressionError):
        fill_templates(VALUE, {"params": {}})


def test_a_template_of_an_object_waits_for_the_object_alone() -> None:
    filled = fill_templates([template("${{ params.x }}-${{ object.name }}")], {"params": {"x": 2}})
    (waiting,) = filled
    assert isinstance(waiting, ObjectTemplate)
    assert waiting.inputs == {"params.x": 2}
