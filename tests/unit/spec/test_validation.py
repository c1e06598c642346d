"""Pydantic's errors in the words of the spec, each at its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Optional

import pytest
from pydantic import Field, ValidationError

from rolerunner import api
from rolerunner.errors import SpecError
from rolerunner.redaction.secrets import register_secret
from rolerunner.spec.field_types import StrictModel
from rolerunner.spec.validation import (
    _format_limit,
    describe_value,
    list_keys,
    list_messages,
    suggest_key,
    validate_document,
)
from rolerunner.spec.yaml_parser import parse_document

if TYPE_CHECKING:
    from pathlib import Path


class Inner(StrictModel):
    """A nested mapping."""

    count: int = Field(0, ge=1, le=3)
    above: float = Field(0.5, gt=0, lt=1)


class Outer(StrictModel):
    """All kinds of fields."""

    name: str
    of: Optional[Inner] = None
    each: list[Inner] = Field(default_factory=list, max_length=2)
    some: list[str] = Field(default_factory=lambda: ["a"], min_length=1)
    flag: bool = False
    number: float = 0.0
    mode: Literal["fast", "slow"] = "fast"
    version: Literal[1] = 1
    by_name: dict[str, int] = Field(default_factory=dict, alias="by-name")


def problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        validate_document(Outer, parse_document(text, "f.yaml"))
    return [str(each).removeprefix("f.yaml:") for each in caught.value.problems]


def test_a_valid_document_is_the_model() -> None:
    read = validate_document(Outer, parse_document("name: x\nof: {count: 3}\n", "f.yaml"))
    assert (read.name, read.of) == ("x", Inner(count=3))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("of: {}", "1:1: 'name' is missing"),
        ("name: 5", "1:7: 'name' must be text, not 5 (put it in quotes)"),
        ("name: true", "1:7: 'name' must be text, not true (put it in quotes)"),
        ("name: [a]", "1:7: 'name' must be text, not a list"),
        ("name: ", "1:6: 'name' must be text, not nothing"),
        ("{name: x, nam: y}", "1:11: unknown key 'nam' (did you mean 'name'?)"),
        ("{name: x, of: {cont: 1}}", "1:16: unknown key 'cont' (did you mean 'count'?)"),
        ("{name: x, of: {zzz: 1}}", "1:16: unknown key 'zzz' (known: count, above)"),
        ("{name: x, each: [{}, {cont: 1}]}", "1:23: unknown key 'cont' (did you mean 'count'?)"),
        ("{name: x, of: {count: 0}}", "1:23: 'count' must be at least 1, not 0"),
        ("{name: x, of: {count: 4}}", "1:23: 'count' must be at most 3, not 4"),
        ("{name: x, of: {count: 1.5}}", "1:23: 'count' must be a whole number, not 1.5"),
        ("{name: x, of: {above: 0}}", "1:23: 'above' must be more than 0.0, not 0"),
        ("{name: x, of: {above: 1}}", "1:23: 'above' must be less than 1.0, not 1"),
        ("{name: x, of: [1]}", "1:15: 'of' must be a mapping, not a list"),
        ("{name: x, each: {}}", "1:17: 'each' must be a list, not a mapping"),
        ("{name: x, each: [{}, {}, {}]}", "1:17: 'each' must have at most 2 items, not 3"),
        ("{name: x, some: []}", "1:17: 'some' must have at least 1 item, not 0"),
        (
            "{name: x, flag: 'yes'}",
            "1:17: 'flag' must be true or false, not 'yes' (write true or false)",
        ),
        ("{name: x, flag: 'maybe'}", "1:17: 'flag' must be true or false, not 'maybe'"),
        ("{name: x, number: a}", "1:19: 'number' must be a number, not 'a'"),
        (
            "{name: x, mode: fastt}",
            "1:17: 'mode' must be one of 'fast', 'slow', not 'fastt' (did you mean 'fast'?)",
        ),
        ("{name: x, version: 2}", "1:20: 'version' must be 1, not 2"),
        ("{name: x, version: '1'}", "1:20: 'version' must be 1, not '1' (write it without quotes)"),
        ("{name: x, by-name: {a: b}}", "1:24: 'a' must be a whole number, not 'b'"),
        ("[]", "1:1: the spec must be a mapping, not a list"),
    ],
)
def test_each_kind_of_mistake(line: str, expected: str) -> None:
    found = problems(line)
    assert found == [expected]


def test_every_mistake_is_a_problem_of_its_own() -> None:
    assert problems("name: 1\nflag: 2\nzzz: 3\n") == [
        "1:7: 'name' must be text, not 1 (put it in quotes)",
        "2:7: 'flag' must be true or false, not 2",
        (
            "3:1: unknown key 'zzz' (known: name, of, each, some, flag, number, mode, "
            "version, by-name)"
        ),
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "nothing"),
        ({}, "a mapping"),
        ([], "a list"),
        ((), "a list"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (1.5, "1.5"),
        ("", "''"),
        ("x" * 60, f"'{'x' * 60}'"),
        ("x" * 61, f"'{'x' * 57}...'"),
    ],
)
def test_values_are_shown_short(value: Any, shown: str) -> None:
    assert describe_value(value) == shown


def test_secrets_are_not_shown() -> None:
    assert describe_value(register_secret("vq-71ab-51")) == "a secret"


def test_messages_outside_a_document_have_no_place_and_are_said_once() -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"each": [{"count": "x"}, {"count": "x"}], "name": "x"})
    assert list_messages(caught.value) == ["'count' must be a whole number, not 'x'"]


def test_keys_are_suggested_from_the_model_and_more() -> None:
    assert list_keys(Outer)[-1] == "by-name"
    assert suggest_key("rolle", Inner, ["role"]) == "did you mean 'role'?"
    assert suggest_key("zzz", Inner, ["role"]) == "known: count, above, role"


@pytest.mark.parametrize(
    ("limit", "given", "text"),
    [
        (604800, "90d", "7d"),
        (604800, 700000, "604800"),
        (5400.0, "2h", "90m"),
        (0, "5s", "0"),
        (10, "many", "10"),
    ],
)
def test_limits_have_the_form_of_the_value(limit: float, given: object, text: str) -> None:
    assert _format_limit(limit, given) == text


def test_a_mistake_of_a_whole_step_names_no_field(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        "{version: 1, name: t, roles: {r: 'arn:aws:iam::111122223333:role/r'}, steps: [{id: a,"
        " action: s3.verify, role: r, source: 's3://in/a/', target: 's3://in/b'}]}"
    )
    with pytest.raises(SpecError) as caught:
        api.load(path)
    assert [each.message for each in caught.value.problems] == [
        "compare an object with an object, or a prefix with a prefix or folder"
    ]


def test_what_is_no_uri_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        "{version: 1, name: t, roles: {r: 'arn:aws:iam::111122223333:role/r'}, steps: [{id: a,"
        " action: s3.unpack, role: r, source: 's3://in/a.tar', target: [x]}]}"
    )
    with pytest.raises(SpecError) as caught:
        api.load(path)
    assert [each.message for each in caught.value.problems] == [
        "'target' must be an s3:// URI, not a list"
    ]


@pytest.mark.parametrize(
    ("glue", "place", "message"),
    [
        ("  role: job-role\n  workers: 3\n", (5, 12), "'workers' does not apply"),
        ("  workers: 3\n  capacity: 1\n", (4, 12), "'workers' does not apply"),
        (
            "  role: job-role\n  arguments:\n    --enable-metrics: a\n    --job_spec: b\n",
            (7, 17),
            "'arguments'",
        ),
    ],
)
def test_a_mistake_of_a_mapping_has_the_place_of_the_key_that_it_names(
    glue: str, place: tuple[int, int], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        f"version: 1\nname: t\nglue:\n{glue}steps:\n"
        "  - {id: a, action: s3.list, role: job, source: 's3://in/a/'}\n"
    )
    with pytest.raises(SpecError) as caught:
        api.load(path)
    (problem,) = caught.value.problems
    assert (problem.mark.line, problem.mark.column) == place
    assert problem.message.startswith(message)
