"""Findings as SARIF: places, levels, fingerprints, suppressions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rolerunner.audit import Finding, Rule, list_rules
from rolerunner.audit.sarif import build_sarif
from rolerunner.errors import Mark, Problem

RULES = [
    Rule("RR001", "open-role", "high", "About.", "Why.", "do this"),
    Rule("RR002", "x", "low", "A.", "B.", "c"),
]


def finding(file: str = "specs/a b.yaml", **more: Any) -> Finding:
    return replace(
        Finding("RR002", "medium", Problem(Mark(file, 3, 5), "wide", "narrow it")), **more
    )


def result(found: Finding, base: Path = Path("/repo")) -> Any:
    return build_sarif([found], RULES, base)["runs"][0]["results"][0]


def test_a_rule_has_its_texts_and_its_score() -> None:
    log = build_sarif([], RULES, Path("/repo"))
    assert log["version"] == "2.1.0"
    run = log["runs"][0]
    assert run["results"] == []
    assert run["tool"]["driver"]["rules"][0] == {
        "id": "RR001",
        "name": "OpenRole",
        "shortDescription": {"text": "About."},
        "fullDescription": {"text": "About. Why."},
        "help": {"text": "Why.\nWhat to do: do this."},
        "defaultConfiguration": {"level": "error"},
        "properties": {"security-severity": "8.0", "tags": ["security"]},
    }


def test_a_finding_names_its_rule_and_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    found = result(finding("/repo/specs/a b.yaml"))
    assert (found["ruleId"], found["ruleIndex"]) == ("RR002", 1)
    assert found["message"] == {"text": "wide\nnarrow it"}
    assert found["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "specs/a%20b.yaml", "uriBaseId": "%SRCROOT%"},
                "region": {"startLine": 3, "startColumn": 5},
            }
        }
    ]
    assert "suppressions" not in found


@pytest.mark.parametrize(
    ("severity", "level"),
    [("high", "error"), ("medium", "warning"), ("low", "note"), ("info", "note")],
)
def test_severities_are_levels(severity: str, level: str) -> None:
    found = result(finding(severity=severity))
    assert (found["level"], found["properties"]) == (level, {"severity": severity})


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("s3://box/a b.yaml", {"uri": "s3://box/a%20b.yaml"}),
        ("/elsewhere/a.yaml", {"uri": "file:///elsewhere/a.yaml"}),
    ],
)
def test_files_outside_the_checkout_have_whole_uris(file: str, place: dict[str, str]) -> None:
    location = result(finding(file))["locations"][0]["physicalLocation"]
    assert location["artifactLocation"] == place


def test_an_ignored_finding_is_suppressed_with_its_reason() -> None:
    assert result(finding(ignored="ours"))["suppressions"] == [
        {"kind": "inSource", "justification": "ours"}
    ]


def test_a_fingerprint_survives_moved_lines_and_folders_alone() -> None:
    def fingerprint(found: Finding) -> str:
        return str(result(found)["partialFingerprints"]["rolerunner/v1"])

    same = fingerprint(finding())
    assert len(same) == 32
    moved = Problem(Mark("other/a b.yaml", 99, 1), "wide", "another hint")
    assert fingerprint(finding(problem=moved)) == same
    assert fingerprint(finding(rule="RR001")) != same
    assert fingerprint(finding("specs/b.yaml")) != same
    assert fingerprint(finding(problem=replace(moved, message="wider"))) != same


def test_all_rules_of_the_audit_can_be_shown() -> None:
    rules = build_sarif([], list_rules(), Path("/repo"))["runs"][0]["tool"]["driver"]["rules"]
    assert len({rule["name"] for rule in rules}) == len(list_rules())
