"""The ``glue`` section: its params, arguments and steps, and what it may not contain."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.spec.glue_section import read_glue
from rolerunner.spec.reader import LoadContext, SpecReader
from rolerunner.spec.schema import ParamFields
from rolerunner.spec.yaml_parser import parse_document

PARAMS: dict[str, dict[str, Any]] = {
    "day": {"type": "date", "default": "2026-01-31"},
    "run-key": {"default": "x"},
    "key": {"secret": True},
}


def find(glue: str, **declared: dict[str, Any]) -> list[str]:
    """Returns the mistakes of a section, each with its hint."""
    document = parse_document(f"name: n\nglue: {glue}\nsteps: []\n", "t.yaml")
    reader = SpecReader(document, LoadContext())
    data = document.data
    fields = {k: ParamFields.model_validate(v) for k, v in (declared or PARAMS).items()}
    read_glue(data["glue"], fields, data["steps"], reader)
    return [f"{each.message}|{each.hint}" for each in reader.known.problems]


def test_a_spec_may_have_no_section() -> None:
    assert find("null") == []
    assert find("{params: {day: 2026-01-31}}") == []


def test_a_section_is_a_mapping() -> None:
    (mistake,) = find("[a]")
    assert mistake.startswith("'glue' must be a mapping, as in glue: {runtime: ")


def test_expressions_are_found_at_any_depth() -> None:
    mistakes = find("{role: '${{ params.day }}', tags: {a: '${{ today }}'}}")
    assert len(mistakes) == 2
    assert all(each.startswith("'glue' cannot contain expressions") for each in mistakes)


@pytest.mark.parametrize(("name", "whose"), [("job_spec", "the entry script"), ("TempDir", "Glue")])
def test_a_param_with_a_reserved_name(name: str, whose: str) -> None:
    assert find("{}", **{name: {}}) == [
        f"the param '{name}' cannot be set in Glue: --{name} is reserved by {whose}|rename it"
    ]


@pytest.mark.parametrize("section", ["params", "fixed_params"])
@pytest.mark.parametrize(
    ("value", "mistake"),
    [
        ("{dya: x}", "there is no param 'dya'|did you mean 'day'?"),
        ("{day: soon}", "the param 'day' must be a date such as 2026-01-31, not 'soon'|"),
        (
            "{key: kx-71ab-79}",
            "the param 'key' is secret and cannot be an argument of a Glue job|",
        ),
    ],
)
def test_params_of_the_job(section: str, value: str, mistake: str) -> None:
    assert find(f"{{{section}: {value}}}") == [mistake]


def test_a_value_that_glue_would_take_for_an_argument() -> None:
    (mistake,) = find("{params: {run-key: --x}}")
    assert mistake.startswith("the param 'run-key' ")


def test_an_argument_that_is_a_param() -> None:
    mistakes = find("{arguments: {--enable-metrics: x}}", enable_metrics={})
    assert "'--enable-metrics' is the param 'enable_metrics', not an argument of Glue" in str(
        mistakes
    )
