"""The values that a step gets, and what its fingerprint covers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from rolerunner.actions.base import Action, StepContext
from rolerunner.errors import FieldError, Mark
from rolerunner.model import Permission, Role, Step
from rolerunner.redaction.secrets import register_secret
from rolerunner.run.inputs import build_action, fingerprint_inputs, resolve_templates
from rolerunner.spec.expressions import parse_template

SCOPE: dict[str, Any] = {
    "params": {"n": 3, "word": "word", "key": register_secret("secret-of-test-inputs")},
    "steps": {},
    "run": {"id": "r1", "error": "broken", "name": "j"},
}
MARK = Mark("spec.yaml", 3, 5)


class Probe(Action):
    """An action with a field that may hold secrets and others that may not."""

    count: int = 0
    texts: list[Any] = []  # noqa: RUF012 - pydantic copies it
    arguments: dict[str, Any] = {}  # noqa: RUF012

    def run(self, context: StepContext) -> Mapping[str, Any]:
        raise NotImplementedError

    def permissions(self) -> Mapping[str, list[Permission]]:
        return {}

    @classmethod
    def accepts_secret(cls, path: tuple[Any, ...]) -> bool:
        return bool(path[0] == "arguments")


def build(**fields: Any) -> Any:
    values = {name: fill(each) for name, each in fields.items()}
    return build_action(Step("it", "probe", values, mark=MARK), SCOPE, {"probe": Probe})


def fill(value: Any) -> Any:
    return parse_template(value) if isinstance(value, str) and "${{" in value else value


def test_templates_are_resolved() -> None:
    made = build(count="${{ params.n }}", texts=[parse_template("a ${{ params.word }}")])
    assert (made.count, made.texts) == (3, ["a word"])


def test_a_wrong_value_is_told_with_its_place() -> None:
    with pytest.raises(FieldError) as refused:
        build(count="${{ params.word }}", texts=1)
    assert str(refused.value).startswith("spec.yaml:3:5: ")
    assert "; " in str(refused.value)
    with pytest.raises(FieldError, match=r"^spec\.yaml:3:5: there is no 'params\.none'"):
        build(count="${{ params.none }}")
    with pytest.raises(FieldError, match=r"^spec\.yaml:3:5: 1 / 0|'1 / 0' cannot be evaluated"):
        resolve_templates(Step("it", "probe", {}, mark=MARK), parse_template("${{ 1 / 0 }}"), SCOPE)


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("skipped", "the step 'a' was skipped"),
        ("failed", "the step 'a' failed"),
        ("not_run", "the step 'a' did not run"),
        ("succeeded", ""),
    ],
)
def test_a_missing_output_is_explained(status: str, hint: str) -> None:
    step = Step("s", "probe", {}, mark=MARK)
    scope = {**SCOPE, "steps": {"a": {"status": status}}}
    with pytest.raises(FieldError, match=r"there is no 'steps.a.count'") as caught:
        resolve_templates(step, [parse_template("${{ steps.a.count }}")], scope)
    assert caught.value.hint.startswith(hint)
    assert bool(caught.value.hint) is bool(hint)


def test_a_secret_reaches_only_fields_that_may_hold_one() -> None:
    made = build(arguments={"deep": [{"key": parse_template("${{ params.key }}")}]})
    assert made.arguments["deep"][0]["key"] == "secret-of-test-inputs"
    with pytest.raises(FieldError) as refused:
        build(texts=["a", {"b": parse_template("x${{ params.key }}")}])
    assert str(refused.value) == "spec.yaml:3:5: 'texts.1.b' would get a secret"
    assert refused.value.hint.startswith("secrets may be used in arguments of python.call")


def inputs(fields: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    values = {name: fill(each) for name, each in fields.items()}
    return fingerprint_inputs(Step("it", "probe", values, **more), SCOPE)


def test_a_fingerprint_covers_action_roles_and_fields() -> None:
    hub = Role("arn:aws:iam::111122223333:role/hub", "hub")
    roles = {
        "source_role": Role("arn:r", "reader", via=hub, external_id="x"),
        "target_role": Role("arn:w", "writer"),
    }
    assert inputs({"n": "${{ params.n }}", "idempotent": False}, roles=roles) == {
        "action": "probe",
        "role source_role": ["arn:r", "x", "hub"],
        "role target_role": ["arn:w", "", ""],
        "n": 3,
    }


def test_what_differs_in_each_run_is_left_empty() -> None:
    found = inputs({"a": "${{ run.id }}", "b": "${{ run.error }}", "c": "${{ run.name }}"})
    assert found == {"action": "probe", "a": "", "b": "", "c": "j"}
    assert SCOPE["run"]["id"] == "r1"


def test_a_loop_is_covered_by_its_items() -> None:
    fields = {
        "of_item": "${{ item.name }}-${{ params.n }}",
        "of_run": "${{ params.n }}",
        "nested": {"x": parse_template("${{ item }}")},
    }
    found = inputs(fields, for_each=fill("${{ [params.n, 4] }}"))
    assert found["for_each"] == [3, 4]
    assert found["of_item"] == "${{ item.name }}-${{ params.n }}"
    assert found["of_run"] == 3
    assert isinstance(found["nested"], str)
