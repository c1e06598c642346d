"""Params: the values of each type, their limits, and errors that do not show secrets."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.errors import Mark, UsageError
from rolerunner.redaction.encodings import MIN_SECRET_LENGTH
from rolerunner.redaction.secrets import SecretValue
from rolerunner.spec.document import parse_document
from rolerunner.spec.params import check_pattern, matches_pattern, parse_param, parse_params
from rolerunner.spec.reader import LoadContext, SpecReader
from rolerunner.spec.schema import ParamFields
from rolerunner.spec.values import FileValue

UTC = timezone.utc


def declare(**fields: Any) -> ParamFields:
    return ParamFields.model_validate(fields)


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        ("string", "", ""),
        ("integer", 7, 7),
        ("integer", " -7 ", -7),
        ("integer", "9" * 18, int("9" * 18)),
        ("number", 2, 2),
        ("number", "2.5", 2.5),
        ("boolean", True, True),
        ("boolean", " YES ", True),
        ("boolean", 1, True),
        ("boolean", "off", False),
        ("date", date(2026, 1, 31), date(2026, 1, 31)),
        ("date", " 2026-01-31 ", date(2026, 1, 31)),
        ("datetime", "2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("datetime", "2026-01-31T06:00:00Z", datetime(2026, 1, 31, 6, tzinfo=UTC)),
        (
            "datetime",
            "2026-01-31T06:00:00+02:00",
            datetime(2026, 1, 31, 6, tzinfo=timezone(timedelta(hours=2))),
        ),
        ("duration", 90, 90.0),
        ("duration", "1m", 60.0),
        ("size", 5, 5),
        ("size", "1KiB", 1024),
        ("list", ["a", 1], ["a", 1]),
        ("list", "", []),
        ("list", " a , b,,", ["a", "b"]),
        ("list", '["a", 1]', ["a", 1]),
    ],
)
def test_values_of_each_type(kind: str, value: Any, result: Any) -> None:
    found = parse_param(declare(type=kind), value)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("string", 5, "must be text, not 5; put it in quotes"),
        ("string", True, "must be text, not true; put it in quotes"),
        ("integer", True, "must be a whole number, not true"),
        ("integer", "9" * 19, f"must be a whole number, not '{'9' * 19}'"),
        ("integer", "1.0", "must be a whole number, not '1.0'"),
        ("integer", 1.0, "must be a whole number, not 1.0"),
        ("number", True, "must be a number, not true"),
        ("number", "many", "must be a number, not 'many'"),
        ("number", "nan", "must be a number, not 'nan'"),
        ("number", float("inf"), "must be a number, not inf"),
        ("number", "-inf", "must be a number, not '-inf'"),
        ("boolean", "2", "must be true or false, not '2'"),
        ("date", "2026-02-30", "must be a date such as 2026-01-31, not '2026-02-30'"),
        (
            "date",
            datetime(2026, 1, 31, tzinfo=UTC),
            "must be a date such as 2026-01-31, not '2026-01-31 00:00:00+00:00'",
        ),
        ("datetime", "noon", "must be a time such as 2026-01-31T06:00:00Z, not 'noon'"),
        ("duration", True, "must be a duration such as 30s or 2h, not true"),
        ("size", 1.5, "must be a size such as 16MiB or 5GB, not 1.5"),
        ("size", True, "must be a size such as 16MiB or 5GB, not true"),
        ("list", 5, "must be a list, not 5"),
        ("list", "[a", 'must be a list such as a,b or ["a", "b"], not \'[a\''),
    ],
)
def test_other_values_are_errors(kind: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        parse_param(declare(type=kind), value)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fields", "value", "message"),
    [
        ({"type": "integer", "min": 2, "max": 2}, 2, ""),
        ({"type": "integer", "min": 2}, 1, "must be at least 2, not 1"),
        ({"type": "integer", "max": 2}, 3, "must be at most 2, not 3"),
        ({"min": 2, "max": 2}, "ab", ""),
        ({"min": 2}, "a", "must be at least 2 characters, not 1"),
        ({"max": 2}, "abc", "must be at most 2 characters, not 3"),
        ({"type": "list", "min": 1}, "", "must be at least 1 values, not 0"),
        ({"type": "list", "max": 1}, "a,b", "must be at most 1 values, not 2"),
        ({"type": "duration", "max": "1m"}, "1m", ""),
        ({"type": "duration", "max": "1m"}, "61s", "must be at most 1m, not 61.0"),
        ({"type": "date", "min": "2026-01-31"}, "2026-01-31", ""),
        (
            {"type": "date", "min": "2026-01-31"},
            "2026-01-30",
            "must be at least 2026-01-31, not '2026-01-30'",
        ),
        ({"pattern": "a|b"}, "b", ""),
        ({"pattern": "a|b"}, "ab", "must match a|b, unlike 'ab'"),
        ({"type": "integer", "choices": [1, "2"]}, "2", ""),
        ({"type": "integer", "choices": [1, 2]}, "3", "must be one of 1, 2, not 3"),
        ({"type": "choice", "choices": ["a"]}, "a", ""),
    ],
)
def test_limits(fields: dict[str, Any], value: Any, message: str) -> None:
    if not message:
        parse_param(declare(**fields), value)
        return
    with pytest.raises(ValueError, match="must ") as caught:
        parse_param(declare(**fields), value)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("[a-z]+", "ab", True),
        ("[a-z]+", "ab1", False),
        ("[a-z]+", "1ab", False),
        ("a", "a\n", False),
        ("", "", True),
        ("(a*)*b", "a" * 5000, False),
    ],
)
def test_the_whole_text_matches_in_linear_time(pattern: str, text: str, expected: bool) -> None:
    assert matches_pattern(pattern, text) is expected


def test_patterns_are_checked() -> None:
    assert check_pattern("[a-z]+") == "[a-z]+"
    assert check_pattern(None) is None
    with pytest.raises(ValueError, match="is not a valid regular expression: ") as caught:
        check_pattern("(?=a)")
    assert str(caught.value).endswith("(look-around and back-references are not supported)")
    with pytest.raises(ValidationError):
        declare(pattern="(")


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
