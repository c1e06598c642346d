"""Results as JUnit XML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from rolerunner.redaction.secrets import MASK, register_secret
from rolerunner.spec_testing.junit import format_mismatch, render_junit
from rolerunner.spec_testing.mismatches import Mismatch
from rolerunner.spec_testing.run import CaseResult
from rolerunner.spec_testing.suite import SuiteResult
from tests.unit.spec_testing.samples import load


def test_a_mismatch_has_its_values_below_each_other() -> None:
    assert format_mismatch(Mismatch("status", '"succeeded"', '"failed"')) == (
        'status\n    expected  "succeeded"\n    was       "failed"'
    )
    assert format_mismatch(Mismatch("a", "1", "2\n3", "x\ny")) == (
        "a\n    expected  1\n    was       2\n              3\n      x\n      y"
    )
    kept = register_secret("jU4-in-a-mismatch")
    assert format_mismatch(Mismatch("a", "1", kept)).endswith(f"was       {MASK}")


def test_each_file_is_a_suite_and_failures_have_their_log(tmp_path: Path) -> None:
    first, second = load(tmp_path, "  - {name: one}\n  - {name: 'two \"<&'}\n")
    wrong = (Mismatch("exit", "0", "4\x1b"), Mismatch("status", "x", "y"))
    report = SuiteResult(
        (CaseResult(first, (), 1.0), CaseResult(second, wrong, 0.25, ("a", "b\x00"))), 0, 1.5
    )
    text = render_junit(report)
    assert text.startswith(b"<?xml version='1.0' encoding='utf-8'?>\n")
    top = ET.fromstring(text)
    assert top.attrib == {"name": "rolerunner", "tests": "2", "failures": "1", "time": "1.500"}
    (suite,) = top
    stamp = suite.attrib.pop("timestamp")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", stamp)
    file = f"{tmp_path}/job.test.yaml"
    assert suite.attrib == {
        "name": file,
        "tests": "2",
        "failures": "1",
        "errors": "0",
        "skipped": "0",
        "time": "1.250",
    }
    passed, failed = suite
    assert passed.attrib == {
        "classname": file,
        "name": "one",
        "file": file,
        "line": "3",
        "time": "1.000",
    }
    assert len(passed) == 0
    assert failed.attrib["name"] == 'two "<&'
    failure, output = failed
    assert failure.attrib == {"type": "mismatch", "message": "exit: expected 0, was 4\ufffd"}
    assert (failure.text or "").count("expected  ") == 2
    assert output.text == "a\nb\ufffd"


def test_no_cases_are_no_suites() -> None:
    top = ET.fromstring(render_junit(SuiteResult((), 3, 0.0)))
    assert (top.attrib["tests"], top.attrib["failures"], len(top)) == ("0", "0", 0)
