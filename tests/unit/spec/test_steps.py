"""Steps as values: what comes from the step, the defaults and nothing."""

from __future__ import annotations

import pytest

from rolerunner.actions import registry
from rolerunner.errors import SpecError
from rolerunner.model import Retry, Step
from rolerunner.spec.loader import load_spec

LIST = "action: s3.list, role: job, source: s3://bucket/"
PARAM = "params: {n: {type: integer, required: true}}\n"


def load(fields: str, top: str = "") -> Step:
    text = f"version: 1\nname: t\n{top}steps:\n  - {{id: a, {LIST}{fields}}}\n"
    return load_spec(text, "t.yaml", registry(), {}, complete=False).steps[0]


def test_a_step_without_more_than_it_needs() -> None:
    step = load("")
    assert (step.id, step.action, step.fields) == ("a", "s3.list", {"source": "s3://bucket/"})
    assert (step.retry, step.timeout, step.attempt_timeout) == (Retry(), None, None)
    assert (step.on_error, step.when, step.for_each, step.max_parallel) == (
        "fail",
        "on_success",
        None,
        0,
    )
    assert (step.needs, step.permissions, step.secret_outputs) == ((), (), ())
    assert (step.mark.line, step.description) == (4, "")


DEFAULTS = "defaults: {on_error: continue, timeout: 30m, retry: {attempts: 5, timeout: 1m}}\n"


@pytest.mark.parametrize(
    ("fields", "top", "expected"),
    [
        ("", DEFAULTS, ("continue", 1800.0, 5, 60.0)),
        (", on_error: fail", DEFAULTS, ("fail", 1800.0, 5, 60.0)),
        (", timeout: 1m", DEFAULTS, ("continue", 60.0, 5, 60.0)),
        (", timeout: 0s", DEFAULTS, ("continue", 0.0, 5, 60.0)),
        (", retry: {attempts: 2}", DEFAULTS, ("continue", 1800.0, 2, None)),
        (", retry: {timeout: 2m}", "", ("fail", None, 3, 120.0)),
    ],
)
def test_a_step_wins_over_the_defaults(
    fields: str, top: str, expected: tuple[str, float | None, int, float | None]
) -> None:
    step = load(fields, top)
    assert (step.on_error, step.timeout, step.retry.attempts, step.attempt_timeout) == expected


@pytest.mark.parametrize(
    ("fields", "attempts"),
    [
        (", timeout: '${{ params.n }}'", Retry().attempts),
        (", retry: '${{ params.n }}'", Retry().attempts),
        (", retry: {attempts: '${{ params.n }}'}", Retry().attempts),
        (", retry: {timeout: '${{ params.n }}'}", 3),
    ],
)
def test_a_value_that_is_not_known_yet_is_left_out(fields: str, attempts: int) -> None:
    step = load(fields, PARAM)
    assert (step.timeout, step.attempt_timeout) == (None, None)
    assert step.retry.attempts == attempts


@pytest.mark.parametrize(
    ("loop", "items", "limit"),
    [
        ("[x]", ["x"], 0),
        ("[]", [], 0),
        ("{items: [x]}", ["x"], 0),
        ("{items: [x], max_parallel: 7}", ["x"], 7),
    ],
)
def test_a_loop(loop: str, items: list[str], limit: int) -> None:
    step = load(f", for_each: {loop}")
    assert (step.for_each, step.max_parallel) == (items, limit)


def test_the_default_role_is_checked_even_if_no_step_uses_it() -> None:
    with pytest.raises(SpecError) as caught:
        load("", "defaults: {role: nobody}\n")
    assert [each.message for each in caught.value.problems] == ["there is no role 'nobody'"]
