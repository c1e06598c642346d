"""Fields that select objects: globs, ordered rules, sizes and ages."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.filter_fields import (
    FilterFields,
    FilterRule,
    GlobFields,
    read_globs,
    read_rules,
)
from rolerunner.selection import filters
from rolerunner.selection.filters import Rule
from rolerunner.spec.expressions import parse_template
from rolerunner.spec.field_types import TEMPLATES_ALLOWED

TEMPLATE = parse_template("${{ params.x }}")


def test_an_empty_filter_selects_everything() -> None:
    assert FilterFields().selection() == filters.Selection()
    assert FilterFields().selection().selects_everything


def test_ages_count_from_now() -> None:
    before = datetime.now(timezone.utc)
    chosen = FilterFields(min_age=3600.0, max_age=7200.0).selection()
    limits = [
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        for text in (chosen.before, chosen.after)
    ]
    assert [round((before - each).total_seconds() / 60) for each in limits] == [60, 120]


@pytest.mark.parametrize("glob", ["[a-", "{a", "**/{1..99999}"])
def test_globs_are_checked(glob: str) -> None:
    with pytest.raises(ValidationError):
        FilterFields(include=[glob])
    with pytest.raises(ValidationError):
        FilterFields(exclude=[glob])


def test_globs_are_read_from_fields_with_mistakes() -> None:
    assert read_globs({}) == ([], [])
    assert read_globs({"include": ["a", 1, TEMPLATE], "exclude": "b"}) == (["a", TEMPLATE], ["b"])
    assert read_globs({"include": {"a": 1}, "exclude": None}) == ([], [])


def test_rules_take_the_place_of_both_lists() -> None:
    rules: list[Any] = [{"include": "audit.log"}, {"exclude": "*.log"}]
    fields = FilterFields.model_validate({"filters": rules})
    assert fields.selection().rules == (Rule(True, "audit.log"), Rule(False, "*.log"))
    with pytest.raises(ValidationError, match="takes the place of 'include' and 'exclude'"):
        FilterFields.model_validate({"filters": rules, "include": ["*"]})


@pytest.mark.parametrize("rule", [{}, {"include": "a", "exclude": "b"}])
def test_a_rule_is_one_of_two(rule: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="either 'include' or 'exclude'"):
        FilterRule.model_validate(rule)


def test_globs_of_rules_are_checked() -> None:
    with pytest.raises(ValidationError, match="no counterpart"):
        FilterRule(include="[a-")


def test_case_without_globs_is_a_mistake() -> None:
    assert FilterFields(include=["*.CSV"], ignore_case=True).selection().matches_name("a.csv")
    with pytest.raises(ValidationError, match="'ignore_case' needs globs"):
        FilterFields(ignore_case=True)


def test_proofs_rest_on_leading_excludes_and_not_on_case() -> None:
    rules = [{"exclude": "a/**"}, {"include": "b"}, {"exclude": "c"}]
    assert read_globs({"filters": rules}) == ([], ["a/**"])
    assert read_globs({"include": ["a"], "exclude": ["b"], "ignore_case": True}) == ([], ["b"])
    assert GlobFields.model_validate({"filters": rules}).list_globs() == ([], ["a/**"])
    assert read_rules([{"include": "a"}, {}, 1]) == [Rule(True, "a")]
    assert read_rules(TEMPLATE) == [Rule(False, TEMPLATE)]


@pytest.mark.parametrize(
    ("fields", "has_templates"),
    [
        ({"include": ["a"]}, False),
        ({"include": [TEMPLATE]}, True),
        ({"filters": [{"exclude": TEMPLATE}]}, True),
        ({"filters": TEMPLATE}, True),
        ({"include": ["a"], "ignore_case": TEMPLATE}, True),
    ],
)
def test_expressions_in_globs_are_found(fields: dict[str, Any], has_templates: bool) -> None:
    found = GlobFields.model_validate(fields, context=TEMPLATES_ALLOWED)
    assert found.has_templates_in_globs() is has_templates
