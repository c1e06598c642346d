"""Converts findings to SARIF 2.1.0 (OASIS), the format of code scanning."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rolerunner._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rolerunner.audit.finding import Finding, Rule

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS = {"high": "error", "medium": "warning", "low": "note", "info": "note"}
_SCORES = {"high": "8.0", "medium": "5.5", "low": "3.0", "info": "0.0"}
"""Scores by which GitHub sorts: above 7 is high, above 4 medium, above 0 low."""


def build_sarif(findings: Iterable[Finding], rules: Sequence[Rule], base: Path) -> dict[str, Any]:
    """Returns the log; paths are relative to ``base``, the folder of the checkout."""
    positions = {rule.id: index for index, rule in enumerate(rules)}
    driver = {
        "name": "rolerunner",
        "version": __version__,
        "rules": [_convert_rule(rule) for rule in rules],
    }
    results = [_convert_finding(finding, positions[finding.rule], base) for finding in findings]
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _convert_rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.about},
        "fullDescription": {"text": f"{rule.about} {rule.why}"},
        "help": {"text": f"{rule.why}\nWhat to do: {rule.remedy}."},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"security-severity": _SCORES[rule.severity], "tags": ["security"]},
    }


def _convert_finding(finding: Finding, position: int, base: Path) -> dict[str, Any]:
    problem, mark = finding.problem, finding.problem.mark
    found: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": position,
        "level": _LEVELS[finding.severity],
        "message": {"text": problem.message + (f"\n{problem.hint}" if problem.hint else "")},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": _locate_file(mark.file, base),
                    "region": {"startLine": mark.line, "startColumn": mark.column},
                }
            }
        ],
        "partialFingerprints": {"rolerunner/v1": _compute_fingerprint(finding)},
        "properties": {"severity": finding.severity},
    }
    if finding.ignored:
        found["suppressions"] = [{"kind": "inSource", "justification": finding.ignored}]
    return found


def _locate_file(file: str, base: Path) -> dict[str, str]:
    if "://" in file:
        return {"uri": quote(file, safe=":/")}
    path = Path(file).resolve()
    if path.is_relative_to(base):
        return {"uri": quote(path.relative_to(base).as_posix()), "uriBaseId": "%SRCROOT%"}
    return {"uri": path.as_uri()}


def _compute_fingerprint(finding: Finding) -> str:
    """Returns an id that stays the same when lines are added above the finding."""
    identity = f"{finding.rule}\n{Path(finding.problem.mark.file).name}\n{finding.problem.message}"
    return hashlib.sha256(identity.encode()).hexdigest()[:32]
