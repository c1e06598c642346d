"""Secret params that a run fetches from Secrets Manager and Systems Manager under their roles."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from rolerunner.errors import RolesRefused, SecretsFailed, SpecError
from rolerunner.events import Note, RunFinished
from rolerunner.observers.result import ResultFile
from rolerunner.policies.probe import NO, UNKNOWN, YES, probe_permissions
from rolerunner.redaction.redact import redact
from rolerunner.sessions.registry import Sessions
from rolerunner.spec_testing.load import load_cases
from rolerunner.spec_testing.run import run_case
from tests.conftest import identity_of

if TYPE_CHECKING:
    from pathlib import Path

    from rolerunner.events import Event
    from rolerunner.model import RunResult

pytestmark = pytest.mark.once

JOB = "111122223333"
OPS = "222233334444"
OTHER = "333344445555"
PASSWORD, KEY, BINARY = "Blue-kettle-4711", "Green-lamp-0815", "Binary-bridge-99"
SHARED = f"arn:aws:secretsmanager:us-east-1:{OTHER}:secret:shared/x-AbCdEf"
CLOSED = f"arn:aws:secretsmanager:us-east-1:{OTHER}:secret:closed/x-AbCdEf"
WORLD = f"""
version: 1
job_role: arn:aws:iam::{JOB}:role/job
roles:
  - arn: arn:aws:iam::{JOB}:role/job
    permissions:
      - {{Effect: Allow, Action: "sts:AssumeRole", Resource: "*"}}
      - {{Effect: Allow, Action: "ssm:GetParameter", Resource: "arn:aws:ssm:*:{JOB}:parameter/own"}}
  - arn: arn:aws:iam::{OPS}:role/ops
    trust: [{{Effect: Allow, Principal: {{AWS: "{JOB}"}}, Action: "sts:AssumeRole"}}]
    permissions:
      - {{Effect: Allow, Action: "secretsmanager:GetSecretValue", Resource: "*"}}
      - {{Effect: Allow, Action: "ssm:GetParameter", Resource: "*"}}
  - arn: arn:aws:iam::{OPS}:role/powerless
    trust: [{{Effect: Allow, Principal: {{AWS: "{JOB}"}}, Action: "sts:AssumeRole"}}]
  - arn: arn:aws:iam::{OPS}:role/untrusting
secrets:
  - {{name: prod/sftp, account: "{OPS}", json: {{password: "{PASSWORD}", port: 2222,
      nested: {{a: b}}, none: null, yes: true, empty: "", blank: "  "}}}}
  - {{name: plain, account: "{OPS}", text: "{KEY}"}}
  - {{name: ratio, account: "{OPS}", text: '{{"ratio": 1.10}}'}}
  - {{name: binary, account: "{OPS}", binary: "{BINARY}"}}
  - {{name: far, account: "{OPS}", region: ap-south-1, text: "far-{KEY}"}}
  - arn: {SHARED}
    text: "shared-{KEY}"
    policy: [{{Effect: Allow, Principal: {{AWS: "{OPS}"}}, Action: "secretsmanager:GetSecretValue",
              Resource: "*"}}]
  - {{arn: "{CLOSED}", text: "closed-{KEY}"}}
parameters:
  - {{name: /orders/api-key, account: "{OPS}", text: "api-{KEY}"}}
  - {{name: own, account: "{JOB}", text: "own-{KEY}"}}
"""
VALUES = (PASSWORD, KEY, BINARY)
FUNCTION = """
import pathlib
def use(context, **values):
    pathlib.Path('FOLDER', 'used').write_text(repr({k: str(v) for k, v in values.items()}))
    return {'copies': [f'got {v}' for v in values.values()]}
def tell(context, **values):
    pathlib.Path('FOLDER', 'told').write_text(values['error'])
"""


class Recorder:
    """Collects the events of a run."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def notify(self, event: Event) -> None:
        self.events.append(event)

    def fetched(self) -> list[Any]:
        notes = [each for each in self.events if isinstance(each, Note)]
        return [note.values["param"] for note in notes if note.message == "secret_fetched"]

    def result(self) -> str:
        ended = next(each.result for each in self.events if isinstance(each, RunFinished))
        return ResultFile(lambda _: None).encode_result(ended).decode()


def write_spec(folder: Path, params: str, more: str = "", role: str = "ops") -> Path:
    (folder / "job.py").write_text(FUNCTION.replace("FOLDER", str(folder)))
    names = [line.strip().partition(":")[0] for line in params.splitlines() if line.strip()]
    arguments = ", ".join(f'{name}: "${{{{ params.{name} }}}}"' for name in names)
    path = folder / "spec.yaml"
    path.write_text(
        f"version: 1\nname: fetch\nparams:\n{params}\n"
        f"roles:\n  ops: arn:aws:iam::{OPS}:role/ops\n"
        f"  powerless: arn:aws:iam::{OPS}:role/powerless\n"
        f"  untrusting: arn:aws:iam::{OPS}:role/untrusting\n"
        f"steps:\n  - {{id: use, action: python.call, function: 'job.py:use', role: {role}, "
        f"arguments: {{{arguments}}}}}\n{more}"
    )
    return path


def run(spec: Path, aws: sandbox.Sandbox, **given: str) -> tuple[RunResult, Recorder]:
    recorder = Recorder()
    job = api.load(spec, given)
    return api.run(job, identity=identity_of(aws), observers=[recorder]), recorder


def used(folder: Path) -> dict[str, str]:
    found: dict[str, str] = eval((folder / "used").read_text())
    return found


def count_fetches(aws: sandbox.Sandbox) -> int:
    fetches = ("GetSecretValue", "GetParameter")
    return sum(request.operation in fetches for request in aws.requests())


def test_each_secret_is_fetched_once_under_its_role(tmp_path: Path, aws: sandbox.Sandbox) -> None:
    spec = write_spec(
        tmp_path,
        "  password: {secret: true, from: 'secretsmanager:prod/sftp#password', role: ops}\n"
        "  port: {secret: true, from: 'secretsmanager:prod/sftp#port', role: ops}\n"
        "  ratio: {secret: true, from: 'secretsmanager:ratio#ratio', role: ops}\n"
        "  plain: {secret: true, from: 'secretsmanager:plain', role: ops, pattern: '[A-Z].*'}\n"
        f"  shared: {{secret: true, from: 'secretsmanager:{SHARED}', role: ops}}\n"
        "  api: {secret: true, from: 'ssm:/orders/api-key', role: ops}\n"
        "  first: {secret: true, from: 'ssm:/orders/api-key:1', role: ops}\n"
        "  own: {secret: true, from: 'ssm:own', role: job}\n",
    )
    before = count_fetches(aws)
    result, recorder = run(spec, aws)
    assert result.status == "succeeded"
    assert used(tmp_path) == {
        "password": PASSWORD,
        "port": "2222",
        "ratio": "1.10",
        "plain": KEY,
        "shared": f"shared-{KEY}",
        "api": f"api-{KEY}",
        "first": f"api-{KEY}",
        "own": f"own-{KEY}",
    }
    assert count_fetches(aws) - before == 7
    assert sorted(recorder.fetched()) == sorted(used(tmp_path))
    shown = recorder.result() + json.dumps(redact([str(each) for each in recorder.events]))
    assert not any(value in shown for value in VALUES)


def test_a_role_in_another_region_reads_its_secrets_there(
    tmp_path: Path, aws: sandbox.Sandbox
) -> None:
    spec = write_spec(
        tmp_path, "  far: {secret: true, from: 'secretsmanager:far', role: distant}\n"
    )
    role = f"  distant: {{arn: 'arn:aws:iam::{OPS}:role/ops', region: ap-south-1}}\n"
    spec.write_text(spec.read_text().replace("roles:\n", f"roles:\n{role}"))
    assert run(spec, aws)[0].status == "succeeded"
    assert used(tmp_path) == {"far": f"far-{KEY}"}
    plan = api.plan(api.load(spec))
    assert plan.secrets[0].permissions[0].resource == (
        f"arn:aws:secretsmanager:ap-south-1:{OPS}:secret:far-??????"
    )


def test_a_given_value_is_not_fetched_and_its_role_not_assumed(
    tmp_path: Path, aws: sandbox.Sandbox
) -> None:
    spec = write_spec(
        tmp_path, "  x: {secret: true, from: 'secretsmanager:none', role: untrusting}\n"
    )
    before = count_fetches(aws)
    result, recorder = run(spec, aws, x="Given-by-hand-1")
    assert result.status == "succeeded"
    assert used(tmp_path) == {"x": "Given-by-hand-1"}
    assert (recorder.fetched(), count_fetches(aws)) == ([], before)
    assert "Given-by-hand-1" not in recorder.result()


PLACES = {
    "missing": (
        "secretsmanager:nope",
        "ops",
        "ResourceNotFoundException",
        "there is no such secret",
    ),
    "missing-parameter": ("ssm:/no", "ops", "ParameterNotFound", "there is no such parameter"),
    "version": ("ssm:/orders/api-key:9", "ops", "ParameterVersionNotFound", "no such version"),
    "binary": ("secretsmanager:binary", "ops", "InvalidSecret", "the secret is binary"),
    "no-key": ("secretsmanager:prod/sftp#pasword", "ops", "InvalidSecret", "no key 'pasword'"),
    "not-json": ("secretsmanager:plain#a", "ops", "InvalidSecret", "not a JSON object"),
    "mapping": ("secretsmanager:prod/sftp#nested", "ops", "InvalidSecret", "is a mapping"),
    "null": ("secretsmanager:prod/sftp#none", "ops", "InvalidSecret", "is null"),
    "boolean": ("secretsmanager:prod/sftp#yes", "ops", "InvalidSecret", "is true or false"),
    "empty": ("secretsmanager:prod/sftp#empty", "ops", "InvalidSecret", "the value is empty"),
    "blank": ("secretsmanager:prod/sftp#blank", "ops", "InvalidSecret", "the value is blank"),
    "denied": ("secretsmanager:plain", "powerless", "AccessDenied", "may not secretsmanager:Get"),
    "denied-ssm": ("ssm:/orders/api-key", "powerless", "AccessDenied", "may not ssm:GetParameter"),
    "closed": (f"secretsmanager:{CLOSED}", "ops", "AccessDenied", "may not secretsmanager:Get"),
    "job": ("secretsmanager:plain", "job", "AccessDenied", "the role 'job' may not"),
}


@pytest.mark.parametrize("case", PLACES)
def test_what_cannot_be_fetched_is_explained(
    case: str, tmp_path: Path, aws: sandbox.Sandbox
) -> None:
    place, role, kind, message = PLACES[case]
    spec = write_spec(
        tmp_path,
        f"  x: {{secret: true, from: '{place}', role: {role}}}\n",
        "  - {id: tell, action: python.call, function: 'job.py:tell', role: job,"
        " when: always, arguments: {error: '${{ run.error }}'}}\n",
    )
    recorder = Recorder()
    with pytest.raises(SecretsFailed) as caught:
        api.run(api.load(spec), identity=identity_of(aws), observers=[recorder])
    (failure,) = caught.value.failures
    assert failure.type == kind
    assert failure.message.startswith(f"the param 'x' ({place}): ")
    assert message in failure.message
    assert "None" not in failure.message + failure.hint
    assert caught.value.summary == "1 secret could not be fetched, only steps for failures ran"
    assert (tmp_path / "told").read_text() == failure.message
    result = json.loads(recorder.result())
    assert result["error"]["type"] == "SecretsFailed"
    assert {step["id"]: step["status"] for step in result["steps"]} == {
        "use": "not_run",
        "tell": "succeeded",
    }
    assert not any(value in str(failure) + failure.hint for value in VALUES)
    if kind == "AccessDenied":
        assert "its policy may lack: " in failure.hint


def test_the_rules_of_the_param_are_checked_without_showing_the_value(
    tmp_path: Path, aws: sandbox.Sandbox
) -> None:
    spec = write_spec(
        tmp_path,
        "  a: {secret: true, from: 'secretsmanager:plain', role: ops, max: 3}\n"
        "  b: {secret: true, from: 'secretsmanager:plain', role: ops, pattern: '[0-9]+'}\n"
        "  c: {secret: true, from: 'secretsmanager:plain', role: ops, choices: [one, two]}\n",
    )
    with pytest.raises(SecretsFailed) as caught:
        run(spec, aws)
    assert [failure.type for failure in caught.value.failures] == ["InvalidSecret"] * 3
    assert not any(value in str(caught.value) + caught.value.hint for value in VALUES)


def test_a_refused_role_of_a_secret_is_a_refused_role(tmp_path: Path, aws: sandbox.Sandbox) -> None:
    params = (
        "  x: {secret: true, from: 'secretsmanager:plain', role: untrusting}\n"
        "  y: {secret: true, from: 'secretsmanager:plain', role: ops}\n"
    )
    spec = write_spec(tmp_path, params)
    for assume in ("first", "lazily"):
        text = spec.read_text()
        spec.write_text(f"assume: {assume}\n{text}")
        with pytest.raises(RolesRefused) as caught:
            run(spec, aws)
        assert [refusal.role for refusal in caught.value.refusals] == ["untrusting"]
        spec = write_spec(tmp_path, params)


def test_a_step_for_failures_can_use_the_secrets_that_were_fetched(
    tmp_path: Path, aws: sandbox.Sandbox
) -> None:
    spec = write_spec(
        tmp_path,
        "  x: {secret: true, from: 'secretsmanager:nope', role: ops}\n"
        "  y: {secret: true, from: 'secretsmanager:plain', role: ops}\n",
        "  - {id: tell, action: python.call, function: 'job.py:tell', role: job,"
        " when: always, arguments: {error: '${{ params.y }}'}}\n"
        "  - {id: fail, action: python.call, function: 'job.py:tell', role: job,"
        " when: always, arguments: {error: '${{ params.x }}'}}\n",
    )
    recorder = Recorder()
    with pytest.raises(SecretsFailed):
        api.run(api.load(spec), identity=identity_of(aws), observers=[recorder])
    assert (tmp_path / "told").read_text() == KEY
    steps = {step["id"]: step for step in json.loads(recorder.result())["steps"]}
    assert steps["fail"]["status"] == "failed"
    assert "params.x" in steps["fail"]["error"]["message"]


def test_check_fetches_them_and_says_which_permission_is_missing(
    tmp_path: Path, aws: sandbox.Sandbox
) -> None:
    spec = write_spec(
        tmp_path,
        "  a: {secret: true, from: 'secretsmanager:plain', role: ops}\n"
        "  b: {secret: true, from: 'secretsmanager:plain', role: powerless, kms_key: alias/k}\n"
        "  c: {secret: true, from: 'ssm:/no', role: ops}\n",
    )
    sessions = Sessions(identity_of(aws))
    found = list(probe_permissions(api.plan(api.load(spec)), sessions))
    answers = {(each.step, each.action): each.answer for each in found}
    assert answers == {
        ("param a", "secretsmanager:GetSecretValue"): YES,
        ("param b", "secretsmanager:GetSecretValue"): NO,
        ("param b", "kms:Decrypt"): UNKNOWN,
        ("param c", "ssm:GetParameter"): UNKNOWN,
    }
    assert KEY not in str(found)


def test_a_session_policy_allows_exactly_the_secrets(tmp_path: Path, aws: sandbox.Sandbox) -> None:
    for policy in ("auto", "auto-per-step"):
        spec = write_spec(
            tmp_path,
            "  a: {secret: true, from: 'secretsmanager:plain', role: limited}\n"
            "  b: {secret: true, from: 'ssm:/orders/api-key', role: limited}\n",
            role="ops",
        )
        role = f"  limited: {{arn: 'arn:aws:iam::{OPS}:role/ops', session_policy: {policy}}}\n"
        spec.write_text(spec.read_text().replace("roles:\n", f"roles:\n{role}"))
        result, _ = run(spec, aws)
        assert result.status == "succeeded"
        limited = [use for use in result.roles if use.role == "limited"]
        assert [use.step for use in limited] == (
            [""] if policy == "auto" else ["param a", "param b"]
        )


def test_a_resumed_run_fetches_again(tmp_path: Path, aws: sandbox.Sandbox) -> None:
    spec = write_spec(tmp_path, "  x: {secret: true, from: 'secretsmanager:plain', role: ops}\n")
    spec.write_text(f"{spec.read_text()}state: {{location: '{tmp_path}/state/'}}\n")
    for _ in range(2):
        before = count_fetches(aws)
        result = api.run(api.load(spec), identity=identity_of(aws), run_key="k")
        assert result.status == "succeeded"
        assert count_fetches(aws) - before == 1
    states = [path.read_text() for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert states
    assert not any(value in text for text in states for value in VALUES)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("{from: 'ssm:x', role: ops}", "the param 'x' has 'from', so it must be secret"),
        ("{secret: true, from: 'ssm:x'}", "the param 'x' has 'from', so it needs a role"),
        ("{secret: true, from: 'ssm:x', role: ''}", "the param 'x' has 'from', so it needs a role"),
        ("{secret: true, from: 'ssm:x', role: opps}", "there is no role 'opps'"),
        ("{secret: true, role: ops}", "'role' of the param 'x' requires 'from'"),
        ("{secret: true, kms_key: alias/k}", "'kms_key' of the param 'x' requires 'from'"),
        (
            "{secret: true, from: 'ssm:x', role: ops, required: true}",
            "the param 'x' has 'required' and 'from'",
        ),
        (
            "{secret: true, from: 'ssm:x', role: ops, default: abc}",
            "the param 'x' has 'default' and 'from'",
        ),
        ("{secret: true, from: 'env:X', role: ops}", "'from' must be such as secretsmanager:"),
        ("{secret: true, from: 'ssm:a/b', role: ops}", "write ssm:/a/b"),
        ("{secret: true, from: 'ssm:x#', role: ops}", "'from' has no key after '#'"),
        (
            "{secret: true, from: 'ssm:${{ params.s }}', role: ops}",
            "'params.s' is a secret, which cannot flow into 'from'",
        ),
        (
            "{secret: true, from: 'ssm:${{ steps.a.b }}', role: ops}",
            "'steps' is not available here",
        ),
        ("{secret: true, from: 'ssm:x', role: ops, kms_key: 'a key'}", "'kms_key' must be the ARN"),
        ("{type: integer, secret: true, from: 'ssm:x', role: ops}", "its type must be string"),
    ],
)
def test_a_wrong_source_is_reported_with_its_place(
    declared: str, message: str, tmp_path: Path
) -> None:
    spec = write_spec(tmp_path, f"  s: {{secret: true}}\n  x: {declared}\n")
    with pytest.raises(SpecError) as caught:
        api.load(spec)
    (problem,) = caught.value.problems
    assert message in problem.message
    assert problem.mark.line == 5


def test_params_choose_the_place(tmp_path: Path, aws: sandbox.Sandbox) -> None:
    spec = write_spec(
        tmp_path,
        "  x: {secret: true, from: 'secretsmanager:${{ params.stage }}/sftp#password', role: ops}\n"
        "  stage: {default: prod}\n",
    )
    assert run(spec, aws)[0].status == "succeeded"
    assert used(tmp_path) == {"x": PASSWORD, "stage": "prod"}
    spec.write_text(spec.read_text().replace("default: prod", "required: true"))
    assert api.load(spec, complete=False).undecided == ("'from' of x",)


def test_nothing_is_fetched_without_a_run(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, "  x: {secret: true, from: 'ssm:x', role: ops}\n")
    job = api.load(spec)  # there are neither credentials nor a network
    plan = api.plan(job)
    assert [str(secret.source) for secret in plan.secrets] == ["ssm:x"]
    assert plan.steps[0].fields["arguments"]["x"].text == "${{ params.x }}"


def test_a_live_plan_fetches_none_and_says_so(tmp_path: Path, aws: sandbox.Sandbox) -> None:
    spec = write_spec(tmp_path, "  x: {secret: true, from: 'secretsmanager:plain', role: ops}\n")
    before = count_fetches(aws)
    found = api.survey(api.plan(api.load(spec)), identity_of(aws))
    assert found == {"use": {"unknown": "it depends on 'params.x', which only a run fetches"}}
    assert count_fetches(aws) == before


LEAKING = """
import subprocess, sys
def leak(context, password, key):
    print('login with', password)
    subprocess.run([sys.executable, '-c', 'print("' + key + '")'], check=True)
    open('left.txt', 'w').write(password)
"""
CASE = f"""
version: 1
sandbox:
  version: 1
  job_role: arn:aws:iam::{OPS}:role/job
  roles:
    - arn: arn:aws:iam::{OPS}:role/job
      permissions:
        - {{Effect: Allow, Action: ["secretsmanager:GetSecretValue", "ssm:GetParameter"],
            Resource: "*"}}
  secrets: [{{name: sftp, account: "{OPS}", json: {{word: "{PASSWORD}", user: north}}}}]
  parameters: [{{name: /key, account: "{OPS}", text: "{KEY}"}}]
cases:
  - {{name: it leaks, expect: {{secrets: never shown}}}}
"""


def test_a_test_case_finds_what_a_function_leaks(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(LEAKING)
    (tmp_path / "spec.yaml").write_text(
        "version: 1\nname: leaking\nparams:\n"
        "  password: {secret: true, from: 'secretsmanager:sftp#word', role: job}\n"
        "  key: {secret: true, from: 'ssm:/key', role: job}\n"
        "steps: [{id: leak, action: python.call, function: 'job.py:leak', arguments: "
        "{password: '${{ params.password }}', key: '${{ params.key }}'}}]\n"
    )
    (tmp_path / "spec.test.yaml").write_text(CASE)
    (case,) = load_cases([tmp_path / "spec.test.yaml"], tmp_path / "runs")
    result = run_case(case)
    (mismatch,) = result.mismatches
    assert (mismatch.what, mismatch.expected) == ("secrets", "never shown")
    shown = [re.sub(r"line \d+", "line N", line) for line in mismatch.seen.splitlines()]
    assert shown == [
        "the parameter '/key' in line N of the output",
        "the secret 'sftp' in the file left.txt",
    ]
    assert "login with [redacted]" in result.log
