"""Test files: short forms, and the fields of a case."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.model import S3Uri
from rolerunner.spec_testing.casefile import CaseFields, CaseFile, InitialState
from rolerunner.spec_testing.expectations import Expectations


def message(kind: Any, value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(value)
    return caught.value.errors()[0]["msg"].removeprefix("Value error, ")


def test_short_forms_are_the_text_and_the_status() -> None:
    given = InitialState.model_validate({"objects": {"s3://box/a": "x"}, "files": {"in/a": "y"}})
    assert given.objects[S3Uri("box", "a")].text == "x"
    assert given.files["in/a"].text == "y"
    expect = Expectations.model_validate(
        {"steps": {"a": "failed"}, "objects": {"s3://box/a": "x"}, "files": {"b": {"size": 0}}}
    )
    assert expect.steps["a"].status == "failed"
    assert expect.objects[S3Uri("box", "a")].text == "x"
    assert expect.files["b"].size == 0


def test_a_case_has_a_name_and_two_minutes() -> None:
    case = CaseFields.model_validate({"name": "a"})
    assert (case.timeout, case.expect.run_status, case.only) == (120.0, "succeeded", [])
    assert message(CaseFields, {"name": ""}) == "String should have at least 1 character"
    assert CaseFields.model_validate({"name": "a", "timeout": "1m"}).timeout == 60


def test_a_file_has_cases() -> None:
    assert "at least 1 item" in message(CaseFile, {"version": 1, "cases": []})
