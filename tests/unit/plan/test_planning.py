"""The plan of a job: permissions of each role, items, declared permissions, and its JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rolerunner.actions import registry
from rolerunner.model import Plan, StateLocation
from rolerunner.plan.planning import make_plan, plan_to_json, state_prefix, to_plain_json
from rolerunner.plan.step_planning import MAX_ITEMS
from rolerunner.redaction.secrets import MASK, register_secret
from rolerunner.spec.expressions import parse_template
from rolerunner.spec.loader import load_spec

ARN = "arn:aws:iam::111122223333:role/"
HEAD = f"version: 1\nname: t\nroles: {{r: '{ARN}r', w: '{ARN}w'}}\n"


def plan(text: str, **given: Any) -> Plan:
    job = load_spec(HEAD + text, "t.yaml", registry(), given, complete=False)
    return make_plan(job, registry())


def step(fields: str, role: str = "r") -> str:
    return f"steps:\n  - {{id: a, role: {role}, {fields}}}\n"


def needs(made: Plan, number: int = 0) -> dict[str, list[tuple[str, str]]]:
    return {
        field: [(each.action, each.resource) for each in needed]
        for field, needed in made.steps[number].permissions.items()
    }


GET = "action: s3.read, source: "


def test_each_role_of_a_step_has_its_permissions() -> None:
    made = plan(
        "steps:\n  - {id: a, action: s3.write, role: w, target: s3://out/x, text: y}\n"
        "  - {id: b, action: s3.list, role: r, source: s3://in/p/}\n"
    )
    assert needs(made) == {"role": [("s3:PutObject", "arn:aws:s3:::out/x")]}
    assert needs(made, 1) == {"role": [("s3:ListBucket", "arn:aws:s3:::in")]}
    assert [str(role) for role in made.roles] == ["w", "r"]


def test_a_role_follows_the_role_that_assumes_it() -> None:
    text = f"version: 1\nname: t\nroles: {{hub: '{ARN}hub', r: {{arn: '{ARN}r', via: hub}}}}\n"
    job = load_spec(text + step("action: s3.list, source: s3://bkt/"), "t.yaml", registry(), {})
    assert [str(role) for role in make_plan(job, registry()).roles] == ["hub", "r"]


def test_the_state_has_a_role_and_the_jobs_own_is_not_assumed() -> None:
    state = "state: {location: s3://ops/x/, role: w}\n"
    listed = step("action: s3.list, source: s3://bkt/")
    assert [str(role) for role in plan(state + listed).roles] == ["r", "w"]
    assert plan(step("action: s3.list, source: s3://bkt/", "job")).roles == ()


@pytest.mark.parametrize(
    ("count", "resources"),
    [
        (1, ["arn:aws:s3:::bkt/0"]),
        (2, ["arn:aws:s3:::bkt/0", "arn:aws:s3:::bkt/1"]),
        (MAX_ITEMS, [f"arn:aws:s3:::bkt/{number}" for number in range(MAX_ITEMS)]),
        (MAX_ITEMS + 1, ["arn:aws:s3:::bkt/*"]),
        (0, ["arn:aws:s3:::bkt/*"]),
    ],
)
def test_items_have_permissions_of_their_own_up_to_a_number(
    count: int, resources: list[str]
) -> None:
    items = [str(number) for number in range(count)]
    made = plan(step(f"{GET}'s3://bkt/${{{{ item }}}}', for_each: {json.dumps(items)}"))
    found = [place for action, place in needs(made)["role"] if action == "s3:GetObject"]
    assert found == resources


def test_an_unknown_value_widens_the_permissions_with_a_note() -> None:
    made = plan(step(f"{GET}'s3://bkt/${{{{ run.id }}}}'"))
    assert ("s3:GetObject", "arn:aws:s3:::bkt/*") in needs(made)["role"]
    assert len(made.steps[0].notes) == 1
    assert plan(step(f"{GET}s3://bkt/x")).steps[0].notes == ()


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        (
            "{actions: 'kms:Decrypt', resources: '*'}",
            [("s3:ListBucket", "arn:aws:s3:::bkt"), ("kms:Decrypt", "*")],
        ),
        (
            "{actions: 'kms:Decrypt', resources: '*', role: role}",
            [("s3:ListBucket", "arn:aws:s3:::bkt"), ("kms:Decrypt", "*")],
        ),
        (
            "{actions: ['a:B', 'a:C'], resources: ['*', 'arn:aws:a:::x']}",
            [
                ("s3:ListBucket", "arn:aws:s3:::bkt"),
                ("a:B", "*"),
                ("a:B", "arn:aws:a:::x"),
                ("a:C", "*"),
                ("a:C", "arn:aws:a:::x"),
            ],
        ),
    ],
)
def test_declared_permissions_are_added(declared: str, found: list[Any]) -> None:
    made = plan(step(f"action: s3.list, source: s3://bkt/, permissions: [{declared}]"))
    assert needs(made)["role"] == found


def test_a_declared_permission_replaces_that_on_all_resources() -> None:
    call = "action: aws.call, service: s3, operation: ListBuckets"
    (wide,) = needs(plan(step(call)))["role"]
    assert wide[1] == "*"
    narrow = f"{call}, permissions: [{{actions: '{wide[0]}', resources: 'arn:aws:s3:::bkt'}}]"
    assert needs(plan(step(narrow)))["role"] == [(wide[0], "arn:aws:s3:::bkt")]


def test_an_action_whose_code_fails_has_no_permissions_but_a_note(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: object) -> Any:
        raise ZeroDivisionError("a bug")

    kind = registry()["s3.list"]
    monkeypatch.setattr(kind, "permissions", fail)
    monkeypatch.setattr(kind, "predict_outputs", fail)
    made = plan(step("action: s3.list, source: s3://bkt/"))
    assert made.steps[0].permissions == {}
    assert len(made.steps[0].notes) == 2


STATE = "state: {location: 's3://ops/x', role: w}\n"


def test_the_state_needs_its_folder() -> None:
    made = plan(STATE + step(f"{GET}s3://bkt/x"))
    assert [(each.action, each.resource) for each in made.state] == [
        ("s3:ListBucket", "arn:aws:s3:::ops"),
        ("s3:GetObject", "arn:aws:s3:::ops/x/t/*"),
        ("s3:PutObject", "arn:aws:s3:::ops/x/t/*"),
        ("s3:AbortMultipartUpload", "arn:aws:s3:::ops/x/t/*"),
    ]
    assert plan(step(f"{GET}s3://bkt/x")).state == ()
    assert plan("state: {location: /tmp/x}\n" + step(f"{GET}s3://bkt/x")).state == ()
    assert str(state_prefix(StateLocation("s3://ops/x"))) == "s3://ops/x/"
    assert str(state_prefix(StateLocation("s3://ops/x/"))) == "s3://ops/x/"


def test_the_json_of_a_plan() -> None:
    printed = plan_to_json(plan(STATE + step("action: s3.list, source: s3://bkt/in/")))
    assert json.loads(json.dumps(printed)) == printed
    assert (printed["version"], printed["job"]) == (1, "t")
    assert printed["roles"][0] == {
        "role": "r",
        "arn": f"{ARN}r",
        "via": "job",
        "duration": 3600,
        "external_id": False,
    }
    (only,) = printed["steps"]
    assert (only["id"], only["action"], only["roles"]) == ("a", "s3.list", {"role": "r"})
    assert (only["needs"], only["on_error"]) == ([], "fail")
    assert only["fields"] == {"source": "s3://bkt/in/"}
    assert only["permissions"]["role"] == [
        {
            "action": "s3:ListBucket",
            "resource": "arn:aws:s3:::bkt",
            "condition": {"StringLike": {"s3:prefix": ["in/", "in/*"]}},
        }
    ]
    assert "notes" not in only
    assert (printed["state"]["location"], printed["state"]["role"]) == ("s3://ops/x", "w")
    assert "state" not in plan_to_json(plan(step("action: s3.list, source: s3://bkt/in/")))


def test_a_session_policy_is_printed_as_json() -> None:
    text = (
        f"version: 1\nname: t\nroles: {{r: {{arn: '{ARN}r', session_policy: auto-per-step}}}}\n"
        + step("action: s3.list, source: s3://bkt/in/")
    )
    printed = plan_to_json(make_plan(load_spec(text, "t.yaml", registry(), {}), registry()))
    (role,) = printed["roles"]
    assert (role["step"], role["notes"]) == ("a", [])
    assert "Statement" in role["session_policy"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, 1.5, True, None, "x"]}, {"a": [1, 1.5, True, None, "x"]}),
        ({"customer_key": "x"}, {"customer_key": MASK}),
        ({"in": [{"customer_key": "x"}]}, {"in": [{"customer_key": MASK}]}),
        (parse_template("${{ params.x }}"), "${{ params.x }}"),
        ({"customer_key": parse_template("${{ params.x }}")}, {"customer_key": "${{ params.x }}"}),
    ],
)
def test_fields_as_json(value: Any, expected: Any) -> None:
    assert to_plain_json(value) == expected


def test_secrets_are_masked() -> None:
    assert to_plain_json([register_secret("vq-71ab-52")]) == [MASK]
