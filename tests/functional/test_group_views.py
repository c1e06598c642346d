"""Groups in plans, policies, audits, graphs, logs, tables, reports and test files."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from rolerunner import api
from rolerunner.actions import registry
from rolerunner.audit import audit_plan
from rolerunner.observers.log import Log
from rolerunner.observers.report import render_page
from rolerunner.observers.result import ResultFile
from rolerunner.observers.terminal import Terminal
from rolerunner.plan.graph import render_mermaid, render_svg
from rolerunner.plan.planning import plan_to_json
from rolerunner.policies.least_privilege import JobRoleUses, derive_policies
from rolerunner.sandbox.from_spec import generate_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rolerunner.events import Observer
    from rolerunner.model import Plan, RunResult

SPEC = """version: 1
name: partners
roles:
  north_reader: {arn: "arn:aws:iam::222233334444:role/north", session_policy: POLICY}
  south_reader: {arn: "arn:aws:iam::333344445555:role/south", session_policy: POLICY}
  publisher: arn:aws:iam::111122223333:role/publisher
steps:
  - id: partners
    for_each: [{name: north, role: north_reader}, {name: south, role: south_reader}]
    max_parallel: 2
    max_failures: 1
    steps:
      - id: find
        action: s3.list
        role: ${{ item.role }}
        source: s3://in-${{ item.name }}/day/
      - id: fetch
        action: s3.download
        role: ${{ item.role }}
        objects: ${{ steps.find.objects }}
        target: in/${{ item.name }}/
      - id: mark
        action: s3.write
        role: publisher
        target: s3://publish/${{ item.name }}/_DONE
        text: done
  - {id: tell, action: s3.write, role: publisher, target: s3://publish/_N, text: done}
"""


def plan(tmp_path: Path, policy: str = "none") -> Plan:
    path = tmp_path / "job.yaml"
    path.write_text(SPEC.replace("POLICY", policy))
    return api.plan(api.load(path))


def test_the_plan_names_the_items_of_each_role(
    tmp_path: Path, rolerunner: Callable[..., Any]
) -> None:
    shown = plan_to_json(plan(tmp_path))["steps"]
    assert [(step["id"], step["roles"], step.get("items")) for step in shown] == [
        ("partners.find", {"role": "north_reader"}, ["north"]),
        ("partners.find", {"role": "south_reader"}, ["south"]),
        ("partners.fetch", {"role": "north_reader"}, ["north"]),
        ("partners.fetch", {"role": "south_reader"}, ["south"]),
        ("partners.mark", {"role": "publisher"}, None),
        ("tell", {"role": "publisher"}, None),
    ]
    printed = rolerunner("plan", tmp_path / "job.yaml").stdout
    assert printed.startswith("partners: 4 steps, 3 roles to assume")
    assert "group partners: the following steps for 2 items (2 at once, 1 may fail)" in printed


def test_each_role_gets_the_permissions_of_its_items(tmp_path: Path) -> None:
    found = derive_policies(plan(tmp_path), JobRoleUses("arn:aws:iam::111122223333:role/job"))
    resources = {
        role.names[0]: sorted(
            each for statement in role.permissions for each in statement.resources
        )
        for role in found
    }
    assert resources["north_reader"] == ["arn:aws:s3:::in-north", "arn:aws:s3:::in-north/day/*"]
    assert resources["south_reader"] == ["arn:aws:s3:::in-south", "arn:aws:s3:::in-south/day/*"]
    assert resources["publisher"] == [
        "arn:aws:s3:::publish/_N",
        "arn:aws:s3:::publish/north/_DONE",
        "arn:aws:s3:::publish/south/_DONE",
    ]


@pytest.mark.parametrize(
    ("policy", "sessions"),
    [
        ("auto", {("north_reader", ""), ("south_reader", "")}),
        (
            "auto-per-step",
            {
                (role, step)
                for role in ("north_reader", "south_reader")
                for step in ("partners.find", "partners.fetch")
            },
        ),
    ],
)
def test_session_policies_are_those_of_the_items(
    policy: str, sessions: set[tuple[str, str]], tmp_path: Path
) -> None:
    planned = plan(tmp_path, policy)
    assert {(str(role), role.step) for role in planned.roles if role.policy} == sessions
    for role in planned.roles:
        other = "south" if str(role) == "north_reader" else "north"
        assert f"in-{other}" not in role.policy
    chosen = [
        role
        for step in planned.job.steps[0].steps
        for choice in step.role_choices.values()
        for role in choice.options.values()
    ]
    assert set(chosen) == {role for role in planned.roles if role.policy}, "as a run assumes them"


def test_the_sandbox_has_what_the_items_read(tmp_path: Path) -> None:
    planned = plan(tmp_path)
    world = generate_world(planned, planned, registry(), {}).world
    assert {bucket.name: [each.key for each in bucket.objects] for bucket in world.buckets} == {
        "in-north": ["day/sample.txt"],
        "in-south": ["day/sample.txt"],
        "publish": [],
    }


def test_findings_inside_a_group_are_reported_once_and_at_their_place(tmp_path: Path) -> None:
    planned = plan(tmp_path)
    found = audit_plan(planned, api.load_documents(tmp_path / "job.yaml"))
    lines = [(each.rule, each.problem.mark.line, each.problem.message) for each in found]
    assert len(lines) == len(set(lines))
    assert ("RR012", 25, "'partners.mark' stores objects without 'encryption'") in lines
    assert not [each for each in lines if each[0] == "RR018"], "items are not two steps"


def test_a_group_is_a_box_of_the_graph(tmp_path: Path) -> None:
    planned = plan(tmp_path)
    lines = render_mermaid(planned).splitlines()
    assert '    subgraph g0["partners, for each item"]' in lines
    assert "    s2 --> s3" in lines, "what follows the group follows its last step"
    picture = render_svg(planned)
    assert picture.count('class="step"') == 4
    assert "s3.list, for each item" in picture


FUNCTIONS = """
def say(context, value=None, count=1):
    return {"value": value, "count": count}

def fail(context, broken):
    if broken:
        raise ValueError("[bold]broken[/] <b>")
    return {"count": 2}
"""


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RunResult, Any]]:
    """Returns the result of a run with a group, its document, its log and its terminal."""
    (tmp_path / "viewed.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    call = "action: python.call, function: 'viewed:"
    items = [{"name": f"i{number}"} for number in range(30)]
    (tmp_path / "job.yaml").write_text(
        "version: 1\nname: t\nsteps:\n  - id: g\n"
        f"    for_each: {json.dumps(items)}\n    max_failures: 5\n    steps:\n"
        f"      - {{id: a, {call}say'}}\n"
        f"      - {{id: b, {call}fail', "
        "arguments: {broken: '${{ item.name == \"i28\" }}'}}\n"
        f"      - {{id: c, {call}say'}}\n"
        f"  - {{id: after, {call}say', arguments: {{value: '${{{{ steps.g.b.count }}}}'}}}}\n"
    )
    log, screen = io.StringIO(), io.StringIO()
    written: list[bytes] = []
    terminal = Terminal(Console(file=screen, width=80, highlight=False, emoji=False))
    observers: list[Observer] = [Log(log), terminal, ResultFile(written.append)]
    result = api.run(api.load(tmp_path / "job.yaml"), observers=observers)
    yield result, (json.loads(written[0]), log.getvalue(), screen.getvalue())
    sys.modules.pop("viewed", None)


def test_every_view_shows_a_group(ended: tuple[RunResult, Any]) -> None:
    result, (document, log, screen) = ended
    assert result.status == "warning"
    assert len(result.action_steps) == 91
    _check_document(document)
    _check_log([json.loads(line) for line in log.splitlines()])
    _check_screen(screen)
    _check_page(render_page(document))


def _check_document(document: dict[str, Any]) -> None:
    group, after = document["steps"]
    assert (group["action"], group["status"], len(group["items"])) == ("group", "warning", 30)
    item = group["items"][28]
    assert (item["item"], item["status"]) == ("i28", "failed")
    assert [step["id"] for step in item["steps"]] == ["g[i28].a", "g[i28].b", "g[i28].c"]
    assert [step["status"] for step in item["steps"]] == ["succeeded", "failed", "not_run"]
    assert "start" in item["steps"][0]
    assert after["outputs"]["value"] == [2] * 28 + [None, 2]


def _check_log(lines: list[dict[str, Any]]) -> None:
    inner = [line for line in lines if line.get("item") == "i28"]
    assert [(line["event"], line["step"], line["group"]) for line in inner] == [
        ("step_started", "g[i28].a", "g"),
        ("step_finished", "g[i28].a", "g"),
        ("step_started", "g[i28].b", "g"),
        ("step_finished", "g[i28].b", "g"),
        ("step_finished", "g[i28].c", "g"),
    ]
    group = next(line for line in lines if line.get("step") == "g" and "status" in line)
    assert group["items"] == {"succeeded": 29, "failed": 1}
    assert "outputs" not in group
    assert lines[0]["steps"] == 4


def _check_screen(screen: str) -> None:
    lines = screen.splitlines()
    assert max(map(len, lines)) <= 160
    assert "✗ g[i28].b python.call, " in screen
    assert "[bold]broken[/] <b>" in screen, "as it is"
    assert "g[i3].a" not in screen, "only steps with problems have a line"
    heads = [line.split()[:4] for line in lines]
    table = lines[heads.index(["g", "a", "b", "c"]) + 1 :]
    assert table[0].split()[:5] == ["i0", "✓", "1", "✓", "2"]
    assert any(line.split()[:5] == ["i28", "✓", "1", "✗", "-"] for line in table)
    assert any(line.startswith("10 more items") for line in table)
    total = next(line for line in table if line.startswith("total"))
    assert total.split() == ["total", "✓", "30", "✓", "29", "✗", "1", "✓", "29", "-", "1"]


def _check_page(page: str) -> None:
    assert "<h3>g: 30 items, 3 steps each</h3>" in page
    assert page.count('<th scope="row">i') == 30
    assert 'id="step-g[i28].b"' in page
    assert '<a href="#step-g[i28].b">' in page
    assert "&lt;b&gt;" in page
    assert "<td>29 succeeded, 1 failed</td>" in page
    assert "91 steps" in page


def test_a_case_expects_something_of_items(tmp_path: Path, rolerunner: Callable[..., Any]) -> None:
    (tmp_path / "viewed.py").write_text(FUNCTIONS)
    call = "action: python.call, function: 'viewed:"
    (tmp_path / "job.yaml").write_text(
        "version: 1\nname: t\nsteps:\n  - id: g\n    for_each: [x, 'not a label']\n"
        f"    steps:\n      - {{id: a, {call}say'}}\n"
    )
    (tmp_path / "job.test.yaml").write_text(
        "version: 1\ncases:\n  - name: wrong\n    only: [g]\n    expect:\n      steps:\n"
        "        g: {outputs: {a: {count: [1, 2]}}}\n"
        "        g.a: failed\n"
        "        g[x].a: {outputs: {count: 1}}\n"
        "        'g[#1]': warning\n"
    )
    told = rolerunner("test", tmp_path / "job.test.yaml", "--junit", tmp_path / "junit.xml")
    assert told.returncode != 0
    for line in ("steps.g.outputs.a.count", "steps.g[x].a.status", "steps.g[#1].a.status",
                 "steps.g[#1].status"):  # fmt: skip
        assert line in told.stdout, told.stdout + told.stderr
    assert "steps.g[x].a.outputs" not in told.stdout
    assert "steps.g[#1].status" in (tmp_path / "junit.xml").read_text()
    (tmp_path / "job.test.yaml").write_text(
        "version: 1\ncases:\n  - name: wrong\n    only: [g.b]\n    expect:\n      steps:\n"
        "        g[y].a: failed\n        g: {outputs: {b: 1}}\n        g[x]: {attempts: 2}\n"
        "        h: failed\n"
    )
    wrong = rolerunner("test", tmp_path / "job.test.yaml")
    assert wrong.returncode == 2
    for message in (
        "4:12: the group 'g' has no step 'b'",
        "7:9: the group 'g' has no item 'y'",
        "8:23: the group 'g' has no step 'b'",
        "9:9: the item 'g[x]' has only a status",
        "10:9: there is no step 'h'",
    ):
        assert message in wrong.stderr, wrong.stderr
