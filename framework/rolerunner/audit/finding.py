"""A rule, what it finds, and the table of rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Optional

if TYPE_CHECKING:
    from rolerunner.audit.subject import AuditSubject
    from rolerunner.errors import Problem

SEVERITIES = ("info", "low", "medium", "high")
"""From the least to the worst."""

RuleMatch = tuple["Problem", str]
"""Where and what, and how bad."""


@dataclass(frozen=True)
class Finding:
    """What a rule found."""

    rule: str
    severity: str
    problem: Problem
    """The place, what it is, and in ``hint`` what to do."""
    ignored: str = ""
    """The reason that a comment in the file gives for leaving it so."""


@dataclass(frozen=True)
class Rule:
    """A rule: ``severity`` is the worst of its findings."""

    id: str
    name: str
    severity: str
    about: str
    """What it finds, in a sentence."""
    why: str
    """What may come of it."""
    remedy: str
    """What to do."""
    check: Optional[Callable[[AuditSubject], Iterator[Finding]]] = None
    """None for what is found while comments are read."""


_RULES: dict[str, Rule] = {}


def list_rules() -> list[Rule]:
    """Every rule, in the order of the ids."""
    return [_RULES[id_] for id_ in sorted(_RULES)]


def register_rule(rule: Rule) -> Rule:
    """Put a rule into the table."""
    if rule.id in _RULES:
        raise ValueError(f"{rule.id} is there already")
    _RULES[rule.id] = rule
    return rule


def rule(
    id_: str, name: str, severity: str, about: str, why: str, remedy: str
) -> Callable[[Callable[[AuditSubject], Iterator[RuleMatch]]], Rule]:
    """Make the function a rule: it yields a problem, and its severity or '' for the rule's."""

    def entered(found: Callable[[AuditSubject], Iterator[RuleMatch]]) -> Rule:
        def check(subject: AuditSubject) -> Iterator[Finding]:
            for problem, worse in found(subject):
                yield Finding(id_, worse or severity, problem)

        return register_rule(Rule(id_, name, severity, about, why, remedy, check))

    return entered
