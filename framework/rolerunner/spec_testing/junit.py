"""Renders results as JUnit XML for CI systems."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from datetime import datetime, timezone
from itertools import groupby
from typing import TYPE_CHECKING

from rolerunner.redaction.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rolerunner.spec_testing.mismatches import Mismatch
    from rolerunner.spec_testing.run import CaseResult
    from rolerunner.spec_testing.suite import SuiteResult

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 forbids (production 2, Char)."""


def render_junit(report: SuiteResult) -> bytes:
    """Renders a test suite for each file."""
    top = ET.Element(
        "testsuites",
        {"name": "rolerunner", **_count_outcomes(report.outcomes), "time": f"{report.seconds:.3f}"},
    )
    for file, outcomes in groupby(report.outcomes, key=lambda outcome: outcome.case.mark.file):
        mine = list(outcomes)
        seconds = sum(outcome.seconds for outcome in mine)
        more = {
            "errors": "0",
            "skipped": "0",
            "time": f"{seconds:.3f}",
            "timestamp": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S}",
        }
        suite = ET.SubElement(top, "testsuite", {"name": file, **_count_outcomes(mine), **more})
        for outcome in mine:
            _add_outcome(suite, outcome)
    ET.indent(top)
    text: bytes = ET.tostring(top, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _add_outcome(suite: ET.Element, outcome: CaseResult) -> None:
    mark = outcome.case.mark
    case = ET.SubElement(
        suite,
        "testcase",
        classname=mark.file,
        name=_strip_controls(outcome.case.fields.name),
        file=mark.file,
        line=str(mark.line),
        time=f"{outcome.seconds:.3f}",
    )
    if not outcome.has_passed:
        first = outcome.mismatches[0]
        failure = ET.SubElement(
            case,
            "failure",
            type="mismatch",
            message=_strip_controls(f"{first.what}: expected {first.expected}, was {first.seen}"),
        )
        failure.text = _strip_controls(
            "\n".join(format_mismatch(each) for each in outcome.mismatches)
        )
        ET.SubElement(case, "system-out").text = _strip_controls("\n".join(outcome.log))


def format_mismatch(mismatch: Mismatch) -> str:
    """Returns the expected and the observed value on separate lines."""
    detail = "".join(f"\n      {line}" for line in mismatch.detail.splitlines())
    seen = mismatch.seen.replace("\n", "\n              ")
    return str(
        redact(f"{mismatch.what}\n    expected  {mismatch.expected}\n    was       {seen}{detail}")
    )


def _strip_controls(text: str) -> str:
    return _NOT_XML.sub("\ufffd", str(redact(text)))


def _count_outcomes(outcomes: Iterable[CaseResult]) -> dict[str, str]:
    each = list(outcomes)
    return {
        "tests": str(len(each)),
        "failures": str(sum(not outcome.has_passed for outcome in each)),
    }
