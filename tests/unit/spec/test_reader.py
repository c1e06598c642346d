"""Reading values: expressions, their scopes and places, and known values filled in."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from pydantic import field_validator

from rolerunner.errors import Mark, Problem
from rolerunner.spec.expressions import Template
from rolerunner.spec.field_types import (
    FOLDER,
    PACKAGES,
    PACKAGES_PRESENT,
    StrictModel,
)
from rolerunner.spec.nested_templates import BROKEN_EXPRESSION
from rolerunner.spec.reader import LoadContext, SpecReader, accepts_no_secret
from rolerunner.spec.yaml_parser import parse_document

SCOPES = ("params", "run", "steps")


def make_reader(text: str, file: str = "t.yaml", **known: Any) -> SpecReader:
    return SpecReader(parse_document(text, file), LoadContext(**known))


def parse(value: str, scopes: tuple[str, ...] = SCOPES, **known: Any) -> tuple[Any, list[str]]:
    """Returns the parsed value of ``a``, and the problems with their columns."""
    reader = make_reader(f"a: {value}\n", **known)
    parsed = reader.parse_templates(reader.document.data["a"], ("a",), scopes)
    return parsed, [str(each).removeprefix("t.yaml:") for each in reader.known.problems]


@pytest.mark.parametrize(
    ("value", "known"),
    [
        ("${{ params.x }}", {"params": {"x": 1}}),
        ("${{ params.x }}", {"undecided": {"x"}}),
        ("${{ run.id }}", {}),
        ("${{ steps.a.b }}", {}),
        ("${{ today }}", {}),
        ("${{ now | format('%Y') }}", {}),
    ],
)
def test_names_that_are_available(value: str, known: dict[str, Any]) -> None:
    parsed, problems = parse(value, **known)
    assert problems == []
    assert isinstance(parsed, Template)
    assert BROKEN_EXPRESSION not in parsed.parts


@pytest.mark.parametrize(
    ("value", "scopes", "found"),
    [
        ("x ${{ params.y }}", SCOPES, "1:10: there is no param 'y'"),
        ("${{ params.yx }}", SCOPES, "1:8: there is no param 'yx'"),
        ("${{ params }}", SCOPES, "1:8: 'params' needs a name after it, as in params.NAME"),
        (
            "${{ run.nme }}",
            SCOPES,
            "1:8: there is no 'run.nme' (did you mean 'name'?)",
        ),
        (
            "${{ run.zzzzzz }}",
            SCOPES,
            "1:8: there is no 'run.zzzzzz' (known: id, name, date, time, error)",
        ),
        ("${{ item }}", SCOPES, "1:8: 'item' is available only in a step with for_each"),
        (
            "${{ stesp.a.b }}",
            SCOPES,
            "1:8: 'stesp' is not available here (did you mean 'steps'?)",
        ),
        (
            "${{ steps.a.b }}",
            ("params",),
            "1:8: 'steps' is not available here (known: params, today, now)",
        ),
        (
            "${{ today.year }}",
            SCOPES,
            "1:8: 'today' has no parts (use a filter, as in ${{ today | format('%Y') }})",
        ),
    ],
)
def test_names_that_are_not(value: str, scopes: tuple[str, ...], found: str) -> None:
    _, problems = parse(f"'{value}'".replace("'", '"') if "%" in value else value, scopes)
    assert problems == [found]


def test_an_item_is_available_in_a_loop() -> None:
    assert parse("${{ item }}", (*SCOPES, "item"))[1] == []


def test_text_without_an_expression_stays_as_it_is() -> None:
    assert parse("plain") == ("plain", [])
    reader = make_reader("a: [1, {b: null}]\n")
    value = reader.document.data["a"]
    assert reader.parse_templates(value, ("a",), SCOPES) == value


def test_values_of_known_params_are_filled_in() -> None:
    now = datetime(2026, 1, 31, tzinfo=timezone.utc)
    text = "a: ['${{ params.x }}', {b: '${{ params.y }}'}, '${{ today }}', '${{ run.id }}']\n"
    reader = make_reader(text, params={"x": 5}, undecided={"y"}, now=now)
    parsed = reader.parse_templates(reader.document.data["a"], ("a",), SCOPES)
    filled = reader.fill_known(parsed, ("a",))
    assert (filled[0], filled[2]) == (5, now.date())
    assert isinstance(filled[1]["b"], Template)
    assert isinstance(filled[3], Template)
    assert reader.known.problems == []


def test_a_value_that_cannot_be_evaluated_is_a_problem() -> None:
    reader = make_reader("a: '${{ params.x | minus(1) }}'\n", params={"x": "text"})
    parsed = reader.parse_templates(reader.document.data["a"], ("a",), SCOPES)
    assert isinstance(reader.fill_known(parsed, ("a",)), Template)
    (problem,) = reader.known.problems
    assert problem.mark.line == 1


def test_a_secret_flows_only_where_it_is_accepted() -> None:
    known: dict[str, Any] = {"params": {"key": "x"}, "secrets": {"key"}}
    parsed, problems = parse("${{ params.key }}", **known)
    assert BROKEN_EXPRESSION in parsed.parts
    (problem,) = problems
    assert problem.startswith("1:8: 'params.key' is a secret, which cannot flow into 'a' (secrets")
    accepting = SpecReader(
        parse_document("a: '${{ params.key }}'\n", "t.yaml"), LoadContext(**known), lambda _: True
    )
    accepting.parse_templates("${{ params.key }}", ("a",), SCOPES)
    assert accepting.known.problems == []
    assert accepts_no_secret(("a",)) is False


def test_a_place_inside_a_block_of_text() -> None:
    reader = make_reader("a: |\n  first\n  then ${{ params.x }}\n")
    reader.parse_templates(reader.document.data["a"], ("a",), SCOPES)
    (problem,) = reader.known.problems
    assert (problem.mark.line, problem.mark.column) == (3, 12)


class Checked(StrictModel):
    """A model whose validator has a bug."""

    a: int

    @field_validator("a")
    @classmethod
    def _fail(cls, value: int) -> float:
        return 1 / value


def test_a_validator_that_fails_is_a_problem() -> None:
    reader = make_reader("a: 0\n")
    assert reader.validate_model(Checked, reader.document.data, ()) is None
    (problem,) = reader.known.problems
    assert problem.message.startswith("validation failed: ")
    assert problem.hint == "the action's own validator raised an error"
    assert reader.validate_model(Checked, {"a": 1}, ()) is not None


def test_a_problem_is_added_once() -> None:
    reader = make_reader("a: 0\n")
    for _ in range(2):
        reader.add(("a",), "wrong")
        reader.add_problem(reader.document.problem(("a",), "wrong"))
        reader.add_at(reader.document.mark(("a",)), "wrong")
    assert [each.message for each in reader.known.problems] == ["wrong"]


@pytest.mark.parametrize(
    ("text", "file", "is_here", "folder", "packages", "is_complete"),
    [
        ("a: 1\n", "/x/t.yaml", False, "/x", [], False),
        ("a: 1\n", "/x/t.yaml", True, "/x", [], True),
        ("a: 1\n", "s3://b/t.yaml", False, None, [], False),
        ("a: 1\n", "s3://b/t.yaml", True, str(Path.cwd()), [], True),
        ("glue: {packages: [jobs, 5]}\n", "/x/t.yaml", True, "/x", ["jobs"], True),
        ("glue: {requirements: [a]}\n", "/x/t.yaml", True, "/x", [], False),
        ("glue: [packages]\n", "/x/t.yaml", True, "/x", [], True),
        ("glue: {packages: jobs}\n", "/x/t.yaml", True, "/x", [], True),
        ("[1]\n", "/x/t.yaml", True, "/x", [], True),
    ],
)
def test_where_the_users_code_is(
    text: str,
    file: str,
    is_here: bool,
    folder: str | None,
    packages: list[str],
    is_complete: bool,
) -> None:
    context = make_reader(text, file, code_is_here=is_here).context
    assert (context[FOLDER], context[PACKAGES], context[PACKAGES_PRESENT]) == (
        folder,
        packages,
        is_complete,
    )


def test_many_mistakes_take_no_longer_each() -> None:
    count = 2_000
    problems = [Problem(Mark("f.yaml", number, 1), "wrong") for number in range(count)]
    reader = SpecReader(parse_document("a: 1", "f.yaml"), LoadContext())
    begun = time.process_time()
    for problem in (*problems, *problems):
        reader.add_problem(problem)
    assert reader.known.problems == problems
    assert time.process_time() - begun < 1
