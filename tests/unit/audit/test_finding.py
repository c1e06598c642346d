"""Rules of the audit and their registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rolerunner.audit import SEVERITIES, list_rules
from rolerunner.audit import finding as finding_module
from rolerunner.audit.finding import Finding, Rule, RuleMatch, register_rule, rule
from rolerunner.errors import Mark, Problem

PROBLEM = Problem(Mark("f.yaml", 1, 1), "too wide")


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding_module, "_RULES", dict(finding_module._RULES))


def test_every_rule_is_described_and_sorted() -> None:
    rules = list_rules()
    assert [each.id for each in rules] == sorted(each.id for each in rules)
    assert len({each.name for each in rules}) == len(rules)
    for each in rules:
        assert each.severity in SEVERITIES
        assert each.about.endswith(".")
        assert each.why.endswith(".")
        assert not each.remedy.endswith(".")


def test_an_id_is_taken_once() -> None:
    made = Rule("RR998", "x", "low", "A.", "B.", "c")
    assert register_rule(made) is made
    with pytest.raises(ValueError, match=r"^duplicate rule RR998$"):
        register_rule(made)


def test_a_match_has_the_severity_of_its_rule_or_its_own() -> None:
    @rule("RR999", "x", "low", "A.", "B.", "c")
    def find(subject: Any) -> Iterator[RuleMatch]:
        yield PROBLEM, ""
        yield PROBLEM, "high"

    assert find in list_rules()
    assert find.check is not None
    subject: Any = None
    assert list(find.check(subject)) == [
        Finding("RR999", "low", PROBLEM),
        Finding("RR999", "high", PROBLEM),
    ]
