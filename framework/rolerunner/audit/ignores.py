"""Comments that ignore a finding: ``# rolerunner: ignore RR001 the account is our own``."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rolerunner.audit.finding import Finding, Rule, list_rules, register_rule
from rolerunner.errors import Mark, Problem
from rolerunner.spec.values import suggest_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rolerunner.spec.document import Document

_COMMENT = re.compile(
    r"(?:^|\s)#\s*rolerunner:\s*ignore\b\s*(?P<rules>(?:RR\w+[,\s]*)*)(?P<reason>.*)$"
)

_UNUSED = register_rule(
    Rule(
        "RR000", "idle-ignore", "low",
        "A comment ignores a finding that does not exist.",
        "It would hide a later finding that nobody has reviewed.",
        "remove it, or write it on the line of the finding or the one above, "
        "as # rolerunner: ignore RR001 the reason",
    )
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Ignore:
    document: Document
    line: int
    column: int
    ids: tuple[str, ...]
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Returns True if it is on the finding's line, or on comment lines directly above."""
        mark = finding.problem.mark
        if mark.file != self.document.file or finding.rule not in self.ids or not self.reason:
            return False
        between = self.document.lines[self.line - 1 : mark.line - 1]
        return self.line == mark.line or (
            self.line < mark.line and all(line.lstrip().startswith("#") for line in between)
        )


def apply_ignores(found: Iterable[Finding], documents: Sequence[Document]) -> Iterator[Finding]:
    """Yields the findings, marked if a comment ignores them, and one for each unused comment."""
    ignores = [ignore for document in documents for ignore in _parse_ignores(document)]
    used: set[tuple[_Ignore, str]] = set()
    for finding in found:
        cover = next((ignore for ignore in ignores if ignore.covers(finding)), None)
        if cover is not None:
            used.add((cover, finding.rule))
        yield finding if cover is None else replace(finding, ignored=cover.reason)
    for ignore in ignores:
        for message, hint in _find_unused(ignore, {id_ for each, id_ in used if each is ignore}):
            mark = Mark(ignore.document.file, ignore.line, ignore.column)
            yield Finding(
                _UNUSED.id,
                _UNUSED.severity,
                Problem(mark, message, hint, ignore.document.lines[ignore.line - 1]),
            )


def _parse_ignores(document: Document) -> Iterator[_Ignore]:
    for number, line in enumerate(document.lines, 1):
        comment = _COMMENT.search(line)
        if comment:
            ids = tuple(re.findall(r"RR\w+", comment["rules"]))
            yield _Ignore(
                document,
                number,
                line.index("#", comment.start()) + 1,
                ids,
                comment["reason"].strip(" :-"),
            )


def _find_unused(ignore: _Ignore, used: set[str]) -> Iterator[tuple[str, str]]:
    known = [rule.id for rule in list_rules()]
    if not ignore.ids:
        yield "the comment names no rule", _UNUSED.remedy
    elif not ignore.reason:
        yield "the comment gives no reason, so it ignores nothing", _UNUSED.remedy
    for id_ in ignore.ids if ignore.reason else ():
        if id_ not in known:
            yield f"there is no rule {id_}", suggest_name(id_, known)
        elif id_ not in used:
            yield f"there is no finding of {id_} here", _UNUSED.remedy
