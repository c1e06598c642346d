"""Finds what a spec allows without need; each finding has a rule, a severity and a place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.audit import roles, secrets, steps  # noqa: F401 - importing them registers their rules
from rolerunner.audit.finding import SEVERITIES, Finding, Rule, list_rules
from rolerunner.audit.ignores import apply_ignores
from rolerunner.audit.subject import AuditSubject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.model import Plan
    from rolerunner.spec.document import Document

__all__ = ["SEVERITIES", "Finding", "Rule", "audit_plan", "list_rules"]


def audit_plan(plan: Plan, documents: Sequence[Document], job_account: str = "") -> list[Finding]:
    """Returns all findings, in the order of the files.

    ``documents`` are the spec and the files that it includes. ``job_account`` is the account of the
    job's own role.
    """
    subject = AuditSubject(plan, tuple(documents), job_account)
    found = dict.fromkeys(
        finding
        for rule in list_rules()
        if rule.check is not None
        for finding in rule.check(subject)
    )  # a step whose items choose roles is planned once for each
    return sorted(
        apply_ignores(list(found), documents),
        key=lambda finding: (finding.problem.mark, finding.rule),
    )
