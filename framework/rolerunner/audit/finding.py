"""Findings, rules, and the registry of rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Optional

if TYPE_CHECKING:
    from rolerunner.audit.subject import AuditSubject
    from rolerunner.errors import Problem

SEVERITIES = ("info", "low", "medium", "high")
"""Severities in ascending order."""

RuleMatch = tuple["Problem", str]
"""A problem, and its severity or "" for that of the rule."""


@dataclass(frozen=True)
class Finding:
    """A match of a rule."""

    rule: str
    severity: str
    problem: Problem
    """The place and the message, with the remedy as its hint."""
    ignored: str = ""
    """The reason in a comment that ignores the finding; empty without one."""


@dataclass(frozen=True)
class Rule:
    """A rule of the audit; ``severity`` is the default of its findings."""

    id: str
    name: str
    severity: str
    about: str
    """A sentence that describes the findings."""
    why: str
    """The risk."""
    remedy: str
    """The fix for a finding."""
    check: Optional[Callable[[AuditSubject], Iterator[Finding]]] = None
    """None if the findings come from reading comments."""


_RULES: dict[str, Rule] = {}


def list_rules() -> list[Rule]:
    """Returns all rules in the order of their ids."""
    return [_RULES[id_] for id_ in sorted(_RULES)]


def register_rule(rule: Rule) -> Rule:
    """Adds a rule to the registry. Raises ValueError for an id that is taken."""
    if rule.id in _RULES:
        raise ValueError(f"duplicate rule {rule.id}")
    _RULES[rule.id] = rule
    return rule


def rule(
    id_: str, name: str, severity: str, about: str, why: str, remedy: str
) -> Callable[[Callable[[AuditSubject], Iterator[RuleMatch]]], Rule]:
    """Registers the decorated function, which yields matches, as the check of a rule."""

    def register(found: Callable[[AuditSubject], Iterator[RuleMatch]]) -> Rule:
        def check(subject: AuditSubject) -> Iterator[Finding]:
            for problem, severity_of_match in found(subject):
                yield Finding(id_, severity_of_match or severity, problem)

        return register_rule(Rule(id_, name, severity, about, why, remedy, check))

    return register
