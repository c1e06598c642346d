"""Rules that ``deploy`` makes, so that Glue's own ends of a run reach the targets of a spec."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hcl2
import pytest

from rolerunner import api
from rolerunner.glue.deploy.permissions import build_policies
from rolerunner.glue.deploy.settings import resolve_settings
from tests.in_process import Call, create_command, use_job_identity

if TYPE_CHECKING:
    from rolerunner import sandbox

pytestmark = pytest.mark.once

ACCOUNT = "111122223333"
TOPIC = "arn:aws:sns:eu-west-1:111122223333:ops"
BUS = "arn:aws:events:eu-west-1:111122223333:event-bus/jobs"
QUEUE = "arn:aws:sqs:eu-west-1:111122223333:stops"
PUTTER = "arn:aws:iam::111122223333:role/events-to-bus"
WORLD = f"""
version: 1
job_role: arn:aws:iam::111122223333:role/deployer
roles:
  - {{arn: "arn:aws:iam::111122223333:role/deployer"}}
  - {{arn: "{PUTTER}"}}
  - arn: arn:aws:iam::111122223333:role/glue-nightly
    trust: [{{Effect: Allow, Principal: {{Service: glue.amazonaws.com}}, Action: sts:AssumeRole}}]
buckets: [{{name: ops-bucket, account: "111122223333"}}]
topics: [{{arn: "{TOPIC}"}}]
queues: [{{arn: "{QUEUE}"}}]
event_buses: [{{arn: "{BUS}"}}]
"""
SPEC = """
version: 1
name: nightly
params: {url: {type: string, secret: true, from: "ssm:/slack/url", role: job}}
glue:
  role: arn:aws:iam::111122223333:role/glue-nightly
  artifacts: s3://ops-bucket/rolerunner/
notify: NOTIFY
steps:
  - {id: find, action: s3.list, role: job, source: s3://landing/in/}
"""
NOTIFY = f"""
  - {{on: [failed, refused], sns: "{TOPIC}", role: job}}
  - {{on: stopped, sns: "{TOPIC}", role: job}}
  - {{on: stopped, sqs: "{QUEUE}", role: job}}
  - {{on: [failed, succeeded], event: jobs, role: job, rule_role: "{PUTTER}"}}
  - {{on: failed, event: default, role: job}}
  - {{on: failed, webhook: "${{{{ params.url }}}}"}}
  - {{on: succeeded, sqs: "{QUEUE}", role: job}}"""

# AWS Glue developer guide, "Automating AWS Glue with EventBridge", and its examples of events
FAILED = {
    "version": "0",
    "id": "abcdef01-1234-5678-9abc-def012345678",
    "detail-type": "Glue Job State Change",
    "source": "aws.glue",
    "account": "123456789012",
    "time": "2017-09-07T06:02:03Z",
    "region": "us-west-2",
    "resources": [],
    "detail": {
        "jobName": "MyJob",
        "severity": "ERROR",
        "state": "FAILED",
        "jobRunId": "jr_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "message": "JobName:MyJob and JobRunId:jr_0123456789abcdef0123456789abcdef0123456789abcdef"
        "0123456789abcdef failed to execute with exception Role arn:aws:iam::123456789012:role/Mike"
        " should be given assume role permissions for Glue Service.",
    },
}
TIMEOUT = {
    **FAILED,
    "time": "2017-11-20T20:22:06Z",
    "region": "us-east-1",
    "detail": {
        "jobName": "MyJob",
        "severity": "WARN",
        "state": "TIMEOUT",
        "jobRunId": "jr_abc0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "message": "Job run timed out",
    },
}
SUCCEEDED = {
    **FAILED,
    "time": "2017-09-07T18:57:21Z",
    "detail": {
        "jobName": "MyJob",
        "severity": "INFO",
        "state": "SUCCEEDED",
        "jobRunId": "jr_abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "message": "Job run succeeded",
    },
}
STOPPED = {
    **FAILED,
    "detail": {
        "jobName": "MyJob",
        "severity": "INFO",
        "state": "STOPPED",
        "jobRunId": "jr_abc0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "message": "Job run stopped",
    },
}


def write_spec(folder: Path, notify: str = NOTIFY) -> Path:
    path = folder / "nightly.yaml"
    path.write_text(SPEC.replace("NOTIFY", notify))
    return path


@pytest.fixture(scope="module")
def permitted(aws: sandbox.Sandbox, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The deployer's role has what ``deploy --permissions`` prints, and no more."""
    job = api.load(write_spec(tmp_path_factory.mktemp("spec")), complete=False)
    settings = resolve_settings(job, {"region": aws.region})
    policy = build_policies(api.plan(job), settings)["deployer"]
    for statement in policy["Statement"]:
        if any(prefix in str(statement["Action"]) for prefix in ("glue:", "events:")):
            statement["Resource"] = "*"  # the emulator knows no ARNs of jobs, and few of rules
    aws.client("iam", ACCOUNT).put_role_policy(
        RoleName="deployer", PolicyName="deploy", PolicyDocument=json.dumps(policy)
    )


@pytest.fixture
def run_command(
    aws: sandbox.Sandbox,
    permitted: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    use_job_identity(monkeypatch, aws)
    return create_command(monkeypatch, capsys)


def list_rules(aws: sandbox.Sandbox) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Returns the ARN of each target -> its rule's pattern, and the target."""
    events = aws.client("events", ACCOUNT)
    found = {}
    for rule in events.list_rules()["Rules"]:
        (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
        found[target["Arn"]] = (json.loads(rule["EventPattern"]), target)
    return found


def test_rules_follow_the_spec(aws: sandbox.Sandbox, run_command: Call, tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    planned = run_command("deploy", spec, "--plan")
    assert planned.returncode == 0, planned.stderr
    assert list_rules(aws) == {}
    assert "+ Rules.rolerunner-nightly-" in planned.stdout
    assert "note: event default: Glue itself puts its events there" in planned.stderr
    assert "note: webhook notify[5]: ends that no job can tell of" in planned.stderr
    grant = next(line for line in planned.stderr.splitlines() if "policy of the topic" in line)
    statement = json.loads(grant.partition("must have ")[2])
    assert (statement["Action"], statement["Resource"]) == ("sns:Publish", TOPIC)

    deployed = run_command("deploy", spec)
    assert deployed.returncode == 0, deployed.stderr
    rules = list_rules(aws)
    assert {arn: pattern["detail"]["state"] for arn, (pattern, _) in rules.items()} == {
        TOPIC: ["FAILED", "TIMEOUT", "STOPPED"],
        QUEUE: ["STOPPED"],
        BUS: ["FAILED", "TIMEOUT"],
    }
    assert rules[BUS][1]["RoleArn"] == PUTTER
    assert "no change" in run_command("deploy", spec).stdout

    write_spec(tmp_path, f'[{{on: failed, sns: "{TOPIC}", role: job}}]')
    changed = run_command("deploy", spec)
    assert "- Rules.rolerunner-nightly-" in changed.stdout
    assert {arn: pattern["detail"]["state"] for arn, (pattern, _) in list_rules(aws).items()} == {
        TOPIC: ["FAILED", "TIMEOUT"]
    }
    write_spec(tmp_path, "[]")
    assert run_command("deploy", spec).returncode == 0
    assert list_rules(aws) == {}
    back = run_command("deploy", spec, "--rollback")
    assert back.returncode == 0, back.stderr
    assert set(list_rules(aws)) == {TOPIC}


def emit(run_command: Call, folder: Path, form: str, notify: str = NOTIFY) -> str:
    spec = write_spec(folder, notify)
    emitted = run_command("deploy", spec, "--emit", form, "--job-name", "MyJob")
    assert emitted.returncode == 0, emitted.stderr
    return emitted.stdout


WITHOUT_ROLE = NOTIFY.replace(f', rule_role: "{PUTTER}"', "")


@pytest.mark.parametrize("notify", [NOTIFY, WITHOUT_ROLE])
def test_a_template_passes_the_linter(run_command: Call, tmp_path: Path, notify: str) -> None:
    template = emit(run_command, tmp_path, "cloudformation", notify)
    path = tmp_path / "template.json"
    path.write_text(template)
    checked = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout) == (0, "")
    kinds = [each["Type"] for each in json.loads(template)["Resources"].values()]
    assert kinds.count("AWS::Events::Rule") == 3
    assert kinds.count("AWS::IAM::Role") == (1 if notify == WITHOUT_ROLE else 0)


@pytest.mark.parametrize("notify", [NOTIFY, WITHOUT_ROLE])
def test_a_configuration_is_hcl(run_command: Call, tmp_path: Path, notify: str) -> None:
    parsed = hcl2.loads(emit(run_command, tmp_path, "terraform", notify))
    kinds = [next(iter(each)).strip('"') for each in parsed["resource"]]
    assert kinds.count("aws_cloudwatch_event_rule") == 3
    assert kinds.count("aws_cloudwatch_event_target") == 3
    assert kinds.count("aws_iam_role_policy") == (1 if notify == WITHOUT_ROLE else 0)


def with_message(event: dict[str, Any], message: str) -> dict[str, Any]:
    return {**event, "detail": {**event["detail"], "message": message}}


@pytest.mark.parametrize(
    ("event", "matches"),
    [
        (FAILED, True),
        (TIMEOUT, True),
        (STOPPED, True),
        (SUCCEEDED, False),
        (with_message(FAILED, "Command failed with exit code 1"), True),
        (with_message(FAILED, "Command failed with exit code 137"), True),
        (with_message(FAILED, "Command Failed due to Out of Memory"), True),
        (with_message(FAILED, "Command failed with exit code 87"), False),
        (with_message(FAILED, "NotifiedFailure: nightly: step 'find' failed"), False),
        (with_message(FAILED, "JobFailed: nightly: step 'find' failed"), True),
        ({**FAILED, "detail": {**FAILED["detail"], "jobName": "another"}}, False),  # type: ignore[dict-item]
        ({**FAILED, "source": "rolerunner"}, False),
    ],
)
def test_the_documented_events_pass_the_pattern(
    aws: sandbox.Sandbox, event: dict[str, Any], matches: bool, tmp_path: Path
) -> None:
    from rolerunner.glue.deploy.rules import describe_pattern, plan_rules

    job = api.load(write_spec(tmp_path), complete=False)
    settings = resolve_settings(job, {"region": aws.region})
    rule = plan_rules(job, settings, "MyJob", aws.region).rules[0]
    events = aws.client("events", ACCOUNT)
    pattern = describe_pattern(rule.pattern)
    answer = events.test_event_pattern(EventPattern=pattern, Event=json.dumps(event))
    assert answer["Result"] is matches
