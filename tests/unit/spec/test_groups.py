"""Groups of steps, and roles that items choose, in a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api
from rolerunner.errors import SpecError

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.model import Job

HEAD = """version: 1
name: t
params: {names: {type: list}, known: {type: list, default: [{name: a, role: south_reader}]}}
roles:
  north_reader: arn:aws:iam::222233334444:role/north
  south_reader: arn:aws:iam::333344445555:role/south
steps:
"""
FIRST = "  - {id: first, action: s3.list, role: north_reader, source: s3://in/}\n"
LIST = "action: s3.list, role: north_reader, source: s3://in/"


def load(tmp_path: Path, steps: str, **given: Any) -> Job:
    path = tmp_path / "job.yaml"
    path.write_text(f"{HEAD}{FIRST}{steps}")
    return api.load(path, complete=False, **given)


def list_mistakes(tmp_path: Path, steps: str) -> list[tuple[int, int, str, str]]:
    """Returns line (of ``steps``), column, message and hint of each mistake."""
    before = f"{HEAD}{FIRST}".count("\n")
    with pytest.raises(SpecError) as refused:
        load(tmp_path, steps)
    return [
        (each.mark.line - before, each.mark.column, each.message, each.hint)
        for each in refused.value.problems
    ]


def test_a_group_is_a_step_with_steps(tmp_path: Path) -> None:
    job = load(
        tmp_path,
        "  - id: g\n    for_each: [1, 2]\n    max_parallel: 2\n    max_failures: 10%\n"
        "    timeout: 1h\n    steps:\n"
        f"      - {{id: a, {LIST}}}\n"
        "      - {id: b, action: s3.download, role: north_reader, "
        "objects: '${{ steps.a.objects }}', target: 'x/${{ steps.first.count }}'}\n"
        "      - {id: c, needs: [a], when: '${{ item == 1 }}', " + LIST + "}\n"
        f"  - {{id: after, {LIST}}}\n",
    )
    _, group, after = job.steps
    assert (group.max_parallel, group.max_failures, group.timeout) == (2, "10%", 3600.0)
    assert group.references == frozenset({"first"}), "what its steps read outside"
    assert group.needs == ("first",)
    assert [step.id for step in group.steps] == ["g.a", "g.b", "g.c"]
    assert [step.needs for step in group.steps] == [(), ("g.a",), ("g.a",)]
    assert group.steps[1].references == frozenset({"g.a", "first"})
    assert after.needs == ("g",)
    assert [step.id for step in job.action_steps] == ["first", "g.a", "g.b", "g.c", "after"]


GROUP = "  - id: g\n    for_each: [1]\n"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (f"{GROUP}    role: job\n    steps: [{{id: a, {LIST}}}]\n",
         (3, 5, "a group cannot have 'role'", "write it in each step under 'steps'")),
        (f"{GROUP}    max_failures: -1\n    steps: [{{id: a, {LIST}}}]\n",
         (3, 19, "'max_failures' must be at least 0, not -1", "")),
        (f"{GROUP}    steps: []\n", (3, 12, "'steps' must have at least 1 item, not 0", "")),
        (f"  - id: g\n    steps: [{{id: a, {LIST}}}]\n", (1, 5, "'for_each' is missing", "")),
        (f"  - {{id: g, action: s3.list, steps: [1], {LIST[17:]}}}\n",
         (1, 30, "a step with an 'action' cannot have 'steps'", "a group has no 'action'")),
        (f"{GROUP}    steps:\n      - {{id: a, for_each: [1], steps: [{{id: b, {LIST}}}]}}\n",
         (4, 32, "a group cannot be inside a group",
          "move it out, or loop over all pairs of items in one group")),
        (f"{GROUP}    steps:\n      - {{id: a, for_each: [1], {LIST}}}\n",
         (4, 17, "a step inside a group cannot have 'for_each'",
          "the steps of a group run for each of its items; move this step out of the group")),
        (f"{GROUP}    steps:\n      - {{id: first, {LIST}}}\n",
         (4, 14, "duplicate step id 'first'", "the first is on line 8")),
        (f"{GROUP}    steps:\n      - {{id: status, {LIST}}}\n",
         (4, 14, "'status' cannot be the id of a step inside a group",
          "steps.g.status is the status of the group")),
        (f"{GROUP}    steps:\n      - {{id: a, needs: [first], {LIST}}}\n",
         (4, 25, "there is no step 'first' in the group 'g'",
          ("its steps wait for one another; what all of them wait for is in the group's own "
          "'needs'"))),
        ("  - {id: a, action: s3.list, role: '${{ params.x }}', source: s3://in/}\n",
         (1, 36, "'role' can be an expression only with 'for_each', or inside a group",
          "write an alias, an ARN, or job; an alias' ARN may depend on params")),
        (f"  - {{id: a, roles: [north_reader], {LIST}}}\n",
         (1, 13, "'roles' is for a 'role' that is an expression",
          "remove it, or write 'role: ${{ item.role }}'")),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_at_its_place(
    steps: str, expected: tuple[int, int, str, str], tmp_path: Path
) -> None:
    assert list_mistakes(tmp_path, steps) == [expected]


@pytest.mark.parametrize(
    ("read", "message", "hint"),
    [
        ("steps.a.count", "there is no step 'a'", "it is inside the group 'g': write steps.g.a"),
        ("steps.g", "'steps.g' needs a step of the group after it", "known: a, status"),
        ("steps.g.xy.count", "the group 'g' has no step 'xy'", "known: a, status"),
        ("steps.g.a", "'steps.g.a' needs an output after it, as in steps.g.a.objects", ""),
        ("steps.g.a.cuont", "the step 'a' has no output 'cuont'", "did you mean 'count'?"),
        ("item", "'item' is available only in a step with for_each", ""),
    ],
)
def test_a_wrong_reference_to_a_group_is_reported(
    read: str, message: str, hint: str, tmp_path: Path
) -> None:
    after = f"action: s3.list, role: north_reader, source: 's3://in/${{{{ {read} }}}}'"
    steps = f"{GROUP}    steps: [{{id: a, {LIST}}}]\n  - {{id: after, {after}}}\n"
    assert [each[2:] for each in list_mistakes(tmp_path, steps)] == [(message, hint)]


def test_an_output_of_a_group_is_a_list(tmp_path: Path) -> None:
    fields = "action: s3.download, role: north_reader, target: x/"
    steps = (
        f"{GROUP}    steps: [{{id: a, {LIST}}}]\n"
        f"  - {{id: after, {fields}, objects: '${{{{ steps.g.a.count }}}}'}}\n"
    )
    assert [each[2] for each in list_mistakes(tmp_path, steps)] == [
        "'objects' cannot be ${{ steps.g.a.count }}, which is a list"
    ]


ITEM_ROLE = "id: a, action: s3.list, role: '${{ item.role }}', source: s3://in/"


@pytest.mark.parametrize(
    ("items", "line", "column", "message"),
    [
        ("[{role: nroth_reader}]", 2, 23, "there is no role 'nroth_reader', which item 0 gives"),
        ("[{name: x}]", 2, 16, "item 0 gives no role: there is no 'item.role'"),
        ("[{role: [x]}]", 2, 23, "item 0 gives a list as its role"),
        ("[{role: 'arn:aws:iam::222233334444:role/north'}]", 2, 23,
         "there is no role 'arn:aws:iam::222233334444:role/north', which item 0 gives"),
        ("[text]", 2, 16,
         "item 0 gives no role: 'item' has no parts, so 'item.role' does not exist"),
        ("'${{ steps.first.folders }}'", 3, 44,
         "'role' depends on items that are known only during the run"),
        ("'${{ steps.first.folders }}'\n    roles: [north_reader, x]", 3, 27,
         "there is no role 'x'"),
        ("[{role: south_reader}]\n    roles: [north_reader]", 2, 23,
         "item 0 gives the role 'south_reader', which 'roles' does not list"),
    ],
)  # fmt: skip
def test_the_roles_of_items_are_checked(
    items: str, line: int, column: int, message: str, tmp_path: Path
) -> None:
    steps = f"  - id: g\n    for_each: {items}\n    steps: [{{{ITEM_ROLE}}}]\n"
    assert [each[:3] for each in list_mistakes(tmp_path, steps)] == [(line, column, message)]


@pytest.mark.parametrize(
    ("items", "options"),
    [
        ("[{role: south_reader}, {role: job}, {role: south_reader}]", ["south_reader", "job"]),
        ("'${{ params.known }}'", ["south_reader"]),
        ("'${{ params.names }}'", []),
        ("'${{ steps.first.folders }}'\n    roles: [north_reader]", ["north_reader"]),
    ],
)
def test_the_roles_that_items_may_choose_are_known(
    items: str, options: list[str], tmp_path: Path
) -> None:
    job = load(tmp_path, f"  - id: g\n    for_each: {items}\n    steps: [{{{ITEM_ROLE}}}]\n")
    assert list(job.steps[1].steps[0].role_choices["role"].options) == options
    plain = load(tmp_path, f"  - {{{ITEM_ROLE}, for_each: [{{role: north_reader}}]}}\n")
    assert list(plain.steps[1].role_choices["role"].options) == ["north_reader"]


def test_each_item_needs_what_its_own_role_reads(tmp_path: Path) -> None:
    north = "{name: n, role: north_reader}, {name: t, role: north_reader}"
    items = f"[{north}, {{name: s, role: south_reader}}]"
    job = load(
        tmp_path,
        f"  - id: g\n    for_each: {items}\n    steps:\n"
        "      - {id: a, action: s3.list, role: '${{ item.role }}', "
        "source: 's3://in-${{ item.name }}/x/'}\n"
        "      - {id: b, action: s3.download, role: '${{ item.role }}', target: 'y/', "
        "objects: '${{ steps.a.objects }}'}\n",
    )
    plan = api.plan(job)
    found = {
        (planned.step.id, str(planned.step.role)): (
            planned.items,
            [each.resource.rpartition(":")[2] for each in planned.permissions["role"]],
        )
        for planned in plan.steps[1:]
    }
    assert found == {
        ("g.a", "north_reader"): (("n", "t"), ["in-n", "in-t"]),
        ("g.a", "south_reader"): (("s",), ["in-s"]),
        ("g.b", "north_reader"): (("n", "t"), ["in-n/x/*", "in-t/x/*"]),
        ("g.b", "south_reader"): (("s",), ["in-s/x/*"]),
    }
    assert [str(role) for role in plan.roles] == ["north_reader", "south_reader"]


def test_roles_that_depend_on_params_without_a_value_are_noted(tmp_path: Path) -> None:
    items = "'${{ params.names }}'"
    job = load(tmp_path, f"  - id: g\n    for_each: {items}\n    steps: [{{{ITEM_ROLE}}}]\n")
    planned = api.plan(job).steps[1]
    assert planned.step.roles == {}
    assert any("list the roles under 'roles'" in note for note in planned.notes)
    declared = f"{items}\n    roles: [north_reader, south_reader]"
    job = load(tmp_path, f"  - id: g\n    for_each: {declared}\n    steps: [{{{ITEM_ROLE}}}]\n")
    assert [str(each.step.role) for each in api.plan(job).steps[1:]] == [
        "north_reader",
        "south_reader",
    ]
