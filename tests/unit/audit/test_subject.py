"""The subject of an audit: places of findings, and what it knows of roles and permissions."""

from __future__ import annotations

import pytest

from rolerunner.audit.subject import AuditSubject, is_write
from rolerunner.errors import Problem
from rolerunner.model import Permission, Role
from rolerunner.spec.yaml_parser import parse_document
from tests.unit.audit.subjects import OTHER, OWN, make_subject

TEXT = (
    f"roles:\n  r:\n    arn: {OWN}x\n    duration: 15m\n"
    "steps:\n"
    "  - id: a\n    action: s3.list\n    role: r\n    source: s3://bkt/in/\n"
    f"  - id: b\n    action: s3.list\n    role: {OTHER}y\n    source: s3://bkt/in/\n"
)


def place(problem: Problem) -> str:
    return f"{problem.mark.line}:{problem.mark.column}"


def test_a_step_is_located_at_the_first_field_that_it_has() -> None:
    subject = make_subject(TEXT)
    first, second = subject.plan.steps
    assert place(subject.locate_step(first, "m", "h", "target", "source", "role")) == "11:5"
    assert place(subject.locate_step(second, "m", "h", "target")) == "12:5"
    assert place(subject.locate_step(second, "m", "h")) == "12:5"
    found = subject.locate_step(first, "m", "h")
    assert (found.message, found.hint) == ("m", "h")


def test_a_role_is_located_where_it_is_declared_or_used() -> None:
    subject = make_subject(TEXT)
    declared, used = (planned.step.roles["role"] for planned in subject.plan.steps)
    assert place(subject.locate_role(declared, "m", "h", "duration", "arn")) == "6:5"
    assert place(subject.locate_role(declared, "m", "h", "tags")) == "4:3"
    assert place(subject.locate_role(used, "m", "h", "arn")) == "14:5"


def test_a_role_of_an_included_file_is_located_there() -> None:
    subject = make_subject(TEXT)
    included = parse_document(f"roles:\n  shared: {OWN}s\n", "shared.yaml")
    both = AuditSubject(subject.plan, (*subject.documents, included))
    found = both.locate_role(Role(f"{OWN}s", "shared"), "m", "h", "arn")
    assert (found.mark.file, place(found)) == ("shared.yaml", "2:3")


def test_the_role_of_the_state_is_located_there() -> None:
    subject = make_subject(f"state: {{location: s3://ops/x/, role: '{OTHER}z'}}\n{TEXT}")
    (state,) = [role for role in subject.plan.roles if role.arn == f"{OTHER}z"]
    assert place(subject.locate_role(state, "m", "h")) == "3:32"


def test_roles_have_steps_and_source_accounts() -> None:
    subject = make_subject(TEXT, "111122223333")
    first, second = subject.plan.steps
    role = first.step.roles["role"]
    assert subject.list_steps(role) == [first]
    assert subject.list_steps(Role(f"{OWN}none", "none")) == []
    assert subject.find_source_account(role) == "111122223333"
    chained = Role(f"{OWN}c", "c", via=second.step.roles["role"])
    assert subject.find_source_account(chained) == "444455556666"
    assert make_subject(TEXT).find_source_account(role) == ""
    assert subject.find_action(first).kind == "s3.list"


def test_permissions_and_texts_are_listed_with_their_places() -> None:
    subject = make_subject(TEXT)
    found = [(each.step.id, field, need.action) for each, field, need in subject.iter_permissions()]
    assert found == [("a", "role", "s3:ListBucket"), ("b", "role", "s3:ListBucket")]
    texts = {where: text for _, where, text in subject.iter_texts()}
    assert texts["name",] == "t"
    assert texts["roles", "r", "arn"] == f"{OWN}x"
    assert texts["steps", 1, "id"] == "b"
    assert ("version",) not in texts


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("s3:PutObject", True),
        ("s3:DeleteObject", True),
        ("s3:*", True),
        ("s3:GetObject", False),
        ("s3:ListBucket", False),
        ("dynamodb:PutItem", True),
    ],
)
def test_writes(action: str, expected: bool) -> None:
    assert is_write(Permission(action, "*")) is expected
