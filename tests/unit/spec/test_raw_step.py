"""Each step on its own: its form, its action, and what may be an expression."""

from __future__ import annotations

import pytest

from rolerunner.actions import registry
from rolerunner.spec.raw_step import RawStep, accepts_secret, parse_raw_steps
from rolerunner.spec.reader import LoadContext, SpecReader
from rolerunner.spec.yaml_parser import parse_document

LIST = "action: s3.list, role: job, source: s3://bucket/"


def parse(text: str) -> tuple[list[RawStep], list[tuple[str, str]]]:
    reader = SpecReader(parse_document(f"steps:\n  - {text}\n", "t.yaml"), LoadContext())
    steps = parse_raw_steps(reader.document.data["steps"], registry(), reader)
    return steps, [(each.message, each.hint) for each in reader.known.problems]


@pytest.mark.parametrize(
    ("value", "shown"), [("5", "5"), ("text", "'text'"), ("[a]", "a list"), ("", "nothing")]
)
def test_a_step_is_a_mapping(value: str, shown: str) -> None:
    message = f"a step must be a mapping with 'id' and 'action', not {shown}"
    assert parse(value) == ([], [(message, "")])


def test_an_unknown_action_is_still_a_step() -> None:
    (step,), problems = parse("{id: a, action: s3.lst, role: job, anything: 1}")
    assert problems == [("unknown action 's3.lst'", "did you mean 's3.list'?")]
    assert (step.schema, step.role_fields, step.fields) == (None, ("role",), {"anything": 1})
    _, ((message, hint),) = parse("{id: a, action: zzzzzzzz}")
    assert message == "unknown action 'zzzzzzzz'"
    assert hint.startswith("known: ")
    assert "s3.list" in hint


@pytest.mark.parametrize("key", ["when", "for_each", "permissions"])
def test_an_evaluated_field_is_one_expression(key: str) -> None:
    _, problems = parse(f"{{id: a, {LIST}, {key}: 'x ${{{{ run.id }}}}'}}")
    assert (f"'{key}' must be a single expression with nothing around it", "") in problems
    _, problems = parse(f"{{id: a, {LIST}, {key}: '${{{{ run.id }}}}'}}")
    assert problems == []


def test_a_step_with_mistakes_is_checked_further_if_it_has_an_id_and_an_action() -> None:
    (step,), problems = parse(f"{{id: a, {LIST}, timeout: soon, limit: x}}")
    assert step.id == "a"
    assert len(problems) == 2
    assert parse(f"{{id: 5, {LIST}}}")[0] == []


def test_the_parts_of_a_loop() -> None:
    (step,), _ = parse(f"{{id: a, {LIST}, for_each: [x]}}")
    assert (step.loop, step.items) == (["x"], ["x"])
    (step,), _ = parse(f"{{id: a, {LIST}, for_each: {{items: [x]}}}}")
    assert (step.loop, step.items) == ({"items": ["x"]}, ["x"])
    (step,), _ = parse(f"{{id: a, {LIST}}}")
    assert (step.loop, step.items, step.secret_outputs) == (None, None, ())


def test_secrets_flow_into_conditions_and_what_the_action_says() -> None:
    kind = registry()["s3.list"]
    assert accepts_secret(kind, ("when",)) is True
    assert accepts_secret(kind, ("for_each",)) is False
    assert accepts_secret(kind, ("source",)) is False
    assert accepts_secret(kind, ("customer_key",)) is True
    assert accepts_secret(None, ("anything",)) is True
