"""Comments that ignore findings: where they count, and which are unused."""

from __future__ import annotations

import pytest

from rolerunner.audit import Finding
from rolerunner.audit.ignores import apply_ignores
from rolerunner.errors import Mark, Problem
from rolerunner.spec.yaml_parser import parse_document


def apply(text: str, *found: tuple[str, int], file: str = "f.yaml") -> list[tuple[str, int, str]]:
    """Returns rule, line and reason (or message) of each finding after the comments."""
    findings = [Finding(rule, "high", Problem(Mark(file, line, 1), "wide")) for rule, line in found]
    document = parse_document(text, "f.yaml")
    return [
        (each.rule, each.problem.mark.line, each.ignored or each.problem.message)
        for each in apply_ignores(findings, [document])
    ]


IGNORE = "# rolerunner: ignore RR001 ours"


@pytest.mark.parametrize(
    "text",
    [
        f"a: 1 {IGNORE}\n",
        f"{IGNORE}\na: 1\n",
        f"  {IGNORE}\n# another comment\na: 1\n",
        "a: 1 # rolerunner: ignore RR002, RR001 - ours\n",
        "a: 1 #rolerunner:ignore RR001: ours\n",
    ],
)
def test_a_comment_covers_its_line_and_the_one_below(text: str) -> None:
    line = text.count("\n")
    found = apply(text, ("RR001", line), ("RR002", line))
    assert found[0] == ("RR001", line, "ours")


@pytest.mark.parametrize(
    "text", [f"a: 1\n{IGNORE}\n", f"{IGNORE}\n\na: 1\n", f"{IGNORE}\nb: 2\na: 1\n"]
)
def test_a_comment_elsewhere_covers_nothing_and_is_unused(text: str) -> None:
    line = text.splitlines().index("a: 1") + 1
    found = apply(text, ("RR001", line))
    assert found[0] == ("RR001", line, "wide")
    assert found[1][::2] == ("RR000", "there is no finding of RR001 here")


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("ignore", "the comment names no rule"),
        ("ignore this", "the comment names no rule"),
        ("ignore RR001", "the comment gives no reason, so it ignores nothing"),
        ("ignore RR001 -", "the comment gives no reason, so it ignores nothing"),
        ("ignore RR0 ours", "there is no rule RR0"),
    ],
)
def test_a_comment_without_a_rule_or_a_reason_ignores_nothing(comment: str, message: str) -> None:
    assert apply(f"a: 1 # rolerunner: {comment}\n", ("RR001", 1)) == [
        ("RR001", 1, "wide"),
        ("RR000", 1, message),
    ]


def test_each_rule_of_a_comment_is_used_by_itself() -> None:
    assert apply("a: 1 # rolerunner: ignore RR001 RR002 ours\n", ("RR001", 1)) == [
        ("RR001", 1, "ours"),
        ("RR000", 1, "there is no finding of RR002 here"),
    ]


def test_a_comment_counts_in_its_own_file_alone() -> None:
    found = apply(f"a: 1 {IGNORE}\n", ("RR001", 1), file="other.yaml")
    assert [each[2] for each in found] == ["wide", "there is no finding of RR001 here"]


def test_an_unused_comment_is_at_its_own_column() -> None:
    document = parse_document(f"a: 1 {IGNORE}\n", "f.yaml")
    (found,) = apply_ignores([], [document])
    assert str(found.problem.mark) == "f.yaml:1:6"
    assert found.severity == "low"
    assert found.problem.line == f"a: 1 {IGNORE}"


def test_without_comments_findings_pass() -> None:
    assert apply("a: 1\n", ("RR001", 1)) == [("RR001", 1, "wide")]
    assert apply("a: 'rolerunner: ignore'\n") == []
