"""Subjects of audits from the text of a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolerunner.actions import registry
from rolerunner.audit.subject import AuditSubject
from rolerunner.plan.planning import make_plan
from rolerunner.spec.loader import load_spec
from rolerunner.spec.yaml_parser import parse_document

if TYPE_CHECKING:
    from rolerunner.audit.finding import Rule

HEAD = "version: 1\nname: t\n"
OWN = "arn:aws:iam::111122223333:role/"
OTHER = "arn:aws:iam::444455556666:role/"


def make_subject(text: str, job_account: str = "") -> AuditSubject:
    """Returns the subject of a spec without its first two lines."""
    job = load_spec(HEAD + text, "t.yaml", registry(), {}, complete=False)
    return AuditSubject(
        make_plan(job, registry()), (parse_document(HEAD + text, "t.yaml"),), job_account
    )


def find(rule: Rule, text: str, job_account: str = "") -> list[tuple[str, str]]:
    """Returns the place with the severity, and the message, of each finding of one rule."""
    assert rule.check is not None
    return [
        (
            f"{each.problem.mark.line}:{each.problem.mark.column} {each.severity}",
            each.problem.message,
        )
        for each in rule.check(make_subject(text, job_account))
    ]
