"""``session_policy: auto`` and ``auto-per-step`` limit sessions to their steps' permissions."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from rolerunner import api, sandbox
from rolerunner.cli import main
from tests.conftest import identity_of
from tests.functional.test_least_privilege import STEPS, build_step, prepare

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.model import RunResult

ACCOUNT = "111122223333"
READER, WRITER, HUB = (
    f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("reader", "writer", "hub")
)
ANYTHING = 'permissions: [{Effect: Allow, Action: ["s3:*", "sts:*"], Resource: "*"}]'
ROLES = "\n".join(
    (
        f'  - {{arn: "{arn}", trust: [{{Effect: Allow, '
        f'Principal: {{AWS: ["arn:aws:iam::{ACCOUNT}:role/job", "{HUB}"]}}, '
        f"Action: sts:AssumeRole}}], {ANYTHING}}}"
    )
    for arn in (HUB, READER, WRITER)
)
WORLD = f"""
version: 1
job_role: arn:aws:iam::{ACCOUNT}:role/job
roles:
  - {{arn: "arn:aws:iam::{ACCOUNT}:role/job", {ANYTHING}}}
{ROLES}
buckets:
  - {{name: source-bucket, account: "{ACCOUNT}"}}
  - {{name: target-bucket, account: "{ACCOUNT}"}}
  - {{name: kept-bucket, account: "{ACCOUNT}", versioning: true,
      objects: [{{key: in/a.txt, text: x}}]}}
"""
HEAD = f"""
version: 1
name: t
roles:
  hub: {{arn: "{HUB}", session_policy: MODE}}
  reader: {{arn: "{READER}", session_policy: MODE}}
  writer: {{arn: "{WRITER}", session_policy: MODE, via: hub}}
steps:
"""
REACHES = """
def reach(context, bucket, key):
    return {"text": context.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()}
"""


def run(aws: sandbox.Sandbox, tmp_path: Path, mode: str, *steps: dict[str, Any]) -> RunResult:
    return api.run(api.load(spec(tmp_path, mode, *steps)), identity=identity_of(aws))


def spec(tmp_path: Path, mode: str, *steps: dict[str, Any]) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(
        HEAD.replace("MODE", mode) + "".join(f"  - {json.dumps(step)}\n" for step in steps)
    )
    (tmp_path / "code.py").write_text(REACHES)
    return path


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "mode"),
    [*((name, "auto") for name in STEPS), ("relay", "auto-per-step"), ("mirror", "auto-per-step")],
)
def test_every_action_works_in_a_session_of_its_own_permissions(
    name: str, mode: str, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    prepare(aws, tmp_path)
    step = {
        "id": "it",
        "role": "writer",
        **build_step(name, aws, tmp_path),
    }
    if "source_role" in step:
        step |= {"source_role": "reader", "target_role": "writer"}
    if "from" in step.get("objects", {}):
        step["objects"] |= {"role": "writer"}
    result = run(aws, tmp_path, mode, step)
    assert result.status == "succeeded", result.steps[0].error
    assert {use.role: use.assume_calls for use in result.roles} == {
        "hub": 1,
        "writer": 1,
        **({"reader": 1} if "source_role" in step else {}),
    }


def reach(key: str, role: str = "reader", **more: Any) -> dict[str, Any]:
    return {
        "id": f"reach-{key[-5:-4] or key}",
        "action": "python.call",
        "role": role,
        "function": "code.py:reach",
        "on_error": "continue",
        "arguments": {"bucket": "source-bucket", "key": key},
        **more,
    }


ALLOWED: dict[str, Any] = {
    "permissions": [{"actions": "s3:GetObject", "resources": "arn:aws:s3:::source-bucket/in/a.txt"}]
}


def test_a_function_that_steps_outside_is_refused_and_told_why(
    aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    prepare(aws, tmp_path)
    inside, outside, free = run(
        aws,
        tmp_path,
        "auto",
        reach("in/a.txt", **ALLOWED),
        reach("in/b.txt"),
        reach("in/b.txt", id="free", role=READER),
    ).steps
    assert (inside.status, inside.outputs) == ("succeeded", {"text": "x"})
    assert outside.error is not None
    assert outside.error.type == "AccessDenied"
    assert (
        "the session has a policy of its own (session_policy), which must allow it too"
        in outside.error.hint
    )
    assert free.status == "succeeded", "the role itself may"


@pytest.mark.parametrize(("mode", "response"), [("auto", "succeeded"), ("auto-per-step", "failed")])
def test_a_step_may_do_what_another_needs_only_where_they_share_a_session(
    mode: str, response: str, aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    prepare(aws, tmp_path)
    result = run(
        aws, tmp_path, mode, reach("in/a.txt", id="one", **ALLOWED), reach("in/a.txt", id="two")
    )
    assert [step.status for step in result.steps] == ["succeeded", response]


def test_sessions_and_calls_are_told_as_they_are(aws: sandbox.Sandbox, tmp_path: Path) -> None:
    prepare(aws, tmp_path)
    before = aws.assume_role_count()
    find = {"id": "find", "action": "s3.list", "role": "writer", "source": "s3://source-bucket/in/"}
    also = {**find, "id": "also"}
    result = run(
        aws, tmp_path, "auto-per-step", find, also, {**find, "id": "again", "role": "reader"}
    )
    after = aws.assume_role_count()
    assert {
        arn: after[arn] - before.get(arn, 0) for arn in after if after[arn] != before.get(arn, 0)
    } == {HUB: 2, WRITER: 2, READER: 1}
    assert [(use.role, use.step, use.assume_calls) for use in result.roles] == [
        ("hub", "find", 1),
        ("writer", "find", 1),
        ("hub", "also", 1),
        ("writer", "also", 1),
        ("reader", "again", 1),
    ]
    assert [use.session_arn.rpartition("-")[2] for use in result.roles] == [
        "find",
        "find",
        "also",
        "also",
        "again",
    ], "CloudTrail shows the step"


def test_the_session_of_a_hub_may_assume_what_is_reached_through_it_and_no_more(
    aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    prepare(aws, tmp_path)
    find = {"id": "find", "action": "s3.list", "role": "writer", "source": "s3://source-bucket/in/"}
    plan = api.plan(api.load(spec(tmp_path, "auto", find)))
    hub = next(role for role in plan.roles if role.name == "hub")
    assert json.loads(hub.policy)["Statement"] == [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": WRITER}
    ]
    error = run(aws, tmp_path, "auto", find, reach("in/a.txt", role="hub")).steps[1].error
    assert error is not None
    assert error.type == "AccessDenied"


def test_the_plan_shows_sessions_and_policies(tmp_path: Path) -> None:
    find = {"id": "find", "action": "s3.list", "role": "reader", "source": "s3://source-bucket/in/"}
    path = spec(tmp_path, "auto-per-step", find, reach("x"))
    text = CliRunner().invoke(main, ["plan", str(path)]).stdout
    assert f"role reader  {READER}  (a session for find)" in text
    assert f"role reader  {READER}  (a session for reach-x)" in text
    assert re.search(r"session policy, 1\d\d of 2,048 characters:", text)
    assert '{"Effect": "Deny", "Action": "*", "Resource": "*"}' in text
    assert (
        "     note: permissions cannot be derived, so the session may do nothing; declare "
        "them under 'permissions'"
    ) in text
    roles = json.loads(CliRunner().invoke(main, ["plan", str(path), "--json"]).stdout)["roles"]
    assert [(role["step"], role["session_policy"]["Statement"][0]["Action"]) for role in roles] == [
        ("find", "s3:ListBucket"),
        ("reach-x", "*"),
    ]


def test_a_policy_that_does_not_fit_is_widened_and_said(
    aws: sandbox.Sandbox, tmp_path: Path
) -> None:
    prepare(aws, tmp_path)
    steps = [
        {
            "id": f"w{number}",
            "action": "s3.write",
            "role": "writer",
            "target": f"s3://target-bucket/{'x' * 60}/{number}",
            "text": "x",
        }
        for number in range(40)
    ]
    plan = api.plan(api.load(spec(tmp_path, "auto", *steps)))
    writer = next(role for role in plan.roles if role.name == "writer")
    assert len(writer.policy) <= 2048
    assert plan.narrowed[writer] == (
        "prefixes of arn:aws:s3:::target-bucket became the whole bucket",
    )
    assert run(aws, tmp_path, "auto", *steps).status == "succeeded"


def test_state_under_such_a_role(aws: sandbox.Sandbox, tmp_path: Path) -> None:
    prepare(aws, tmp_path)
    for mode in ("auto", "auto-per-step"):
        path = spec(
            tmp_path,
            mode,
            {
                "id": "find",
                "action": "s3.list",
                "role": "reader",
                "source": "s3://source-bucket/in/",
            },
        )
        path.write_text(
            path.read_text().replace(
                "steps:", "state: {location: s3://target-bucket/state/, role: reader}\nsteps:"
            )
        )
        result = api.run(api.load(path), identity=identity_of(aws))
        assert result.status == "succeeded"
        assert sum(use.assume_calls for use in result.roles) == (1 if mode == "auto" else 2)
