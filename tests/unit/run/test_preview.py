"""The objects that a run would work on, and the reasons why they are not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Optional

import pytest

from rolerunner.actions.base import Action, StepContext
from rolerunner.actions.object_plans import ObjectPlan
from rolerunner.errors import StepError
from rolerunner.model import (
    Job,
    Permission,
    Plan,
    PlannedSecret,
    Role,
    RoleChoice,
    SecretSource,
    Step,
)
from rolerunner.run.environment import RunEnvironment
from rolerunner.run.preview import preview_objects, preview_steps
from rolerunner.spec.expressions import parse_template

if TYPE_CHECKING:
    from pathlib import Path

UNKNOWN_ITEMS = "its items are known only during the run"
UNKNOWN_OUTPUTS = "it depends on the outputs of earlier steps"


class Probe(Action):
    """Works on as many objects as its text has characters."""

    text: str = ""

    def run(self, context: StepContext) -> Mapping[str, Any]:
        raise AssertionError("a preview runs nothing")

    def permissions(self) -> Mapping[str, list[Permission]]:
        return {}

    def survey(self, context: StepContext) -> Mapping[str, Any]:
        assert context.run_id == "survey"
        self._fail()
        return {"objects": len(self.text), "prefix": "in/"}

    def plan_objects(self, context: StepContext, report: Callable[[ObjectPlan], None]) -> None:
        del context
        self._fail()
        for each in self.text:
            report(ObjectPlan("send" if each != "s" else "skip", each, "new"))

    def _fail(self) -> None:
        if self.text == "fail":
            raise StepError("no such bucket", type="NotFound")
        if self.text == "bug":
            raise ValueError("a plugin's own")
        if self.text == "interrupt":
            raise KeyboardInterrupt


def step(text: Any, id_: str = "a", **more: Any) -> Step:
    value = parse_template(text) if "${{" in text else text
    return Step(id_, "probe", {"text": value}, **more)


class Bench:
    """Previews jobs, and keeps the lines of objects."""

    def __init__(self, folder: Path) -> None:
        unused: Any = None
        self.environment = RunEnvironment({"probe": Probe}, unused, unused, folder, folder)
        self.lines: list[Mapping[str, Any]] = []

    def plan(self, *steps: Step, secrets: tuple[PlannedSecret, ...] = (), **params: Any) -> Plan:
        return Plan(Job("j", steps, params=params), (), (), secrets=secrets)

    def steps(self, *steps: Step, **more: Any) -> Mapping[str, Any]:
        return preview_steps(self.plan(*steps, **more), self.environment)

    def objects(
        self,
        *steps: Step,
        write: Optional[Callable[[Mapping[str, Any]], object]] = None,
        **more: Any,
    ) -> Mapping[str, Any]:
        plan = self.plan(*steps, **more)
        return preview_objects(plan, self.environment, write or self.lines.append)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_step_has_what_it_would_work_on(bench: Bench) -> None:
    assert bench.steps(step("${{ run.id }}"))["a"]["objects"] == len("survey")
    found = bench.steps(step("${{ params.x }}"), step("ab", "b"), x="four")
    assert found == {
        "a": {"objects": 4, "prefix": "in/"},
        "b": {"objects": 2, "prefix": "in/"},
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("fail", "no such bucket"),
        ("bug", "a plugin's own"),
        ("${{ params.none }}", "params.none"),
    ],
)
def test_what_would_fail_has_the_reason(bench: Bench, text: str, reason: str) -> None:
    assert reason in bench.steps(step(text))["a"]["unknown"]
    assert bench.objects(step(text)) == {"a": {"fail": 1}}
    (line,) = bench.lines
    assert (line["step"], line["action"], line["does"]) == ("a", "probe", "fail")
    assert reason in line["reason"]


def test_an_interrupt_ends_a_preview(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.steps(step("interrupt"))
    with pytest.raises(KeyboardInterrupt):
        bench.objects(step("interrupt"))


def test_outputs_of_earlier_steps_are_not_known(bench: Bench) -> None:
    reads = step("x", references=frozenset({"b"}))
    assert bench.steps(reads) == {"a": {"unknown": UNKNOWN_OUTPUTS}}
    assert bench.objects(reads) == {"a": {"unknown": 1}}
    assert bench.lines[0]["reason"] == UNKNOWN_OUTPUTS


def test_secrets_that_a_run_fetches_are_not_known(bench: Bench) -> None:
    secrets = (PlannedSecret(SecretSource("password", "ssm", "/p"), ()),)
    found = bench.steps(step("${{ params.password }}"), step("ab", "b"), secrets=secrets)
    reason = "it depends on 'params.password', which only a run fetches"
    assert found == {"a": {"unknown": reason}, "b": {"objects": 2, "prefix": "in/"}}
    found = bench.objects(step("${{ params.password }}"), step("ab", "b"), secrets=secrets)
    assert found == {"a": {"unknown": 1}, "b": {"send": 2}}
    assert bench.lines[0]["reason"] == reason
    found = bench.steps(step("${{ params.password.x }}"), secrets=secrets)
    assert found == {"a": {"unknown": reason.replace("password", "password.x")}}


def test_known_items_are_summed_up(bench: Bench) -> None:
    loop = step("${{ item }}", for_each=["one", "fail", "three"])
    found = bench.steps(loop)["a"]
    assert found["objects"] == 3 + 5
    assert found["items"]["one"] == {"objects": 3, "prefix": "in/"}
    assert found["unknown"] == "fail: no such bucket"
    assert bench.objects(loop) == {"a": {"send": 8, "fail": 1}}
    assert [line["item"] for line in bench.lines][:3] == ["one"] * 3


def test_items_that_are_not_known_are_a_reason(bench: Bench) -> None:
    loop = step("${{ item }}", for_each=parse_template("${{ steps.b.objects }}"))
    assert bench.steps(loop) == {"a": {"unknown": UNKNOWN_ITEMS}}
    assert bench.objects(loop) == {"a": {"unknown": 1}}
    assert bench.lines == [
        {"step": "a", "action": "probe", "does": "unknown", "reason": UNKNOWN_ITEMS}
    ]


def test_the_steps_of_a_group_are_previewed_for_each_item(bench: Bench) -> None:
    inner = (step("${{ item }}", "g.a"), step("x", "g.b", references=frozenset({"g.a"})))
    group = Step("g", "group", {}, for_each=["xy", "z"], steps=inner)
    found = bench.steps(group)
    assert list(found) == ["g.a", "g.b"]
    assert found["g.a"]["objects"] == 3
    assert list(found["g.a"]["items"]) == ["xy", "z"]
    assert found["g.b"]["unknown"] == f"xy: {UNKNOWN_OUTPUTS}, and 1 more"


def test_an_item_chooses_its_role(bench: Bench) -> None:
    choice = RoleChoice(parse_template("${{ item }}"), {"x": Role("arn:x", "x")})
    loop = step("ab", for_each=["x", "y"], role_choices={"role": choice})
    found = bench.steps(loop)["a"]
    assert found["items"]["x"] == {"objects": 2, "prefix": "in/"}
    assert "gives 'y', which is not a role" in found["items"]["y"]["unknown"]


def test_lines_count_what_would_be_done(bench: Bench) -> None:
    assert bench.objects(step("asb")) == {"a": {"send": 2, "skip": 1}}
    assert bench.lines[1] == {
        "step": "a", "action": "probe", "does": "skip", "object": "s", "reason": "new",
    }  # fmt: skip


def test_lines_that_cannot_be_written_end_the_preview(bench: Bench) -> None:
    def fail(_: Mapping[str, Any]) -> object:
        raise OSError(28, "No space left on device")

    for each in (step("ab"), step("x", references=frozenset({"b"}))):
        with pytest.raises(OSError, match="No space left"):
            bench.objects(each, write=fail)
    loop = step("x", for_each=parse_template("${{ steps.b.objects }}"))
    with pytest.raises(OSError, match="No space left"):
        bench.objects(loop, write=fail)
