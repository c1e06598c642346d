"""Params of a run: their declarations, and errors that do not show secrets."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from rolerunner.errors import Mark, UsageError
from rolerunner.redaction.encodings import MIN_SECRET_LENGTH
from rolerunner.redaction.secrets import SecretValue
from rolerunner.spec.params import parse_params
from rolerunner.spec.reader import LoadContext, SpecReader
from rolerunner.spec.schema import ParamFields
from rolerunner.spec.values import FileValue
from rolerunner.spec.yaml_parser import parse_document


def declare(**fields: Any) -> ParamFields:
    return ParamFields.model_validate(fields)


TEXT = """\
version: 1
params:
  plain: {default: x}
  key: {secret: true}
"""


def parse(
    declared: dict[str, dict[str, Any]],
    given: dict[str, Any] | None = None,
    *,
    complete: bool = True,
    **more: Any,
) -> LoadContext:
    reader = SpecReader(parse_document(TEXT, "t.yaml"), LoadContext())
    fields = {name: declare(**each) for name, each in declared.items()}
    parse_params(fields, given or {}, reader, complete=complete, **more)
    return reader.known


def refusal(*arguments: Any, **more: Any) -> str:
    with pytest.raises(UsageError) as caught:
        parse(*arguments, **more)
    return str(caught.value).removeprefix("t.yaml: ")


def test_a_value_is_given_or_the_default_or_nothing() -> None:
    known = parse(
        {"a": {"type": "integer", "default": "1"}, "b": {"default": "x"}, "c": {}}, {"a": "2"}
    )
    assert known.params == {"a": 2, "b": "x", "c": None}
    assert (known.undecided, known.problems) == (set(), [])


def test_a_required_param_may_be_missing_while_a_spec_is_only_checked() -> None:
    known = parse({"a": {"required": True}}, complete=False)
    assert (known.params, known.undecided) == ({}, {"a"})
    assert refusal({"a": {"required": True}}) == (
        "the param 'a' is required; set it with -p a=VALUE (in Glue: --a VALUE)"
    )
    assert refusal({"a": {"required": True, "secret": True}}) == (
        "the param 'a' is required; set it with -p a=@FILE or --params FILE"
    )


def test_all_wrong_values_are_reported_together() -> None:
    message = refusal({"a": {"type": "integer"}, "b": {"min": 1}}, {"a": "x", "b": "", "c": 1})
    assert message == (
        "there is no param 'c'; the param 'a' must be a whole number, not 'x'; "
        "the param 'b' must be at least 1 characters, not 0"
    )


def test_unknown_names() -> None:
    assert refusal({"run_date": {}}, {"run_dat": "x"}) == (
        "there is no param 'run_dat' (did you mean 'run_date'?)"
    )
    assert refusal({}, {"log_levl": "x"}, more_names=["log_level"]) == (
        "there is no param 'log_levl' (did you mean 'log_level'?)"
    )
    value = FileValue("x", Mark("p.yaml", 2, 1))
    assert refusal({}, {"zz": value}) == "p.yaml:2:1: there is no param of this name"
    assert parse({}, {"TempDir": "x"}, ignored_names=["TempDir"]).params == {}
    assert refusal({"run_date": {}}, {"run-date": "x"}, ignored_names=["run-date"]).startswith(
        "there is no param 'run-date'"
    )


def test_errors_do_not_show_secrets_or_values_of_files() -> None:
    secret = {"key": {"secret": True, "max": 3}}
    assert refusal(secret, {"key": "kx-71ab-99"}) == (
        "the param 'key' must be at most 3 characters, not 10"
    )
    matched = {"key": {"secret": True, "pattern": "[a-z]"}}
    assert refusal(matched, {"key": "kx-71ab-98"}) == (
        "the param 'key' must match [a-z], unlike the value given"
    )
    value = FileValue("kx-71ab-97", Mark("p.yaml", 2, 6))
    assert refusal({"n": {"type": "integer"}}, {"n": value}) == (
        "the param 'n' must be a whole number, not the value at p.yaml:2:6"
    )


def test_a_message_that_would_show_the_start_of_a_value_is_replaced() -> None:
    value = FileValue("kx-71ab-" + "9" * 80, Mark("p.yaml", 2, 6))
    message = refusal({"n": {"choices": ["kx-71ab-1"]}}, {"n": value})
    assert message == "the param 'n' does not take the value at p.yaml:2:6"


def test_a_secret_is_registered_and_a_short_one_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    long, short = "q" * MIN_SECRET_LENGTH, "q7" * (MIN_SECRET_LENGTH // 2)
    declared: dict[str, dict[str, Any]] = {"key": {"secret": True}}
    with caplog.at_level(logging.WARNING):
        known = parse(declared, {"key": long})
        assert parse(declared, {"key": ""}).params == {"key": ""}
    assert isinstance(known.params["key"], SecretValue)
    assert known.secrets == {"key"}
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING):
        parse(declared, {"key": short[: MIN_SECRET_LENGTH - 1]})
    assert caplog.messages == [
        (
            f"the secret param 'key' has fewer than {MIN_SECRET_LENGTH} characters: "
            "it is redacted only where it is the whole value"
        )
    ]


@pytest.mark.parametrize(
    ("fields", "messages"),
    [
        ({"type": "choice"}, ["the param 'plain' of type choice needs 'choices'"]),
        ({"type": "choice", "choices": []}, ["the param 'plain' of type choice needs 'choices'"]),
        (
            {"type": "integer", "secret": True},
            ["the param 'plain' is secret, so its type must be string, not integer"],
        ),
        ({"required": True, "default": ""}, ["the param 'plain' is required and has a default"]),
        (
            {"min": "x", "max": "y"},
            [
                "'min' of 'plain' counts characters: it must be a whole number, not 'x'",
                "'max' of 'plain' counts characters: it must be a whole number, not 'y'",
            ],
        ),
        (
            {"type": "integer", "min": "x"},
            ["'min' of 'plain' must be a whole number, not 'x'"],
        ),
        (
            {"type": "integer", "choices": [1, "x"]},
            ["a choice of 'plain' must be a whole number, not 'x'"],
        ),
        (
            {"type": "integer", "default": "x"},
            ["the default of 'plain' must be a whole number, not 'x'"],
        ),
        (
            {"secret": True, "max": 1, "default": "kx-71ab-96"},
            ["the default of 'plain' does not fit its declaration"],
        ),
        ({"default": "${{ steps.a.count }}"}, ["'steps' is not available here"]),
        ({"default": "${{ nothing | minus(1) }}"}, ["'nothing' is not available here"]),
    ],
)
def test_mistakes_of_declarations(fields: dict[str, Any], messages: list[str]) -> None:
    known = parse({"plain": fields})
    assert [each.message for each in known.problems] == messages
    assert known.undecided == {"plain"}
    assert "plain" not in known.params


def test_the_line_of_a_secret_default_is_not_shown() -> None:
    (shown,) = parse({"plain": {"type": "integer", "default": "x"}}).problems
    (hidden,) = parse({"plain": {"secret": True, "max": 0, "default": "kx-71ab-95"}}).problems
    assert shown.line
    assert hidden.line == ""


def test_a_default_may_be_an_expression_of_the_clock() -> None:
    known = parse({"day": {"type": "date", "default": "${{ today | minus(1) }}"}})
    assert known.params == {"day": known.now.date() - timedelta(days=1)}
