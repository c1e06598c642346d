"""Groups of steps: items side by side, failures, resume, selection, results."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import RolesRefused, StepError, UsageError
from rolerunner.events import StepFinished, StepStarted
from rolerunner.run.state import run_state
from rolerunner.run.state.stores import FolderStore
from tests.conftest import identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolerunner import sandbox
    from rolerunner.model import RunResult

FUNCTIONS = """
import json, os, signal, threading, time
from pathlib import Path
at_once = {"now": 0, "most": 0}
lock = threading.Lock()

def say(context, value=None):
    return {"value": value}

def fail(context, broken):
    if broken:
        raise ValueError("broken")
    return {"value": "fine"}

def fail_once(context, path):
    if not Path(path).exists():
        Path(path).touch()
        raise ConnectionError("not yet")
    return {"value": "then"}

def fail_unless(context, path):
    if not Path(path).exists():
        raise ValueError("missing")
    return {"value": "there"}

def add(context, path, text):
    with lock, Path(path).open("a") as file:
        file.write(text + "\\n")
    return {"value": text}

def die_at(context, text, at):
    if text == at and not Path("survived").exists():
        Path("survived").touch()
        time.sleep(1)  # what ended is written within that
        os._exit(9)
    return {"value": text}

def wait(context, seconds):
    with lock:
        at_once["now"] += 1
        at_once["most"] = max(at_once["most"], at_once["now"])
    context.cancel.wait(seconds)
    with lock:
        at_once["now"] -= 1
    return {"most": at_once["most"]}

def interrupt(context, at):
    if at:
        os.kill(os.getpid(), signal.SIGTERM)
        context.cancel.wait(30)
        raise RuntimeError("stopped")

def read_state(context):
    (path,) = Path("state").rglob("*.json")
    return {"steps": list(json.loads(path.read_text())["steps"])}

def count_up(context, number):
    return {"items": list(range(number))}

def stop(context):
    context.cancel.wait(30)
    raise RuntimeError("stopped")
"""
ACCOUNT = "111122223333"
TRUST = f"""
    trust:
      - {{Effect: Allow, Principal: {{AWS: "arn:aws:iam::{ACCOUNT}:role/job"}},
         Action: sts:AssumeRole}}"""
WORLD = f"""
version: 1
job_role: arn:aws:iam::{ACCOUNT}:role/job
roles:
  - arn: arn:aws:iam::{ACCOUNT}:role/job
    permissions: [{{Effect: Allow, Action: "sts:AssumeRole", Resource: "*"}}]
  - arn: arn:aws:iam::222233334444:role/north{TRUST}
    permissions:
      - {{Effect: Allow, Action: "s3:*",
         Resource: ["arn:aws:s3:::in-north", "arn:aws:s3:::in-north/*"]}}
  - arn: arn:aws:iam::333344445555:role/south{TRUST}
    permissions:
      - {{Effect: Allow, Action: "s3:*",
         Resource: ["arn:aws:s3:::in-south", "arn:aws:s3:::in-south/*"]}}
buckets:
  - name: in-north
    account: "222233334444"
    objects:
      - {{key: day/a.csv, text: aa}}
      - {{key: day/b.csv, text: b}}
      - {{key: move/one.csv, text: one}}
      - {{key: move/two.csv, text: two}}
  - name: in-south
    account: "333344445555"
    objects: [{{key: day/c.csv, text: ccc}}]
"""
ROLES = """roles:
  north_reader: arn:aws:iam::222233334444:role/north
  south_reader: arn:aws:iam::333344445555:role/south
"""


@pytest.fixture(autouse=True)
def _functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "doings.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("doings", None)


class Order:
    """The starts and ends of steps, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def notify(self, event: Any) -> None:
        if isinstance(event, StepStarted):
            self.seen.append(f"+{event.step.id}")
        if isinstance(event, StepFinished):
            self.seen.append(f"-{event.result.id}")


def run(tmp_path: Path, steps: str, top: str = "", **given: Any) -> RunResult:
    path = tmp_path / "job.yaml"
    path.write_text(f"version: 1\nname: t\n{top}steps:\n{steps}")
    return api.run(api.load(path), **given)


def call(id_: str, function: str = "say", more: str = "", **arguments: Any) -> str:
    return (
        f"{{id: {id_}, action: python.call, function: 'doings:{function}', "
        f"arguments: {json.dumps(arguments)}{', ' + more if more else ''}}}"
    )


def group(items: Any, *steps: str, more: str = "", id_: str = "g") -> str:
    shown = items if isinstance(items, str) else json.dumps(items)
    inner = "".join(f"      - {step}\n" for step in steps)
    settings = f"    {more}\n" if more else ""
    return f"  - id: {id_}\n    for_each: {shown}\n{settings}    steps:\n{inner}"


def statuses(result: RunResult, group_id: str = "g") -> dict[str, list[str]]:
    found = next(step for step in result.steps if step.id == group_id)
    return {item.item: [step.status for step in item.steps] for item in found.items}


def test_steps_of_an_item_read_each_other_and_outside_reads_lists(tmp_path: Path) -> None:
    order = Order()
    steps = (
        f"  - {call('before', value='x')}\n"
        + group(
            [{"name": "north", "n": 1}, {"name": "south", "n": 2}],
            call("one", value="${{ item.n }}"),
            call("two", value="${{ steps.one.value }} ${{ steps.before.value }} ${{ item.name }}"),
            more="max_parallel: 1",
        )
        + f"  - {call('after', value='${{ steps.g.two.value }}')}\n"
        + f"  - {call('last', value='${{ steps.g.two.status }}')}\n"
    )
    result = run(tmp_path, steps, observers=[order])
    assert result.status == "succeeded"
    by_id = {step.id: step for step in result.steps}
    assert by_id["after"].outputs["value"] == ["1 x north", "2 x south"]
    assert by_id["last"].outputs["value"] == ["succeeded", "succeeded"]
    inner = [step.id for item in by_id["g"].items for step in item.steps]
    assert inner == ["g[north].one", "g[north].two", "g[south].one", "g[south].two"]
    started = [each for each in order.seen if each.startswith("+")]
    assert started == ["+before", "+g", *(f"+{each}" for each in inner), "+after", "+last"]


def test_items_run_side_by_side_up_to_max_parallel(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        group([1, 2, 3, 4], call("w", "wait", seconds=0.2), more="max_parallel: 2"),
        "max_parallel: 8\n",
    )
    assert max(result.steps[0].outputs["w"]["most"]) == 2


def test_steps_of_an_item_run_at_once_where_needs_allow_it(tmp_path: Path) -> None:
    steps = group(
        [1],
        call("a", "wait", "needs: []", seconds=0.3),
        call("b", "wait", "needs: []", seconds=0.3),
        call("c", value="${{ steps.a.most }}"),
    )
    result = run(tmp_path, steps)
    assert result.status == "succeeded"
    assert max(result.steps[0].outputs[name]["most"][0] for name in "ab") == 2


@pytest.mark.parametrize(
    ("limit", "status", "run_status"),
    [
        ("max_failures: 0", "failed", "failed"),
        ("max_failures: 1", "warning", "warning"),
        ("max_failures: 40%", "warning", "warning"),
        ("max_failures: 39%", "failed", "failed"),
        ("on_error: continue", "failed", "warning"),
    ],
)
def test_a_number_of_items_may_fail(
    limit: str, status: str, run_status: str, tmp_path: Path
) -> None:
    steps = group(
        ["a", "b", "c"] if "%" not in limit else ["a", "b", "c", "d", "e"],
        call("f", "fail", broken="${{ item == 'b' or item == 'e' }}"),
        call("next"),
        call("report", more="when: on_failure", value="${{ run.error }}"),
        more=f"{limit}\n    max_parallel: 1",
    )
    result = run(tmp_path, steps)
    found = result.steps[0]
    assert (found.status, result.status) == (status, run_status)
    assert statuses(result)["a"] == ["succeeded", "succeeded", "skipped"]
    assert statuses(result)["b"] == ["failed", "not_run", "succeeded"]
    assert found.error is not None
    assert "g[b].f: " in found.error.message
    told = found.items[1].steps[2].outputs["value"]
    assert told.startswith("g[b].f: ")


def test_after_too_many_failures_no_item_starts(tmp_path: Path) -> None:
    steps = group(
        ["a", "b", "c", "d"],
        call("f", "fail", broken=True),
        more="max_failures: 1\n    max_parallel: 1",
    )
    result = run(tmp_path, steps)
    assert statuses(result) == {
        "a": ["failed"],
        "b": ["failed"],
        "c": ["not_run"],
        "d": ["not_run"],
    }
    assert result.steps[0].error is not None
    assert result.steps[0].error.message.startswith("2 of 4 items failed: g[a].f: ")


def test_when_on_error_and_retry_hold_inside(tmp_path: Path) -> None:
    steps = group(
        ["a", "b"],
        call("only_a", more="when: \"${{ item == 'a' }}\""),
        call("soft", "fail", "on_error: continue", broken="${{ item == 'b' }}"),
        call(
            "again",
            "fail_once",
            "retry: {attempts: 2, delay: 0.01s}",
            path=f"{tmp_path}/x${{{{ item }}}}",
        ),
    )
    result = run(tmp_path, steps)
    assert statuses(result) == {
        "a": ["succeeded", "succeeded", "succeeded"],
        "b": ["skipped", "failed", "succeeded"],
    }
    assert result.steps[0].status == "warning"
    assert result.steps[0].outputs["again"]["value"] == ["then", "then"]
    assert result.steps[0].attempts == 2


def test_an_empty_list_gives_empty_lists(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        "version: 1\nname: t\nsteps:\n"
        + group([], "{id: x, action: s3.list, role: job, source: 's3://bucket/${{ item }}/'}")
        + f"  - {call('after', value='${{ steps.g.x.count }}')}\n"
    )
    job = api.load(path)
    assert [step.id for step in job.action_steps] == ["g.x", "after"]
    result = run(tmp_path, group([], call("x")))
    assert (result.status, result.steps[0].items) == ("succeeded", ())


@pytest.mark.parametrize(
    ("loop", "read", "expected"),
    [
        (group([], call("x", value="${{ item }}")), "steps.g.x.value", []),
        (group([1, 2], call("x", more="when: '${{ item > 2 }}'")), "steps.g.x.value", [None] * 2),
        (
            group([1, 2], call("x", "fail", broken=True), more="max_failures: 100%"),
            "steps.g.x.value",
            [None] * 2,
        ),
        (f"  - {call('l', more='for_each: []', value=1)}\n", "steps.l.value", []),
    ],
    ids=["no items", "all skipped", "all failed", "a loop without items"],
)
def test_outputs_whose_names_only_runs_know_are_lists_without_any_value(
    loop: str, read: str, expected: list[Any], tmp_path: Path
) -> None:
    read_all = f"${{{{ {read} }}}}"
    result = run(tmp_path, loop + f"  - {call('after', value=read_all)}\n")
    assert result.steps[-1].outputs == {"value": expected}, result.steps[-1].error


def test_an_output_of_a_skipped_step_is_missing_for_a_reason(tmp_path: Path) -> None:
    skipped = call("s", more="when: '${{ 1 > 2 }}'")
    read = call("after", value="${{ steps.s.value }}")
    error = run(tmp_path, f"  - {skipped}\n  - {read}\n").steps[-1].error
    assert error is not None
    assert error.hint == (
        "the step 's' was skipped, so it has no outputs; test that first, "
        "as in when: ${{ steps.s.status == 'succeeded' }}"
    )


def test_items_with_hostile_names_are_labelled_by_position(tmp_path: Path) -> None:
    items = ["../../etc/passwd", "a]b", "a\nb", "x" * 300, "ok", "ok", {"name": "[red]"}, None]
    result = run(tmp_path, group(items, call("x", value="${{ item }}")))
    assert result.status == "succeeded"
    assert [item.item for item in result.steps[0].items] == [f"#{n}" for n in range(8)]
    assert result.steps[0].outputs["x"]["value"] == items


def test_the_time_of_a_group_bounds_its_steps(tmp_path: Path) -> None:
    steps = group(
        ["a", "b"],
        call("w", "stop"),
        more="timeout: 0.3s\n    max_parallel: 1\n    max_failures: 2",
    )
    result = run(tmp_path, steps)
    assert statuses(result) == {"a": ["failed"], "b": ["failed"]}
    errors = [item.steps[0].error for item in result.steps[0].items]
    assert [error.type for error in errors if error] == ["Timeout", "Timeout"]
    assert result.seconds < 5


STATE = "state: {location: state}\n"


def test_a_resumed_run_does_what_is_left_of_a_group(tmp_path: Path) -> None:
    steps = (
        group(
            [{"name": "a"}, {"name": "b"}, {"name": "c/d"}],
            call("log", "add", path="log", text="${{ item.name }}"),
            call("f", "fail_unless", path="there-${{ item.name == 'b' }}"),
            more="max_parallel: 1\n    max_failures: 3",
        )
        + f"  - {call('after', more='when: always', value='${{ steps.g.f.value }}')}\n"
    )
    (tmp_path / "there-false").touch()
    first = run(tmp_path, steps, STATE, run_key="k")
    assert first.steps[0].status == "warning"
    document = json.loads((tmp_path / "state/t/k.json").read_text())
    assert document["version"] == 2
    assert {"g[a].log", "g[a].f", "g[b].log", "g[#2].log", "g[#2].f", "after"} == set(
        document["steps"]
    )
    (tmp_path / "there-true").touch()
    second = run(tmp_path, steps, STATE, run_key="k", resume=True)
    assert statuses(second) == {
        "a": ["skipped", "skipped"],
        "b": ["skipped", "succeeded"],
        "#2": ["skipped", "skipped"],
    }
    assert second.steps[1].outputs["value"] == ["there", "there", "there"]
    assert (tmp_path / "log").read_text().splitlines() == ["a", "b", "c/d"]
    third = run(tmp_path, steps, STATE, run_key="k", resume=True)
    assert [step.status for step in third.steps] == ["skipped", "skipped"]
    assert third.steps[0].reason.startswith("completed by run ")


def test_a_killed_run_goes_on_inside_the_group(tmp_path: Path, rolerunner: Any) -> None:
    steps = group(
        ["a", "b", "c"],
        call("log", "add", path="log", text="${{ item }}"),
        call("kill", "die_at", text="${{ item }}", at="b"),
        more="max_parallel: 1",
    )
    path = tmp_path / "job.yaml"
    path.write_text(f"version: 1\nname: t\n{STATE}steps:\n{steps}")
    killed = rolerunner("run", path, "--run-key", "k")
    assert killed.returncode == 9
    resumed = rolerunner("run", path, "--resume", "k", "--result", tmp_path / "r.json")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    items = json.loads((tmp_path / "r.json").read_text())["steps"][0]["items"]
    assert [[step["status"] for step in item["steps"]] for item in items] == [
        ["skipped", "skipped"],
        ["skipped", "succeeded"],
        ["succeeded", "succeeded"],
    ]
    assert (tmp_path / "log").read_text().splitlines() == ["a", "b", "c"]


def test_a_changed_item_or_step_before_it_runs_again(tmp_path: Path) -> None:
    def steps(value: str, text: str) -> str:
        return f"  - {call('before', value=value)}\n" + group(
            [{"name": "a", "t": text}, {"name": "b", "t": "same"}],
            call("x", value="${{ item.t }}"),
            call("y", value="${{ steps.x.value }}"),
        )

    run(tmp_path, steps("1", "one"), STATE, run_key="k")
    changed = run(tmp_path, steps("1", "two"), STATE, run_key="k", resume=True)
    assert statuses(changed) == {"a": ["succeeded", "succeeded"], "b": ["skipped", "skipped"]}
    before = run(tmp_path, steps("2", "two"), STATE, run_key="k", resume=True)
    assert statuses(before) == {"a": ["succeeded", "succeeded"], "b": ["succeeded", "succeeded"]}


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("g[b].y", {"a": ["skipped", "skipped"], "b": ["skipped", "succeeded"]}),
        ("g[#1].y", {"a": ["skipped", "skipped"], "b": ["skipped", "succeeded"]}),
        ("g[a]", {"a": ["succeeded", "succeeded"], "b": ["skipped", "skipped"]}),
        ("g.y", {"a": ["skipped", "succeeded"], "b": ["skipped", "succeeded"]}),
        ("g", {"a": ["succeeded", "succeeded"], "b": ["succeeded", "succeeded"]}),
        ("after", {"a": ["skipped", "skipped"], "b": ["skipped", "skipped"]}),
    ],
)
def test_a_part_of_a_group_is_selected(
    only: str, expected: dict[str, list[str]], tmp_path: Path
) -> None:
    steps = (
        group(
            ["a", "b"],
            call("x", value="${{ item }}"),
            call("y", value="${{ steps.x.value }}"),
        )
        + f"  - {call('after', value='${{ steps.g.y.value }}')}\n"
    )
    assert run(tmp_path, steps, STATE, run_key="k").status == "succeeded"
    again = run(tmp_path, steps, STATE, run_key="k", resume=True, only=[only])
    assert statuses(again) == expected
    assert again.steps[1].status == ("succeeded" if only == "after" else "skipped")
    assert again.steps[0].outputs["y"]["value"] == ["a", "b"]


def test_a_selected_step_needs_what_it_reads(tmp_path: Path) -> None:
    steps = group(["a"], call("x"), call("y", value="${{ steps.x.value }}")) + (
        f"  - {call('after', value='${{ steps.g.y.value }}')}\n"
    )
    result = run(tmp_path, steps, only=["g[a].y"])
    error = result.steps[0].items[0].steps[1].error
    assert error is not None
    assert (error.type, error.message) == (
        "NotSelected",
        "it reads from 'g[a].x', which is not selected and has no state",
    )
    with pytest.raises(UsageError, match="'after' reads from 'g'"):
        run(tmp_path, steps, only=["after"])
    unknown = run(tmp_path, steps, only=["g[b]"])
    assert unknown.steps[0].error is not None
    assert unknown.steps[0].error.message == "the group 'g' has no item 'b'"
    with pytest.raises(UsageError, match="not the id of a step"):
        run(tmp_path, steps, only=["g[a].y.z"])


def test_names_of_parts_are_checked_before_the_run(tmp_path: Path, rolerunner: Any) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("version: 1\nname: t\nsteps:\n" + group(["north"], call("fetch")))
    for name, message in (
        ("g[nroth].fetch", "the group 'g' has no item 'nroth' (did you mean 'north'?)"),
        ("g.fecth", "the group 'g' has no step 'fecth' (did you mean 'fetch'?)"),
        ("h[north]", "there is no step 'h'"),
    ):
        told = rolerunner("run", path, "--only", name)
        assert told.returncode == 2
        assert message in told.stderr
    assert rolerunner("run", path, "--from", "g[north]").returncode == 2
    assert rolerunner("run", path, "--only", "g[north].fetch").returncode == 0


GROUP_OF_ROLES = group(
    [{"name": "north", "role": "north_reader"}, {"name": "south", "role": "south_reader"}],
    "{id: find, action: s3.list, role: '${{ item.role }}', "
    "source: 's3://in-${{ item.name }}/day/'}",
    "{id: fetch, action: s3.download, role: '${{ item.role }}', "
    "objects: '${{ steps.find.objects }}', target: 'in/${{ item.name }}/'}",
)


@pytest.mark.parametrize("engine", ["fast", "boto3"])
def test_each_item_runs_under_its_role(engine: str, aws: sandbox.Sandbox, tmp_path: Path) -> None:
    top = f"engine: {engine}\n{STATE}{ROLES}"
    result = run(tmp_path, GROUP_OF_ROLES, top, identity=identity_of(aws), run_key="k")
    assert result.status == "succeeded", result
    items = result.steps[0].items
    assert [step.role for step in items[0].steps] == ["north_reader"] * 2
    assert [step.role for step in items[1].steps] == ["south_reader"] * 2
    assert result.steps[0].outputs["fetch"]["count"] == [2, 1]
    assert [use.assume_calls for use in result.roles] == [1, 1]
    assert sorted(path.name for path in tmp_path.glob("in/*/*")) == ["a.csv", "b.csv", "c.csv"]
    again = run(tmp_path, GROUP_OF_ROLES, top, identity=identity_of(aws), run_key="k", resume=True)
    assert statuses(again) == {"north": ["skipped"] * 2, "south": ["skipped"] * 2}


def test_items_of_an_output_use_declared_roles_alone(aws: sandbox.Sandbox, tmp_path: Path) -> None:
    def steps(roles: list[str]) -> str:
        items = [{"name": "north", "role": roles[0]}, {"name": "south", "role": roles[1]}]
        return f"  - {call('who', value=items)}\n" + group(
            "${{ steps.who.value }}",
            "{id: find, action: s3.list, role: '${{ item.role }}', "
            "source: 's3://in-${{ item.name }}/day/'}",
            more="roles: [north_reader, south_reader]\n    max_failures: 1",
        )

    given = {"identity": identity_of(aws)}
    right = run(tmp_path, steps(["north_reader", "south_reader"]), ROLES, **given)
    assert right.steps[1].outputs["find"]["count"] == [2, 1]
    for wrong in ("arn:aws:iam::222233334444:role/north", "job", "nobody", ""):
        result = run(tmp_path, steps([wrong, "south_reader"]), ROLES, **given)
        assert statuses(result) == {"north": ["failed"], "south": ["succeeded"]}
        error = result.steps[1].items[0].steps[0].error
        assert error is not None
        assert "is not a role that this step may use" in error.message
        assert error.hint


def test_a_step_with_items_runs_each_under_its_role(aws: sandbox.Sandbox, tmp_path: Path) -> None:
    items = [{"name": "north", "role": "north_reader"}, {"name": "south", "role": "south_reader"}]
    steps = (
        "  - {id: find, action: s3.list, role: '${{ item.role }}', "
        f"source: 's3://in-${{{{ item.name }}}}/day/', for_each: {json.dumps(items)}}}\n"
    )
    result = run(tmp_path, steps, ROLES, identity=identity_of(aws))
    assert result.steps[0].outputs["count"] == [2, 1]
    assert result.steps[0].role == "north_reader, south_reader"


def test_a_refused_role_fails_its_item_alone_if_roles_are_assumed_lazily(
    aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    top = f"assume: lazily\n{ROLES}".replace("role/south", "role/nobody")
    steps = GROUP_OF_ROLES.replace("    steps:", "    max_failures: 1\n    steps:")
    result = run(tmp_path, steps, top, identity=identity_of(aws))
    assert statuses(result) == {"north": ["succeeded"] * 2, "south": ["failed", "not_run"]}
    error = result.steps[0].items[1].steps[0].error
    assert error is not None
    assert error.type == "RoleRefused"
    with pytest.raises(RolesRefused):
        run(tmp_path, steps, top.replace("assume: lazily\n", ""), identity=identity_of(aws))


def test_a_call_whose_outcome_is_unknown_is_not_repeated_for_its_item(
    tmp_path: Path, rolerunner: Any
) -> None:
    steps = group(
        ["a", "b", "c"],
        call("pay", "die_at", "idempotent: false", text="${{ item }}", at="b"),
        more="max_parallel: 1\n    max_failures: 1",
    )
    path = tmp_path / "job.yaml"
    path.write_text(f"version: 1\nname: t\n{STATE}steps:\n{steps}")
    assert rolerunner("run", path, "--run-key", "k").returncode == 9
    resumed = run(tmp_path, steps, STATE, run_key="k", resume=True)
    assert statuses(resumed) == {"a": ["skipped"], "b": ["failed"], "c": ["succeeded"]}
    error = resumed.steps[0].items[1].steps[0].error
    assert error is not None
    assert error.type == "OutcomeUnknown"
    assert "--only g[b].pay" in error.hint
    called = run(tmp_path, steps, STATE, run_key="k", resume=True, only=["g[b].pay"])
    assert statuses(called) == {"a": ["skipped"], "b": ["succeeded"], "c": ["skipped"]}


def test_a_signal_ends_a_group_with_its_result_and_state(tmp_path: Path, rolerunner: Any) -> None:
    steps = group(
        list("abcdefgh"),
        call("log", "add", path="log", text="${{ item }}"),
        call("slow", "interrupt", at="${{ item == 'c' }}"),
        call("later", more="when: always"),
        more="max_parallel: 1",
    )
    path = tmp_path / "job.yaml"
    path.write_text(f"version: 1\nname: t\n{STATE}steps:\n{steps}")
    stopped = rolerunner("run", path, "--run-key", "k", "--result", tmp_path / "r.json")
    assert stopped.returncode == 143, stopped.stderr
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["status"] == "stopped"
    items = {
        item["item"]: [s["status"] for s in item["steps"]] for item in found["steps"][0]["items"]
    }
    assert items["b"] == ["succeeded"] * 3
    assert items["c"] == ["succeeded", "failed", "not_run"]
    assert items["h"] == ["not_run"] * 3
    recorded = json.loads((tmp_path / "state/t/k.json").read_text())["steps"]
    assert {"g[a].later", "g[b].slow", "g[c].log"} <= set(recorded)
    assert found["steps"][0]["error"]["message"].startswith("1 of 8 items failed: g[c].slow: ")


def test_the_deadline_of_the_job_holds_inside_a_group(tmp_path: Path) -> None:
    steps = group(["a", "b"], call("w", "wait", seconds=0.5), more="max_parallel: 1")
    result = run(tmp_path, steps, "deadline: 0.2s\n")
    assert (result.status, statuses(result)) == ("failed", {"a": ["succeeded"], "b": ["not_run"]})
    assert result.steps[0].error is not None
    assert result.steps[0].error.type == "Deadline"


def test_a_group_with_too_many_steps_is_refused(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        f"  - {call('many', 'count_up', number=25_001)}\n"
        + group("${{ steps.many.items }}", call("a"), call("b")),
    )
    assert result.steps[1].error is not None
    assert "25,001 items with 2 steps each are 50,002 steps; the limit is 50,000" in (
        result.steps[1].error.message
    )


@pytest.mark.parametrize("items", [5, "text", {"a": 1}, None])
def test_what_is_no_list_of_items_fails_the_group(items: Any, tmp_path: Path) -> None:
    result = run(
        tmp_path,
        f"  - {call('what', value=items)}\n" + group("${{ steps.what.value }}", call("a")),
    )
    assert (result.steps[1].status, result.steps[1].items) == ("failed", ())
    assert result.steps[1].error is not None
    assert "'for_each' must be a list" in result.steps[1].error.message


def test_two_items_do_not_move_their_objects_to_one_key(
    aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    steps = group(
        ["one", "two"],
        "{id: move, action: s3.copy, role: north_reader, move: true, "
        "source: 's3://in-north/move/${{ item }}.csv', target: 's3://in-north/moved/x.csv'}",
        more="max_parallel: 1",
    )
    result = run(tmp_path, steps, ROLES, identity=identity_of(aws))
    assert statuses(result) == {"one": ["succeeded"], "two": ["failed"]}
    error = result.steps[0].items[1].steps[0].error
    assert error is not None
    assert "x.csv" in error.message


@pytest.mark.parametrize(
    "removal",
    [
        "action: s3.delete, objects: '${{ steps.find.objects }}', max_delete: 9",
        "action: s3.copy, source: 's3://in-north/z/', target: 's3://in-north/y/', move: true",
        (
            "action: s3.copy, source: 's3://in-north/kept/', target: 's3://in-north/z/', "
            "delete_extra: true, max_delete: 9"
        ),
    ],
    ids=["deletion", "move", "mirror"],
)
def test_what_was_read_is_recorded_before_it_is_removed(
    removal: str, aws: sandbox.Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_state, "_SHORTEST_PAUSE", 60.0)
    monkeypatch.setattr(run_state, "_LONGEST_PAUSE", 60.0)
    s3 = aws.client("s3", "222233334444")
    for key in ("z/gone.txt", "kept/kept.txt"):
        s3.put_object(Bucket="in-north", Key=key)
    steps = group(
        ["only"],
        call("first"),
        "{id: find, action: s3.list, role: north_reader, source: 's3://in-north/z/'}",
        f"{{id: remove, role: north_reader, {removal}}}",
        call("seen", "read_state"),
    )
    result = run(tmp_path, steps, ROLES + STATE, identity=identity_of(aws))
    assert result.status == "succeeded", result.steps[0].error
    assert result.steps[0].outputs["seen"]["steps"] == [
        ["g[only].first", "g[only].find", "g[only].remove"]
    ]


def test_a_state_that_cannot_be_written_fails_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = FolderStore.write, []

    def fail_later(self: FolderStore, name: str, data: bytes, etag: str) -> str:
        calls.append(name)
        if b"g[b].x" in data:
            raise StepError("disk full", type="DiskFull")
        return write(self, name, data, etag)

    monkeypatch.setattr(FolderStore, "write", fail_later)
    result = run(tmp_path, group(["a", "b"], call("x"), more="max_parallel: 1"), STATE)
    assert result.steps[0].status == "failed"
    assert result.steps[0].error is not None
    assert result.steps[0].error.type == "DiskFull"


MEASURED = """
import resource, sys
from rolerunner import api
job = api.load("job.yaml", {"items": [{"name": f"n{n}", "n": n} for n in range(int(sys.argv[1]))]})
result = api.run(job)
assert result.status == "succeeded", result.steps[0].error
assert len(result.action_steps) == 5 * int(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_a_thousand_items_with_five_steps_run_in_bounded_memory(tmp_path: Path) -> None:
    inner = [call(f"s{number}", value="${{ item.n }}") for number in range(5)]
    (tmp_path / "job.yaml").write_text(
        "version: 1\nname: t\nparams: {items: {type: list}}\nsteps:\n"
        + group("${{ params.items }}", *inner)
    )
    used = [
        int(subprocess.check_output([sys.executable, "-c", MEASURED, count], text=True))
        for count in ("10", "1000")
    ]
    assert used[1] - used[0] < 40, f"MiB: {used}"
