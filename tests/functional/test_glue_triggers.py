"""Triggers of Glue jobs on the emulator's Glue, with the printed permissions only."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from rolerunner.errors import AccessDenied, UsageError
from rolerunner.glue.deploy.account import Account
from rolerunner.glue.deploy.deployment import Deployer, Deployment
from rolerunner.glue.deploy.permissions import build_policies
from rolerunner.glue.deploy.settings import define_job, resolve_settings
from rolerunner.glue.rehearsal.sandboxed_run import COMMAND
from rolerunner.model import GlueAfter, GlueSettings, S3Uri
from tests.conftest import identity_of
from tests.unit.glue.deploy.samples import BUNDLE, JOB_SPEC, PLACE, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

ACCOUNT = "111122223333"
WORLD = """
version: 1
job_role: arn:aws:iam::111122223333:role/deployer
roles:
  - {arn: "arn:aws:iam::111122223333:role/deployer"}
  - {arn: "arn:aws:iam::111122223333:role/glue",
     trust: [{Effect: Allow, Principal: {Service: glue.amazonaws.com}, Action: sts:AssumeRole}]}
buckets:
  - {name: ops, account: "111122223333"}
"""
NIGHTLY = replace(SETTINGS, connections=(), security_configuration="")
AT_THREE = replace(NIGHTLY, schedule="cron(0 3 * * ? *)")
AT_FOUR = replace(NIGHTLY, schedule="cron(0 4 * * ? *)")
AFTER = replace(NIGHTLY, after=GlueAfter(("extract", "load")))
SCHEDULE, AFTER_NAME = "nightly-schedule", "nightly-after"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sandbox.Sandbox]:
    """The sandbox as `deploy --sandbox` starts it; its deployer has what the command prints."""
    path = tmp_path_factory.mktemp("world") / "world.yaml"
    path.write_text(WORLD)
    with sandbox.start_sandbox(sandbox.load_world(path), job_runner=COMMAND) as running:
        for number, settings in enumerate((AT_THREE, AFTER)):
            policy = build_policies(api.plan(JOB_SPEC), settings)["deployer"]
            for statement in policy["Statement"]:
                if "glue:" in str(statement["Action"]):
                    statement["Resource"] = "*"  # the emulator knows no ARNs of Glue
            running.client("iam", ACCOUNT).put_role_policy(
                RoleName="deployer", PolicyName=f"{number}", PolicyDocument=json.dumps(policy)
            )
        yield running


@pytest.fixture
def glue(aws: sandbox.Sandbox) -> Iterator[Any]:
    client = aws.client("glue", ACCOUNT)
    yield client
    client.delete_job(JobName="nightly")
    for name in client.list_triggers()["TriggerNames"]:
        client.delete_trigger(Name=name)
    s3 = aws.client("s3", ACCOUNT)
    for each in s3.list_objects_v2(Bucket="ops").get("Contents", []):
        s3.delete_object(Bucket="ops", Key=each["Key"])


@pytest.fixture
def deployer(aws: sandbox.Sandbox, glue: Any) -> Deployer:
    account = Account.of(JOB_SPEC, "", aws.region, identity_of(aws))
    home = S3Uri("ops", "rolerunner/nightly/")
    aws.client("s3", ACCOUNT).put_object(
        Bucket="ops", Key=f"{home.key}{BUNDLE.hash}/manifest.json", Body=b"{}"
    )
    return Deployer(account, home)


def plan(deployer: Deployer, settings: GlueSettings, *, adopt: bool = False) -> Deployment:
    job = replace(JOB_SPEC, glue=settings)
    goal = define_job(job, resolve_settings(job, {}), BUNDLE, PLACE, "eu-west-1")
    return deployer.plan_deployment(goal, BUNDLE.hash, adopt=adopt)


def deploy(deployer: Deployer, settings: GlueSettings, *, adopt: bool = False) -> str:
    """Returns what of the deployment is about triggers."""
    deployment = plan(deployer, settings, adopt=adopt)
    deployer.apply(deployment)
    text = deployment.text()
    return text[text.index("Glue trigger") :] if "Glue trigger" in text else ""


def names(glue: Any) -> list[str]:
    found: list[str] = glue.list_triggers()["TriggerNames"]
    return found


def test_a_schedule_is_made_changed_and_removed_with_the_job(deployer: Deployer, glue: Any) -> None:
    assert deploy(deployer, AT_THREE).splitlines() == [
        "Glue trigger nightly-schedule is made:",
        "  + Description: Starts the job nightly. Set by rolerunner deploy.",
        "  + Schedule: cron(0 3 * * ? *)",
        "  + Starts: nightly",
    ]
    trigger = glue.get_trigger(Name=SCHEDULE)["Trigger"]
    assert (trigger["Type"], trigger["State"]) == ("SCHEDULED", "ACTIVATED")
    assert trigger["Actions"] == [{"JobName": "nightly"}]
    assert plan(deployer, AT_THREE).is_empty

    assert deploy(deployer, AT_FOUR) == (
        "Glue trigger nightly-schedule is changed:\n"
        "  ~ Schedule: cron(0 3 * * ? *) -> cron(0 4 * * ? *)"
    )
    assert glue.get_trigger(Name=SCHEDULE)["Trigger"]["Schedule"] == "cron(0 4 * * ? *)"

    assert deploy(deployer, NIGHTLY).startswith("Glue trigger nightly-schedule is removed:\n")
    assert names(glue) == []
    assert plan(deployer, NIGHTLY).is_empty


def test_a_schedule_is_replaced_by_other_jobs(deployer: Deployer, glue: Any) -> None:
    deploy(deployer, AT_THREE)
    text = deploy(deployer, AFTER)
    assert "Glue trigger nightly-schedule is removed:" in text
    assert "  + After: extract SUCCEEDED AND load SUCCEEDED" in text
    assert names(glue) == [AFTER_NAME]
    predicate = glue.get_trigger(Name=AFTER_NAME)["Trigger"]["Predicate"]
    assert predicate["Logical"] == "AND"
    assert [each["JobName"] for each in predicate["Conditions"]] == ["extract", "load"]
    assert "load SUCCEEDED -> " in deploy(deployer, replace(AFTER, after=GlueAfter(("extract",))))


def test_a_rollback_brings_the_trigger_back(deployer: Deployer, glue: Any) -> None:
    deploy(deployer, AT_THREE)
    deploy(deployer, NIGHTLY)
    record = deployer.find_earlier()
    assert record.trigger["Schedule"] == "cron(0 3 * * ? *)"
    goal = replace(plan(deployer, NIGHTLY).wanted, trigger=record.trigger)
    deployer.apply(deployer.plan_deployment(goal, record.hash))
    assert names(glue) == [SCHEDULE]


def test_a_record_of_an_earlier_release_has_no_trigger(
    deployer: Deployer, aws: sandbox.Sandbox
) -> None:
    deploy(deployer, NIGHTLY)
    (record,) = aws.client("s3", ACCOUNT).list_objects_v2(
        Bucket="ops", Prefix="rolerunner/nightly/deployments/"
    )["Contents"]
    body = aws.client("s3", ACCOUNT).get_object(Bucket="ops", Key=record["Key"])["Body"].read()
    assert "trigger" not in json.loads(body)
    last = deployer.find_last()
    assert last is not None
    assert last.trigger == {}


def test_a_trigger_of_somebody_else_is_left_alone(deployer: Deployer, glue: Any) -> None:
    theirs = {"Actions": [{"JobName": "their-job"}], "Schedule": "cron(0 1 * * ? *)"}
    glue.create_trigger(Name=SCHEDULE, Type="SCHEDULED", **theirs)
    for _ in range(2):
        with pytest.raises(UsageError, match="exists and was not made by rolerunner"):
            plan(deployer, AT_THREE)
    assert glue.get_trigger(Name=SCHEDULE)["Trigger"]["Schedule"] == "cron(0 1 * * ? *)"
    text = deploy(deployer, AT_THREE, adopt=True)
    assert "~ Starts: their-job -> nightly" in text
    assert plan(deployer, AT_THREE).is_empty


def test_a_trigger_of_another_type_is_not_adopted(deployer: Deployer, glue: Any) -> None:
    glue.create_trigger(Name=SCHEDULE, Type="ON_DEMAND", Actions=[{"JobName": "nightly"}])
    with pytest.raises(UsageError, match="has the type ON_DEMAND and cannot get a schedule"):
        plan(deployer, AT_THREE, adopt=True)


def test_a_trigger_that_now_starts_other_jobs_is_not_removed(deployer: Deployer, glue: Any) -> None:
    deploy(deployer, AT_THREE)
    actions = [{"JobName": "nightly"}, {"JobName": "their-job"}]
    glue.update_trigger(Name=SCHEDULE, TriggerUpdate={"Actions": actions})
    assert deploy(deployer, NIGHTLY) == ""
    assert names(glue) == [SCHEDULE]


def test_a_trigger_that_is_gone_is_made_again_or_forgotten(deployer: Deployer, glue: Any) -> None:
    deploy(deployer, AT_THREE)
    glue.delete_trigger(Name=SCHEDULE)
    assert "is made" in deploy(deployer, AT_THREE)
    glue.delete_trigger(Name=SCHEDULE)
    assert deploy(deployer, NIGHTLY) == ""


def test_a_trigger_without_a_record_is_known_by_its_description(
    deployer: Deployer, glue: Any, aws: sandbox.Sandbox
) -> None:
    """As one that the emitted code has made."""
    deploy(deployer, AT_THREE)
    s3 = aws.client("s3", ACCOUNT)
    for each in s3.list_objects_v2(Bucket="ops", Prefix="rolerunner/nightly/deployments/")[
        "Contents"
    ]:
        s3.delete_object(Bucket="ops", Key=each["Key"])
    assert "is changed" in deploy(deployer, AT_FOUR)


def test_what_others_set_on_the_trigger_is_kept(deployer: Deployer, glue: Any) -> None:
    deploy(deployer, AT_THREE)
    actions = [{"JobName": "nightly", "Arguments": {"--country": "au"}, "Timeout": 5}]
    glue.update_trigger(Name=SCHEDULE, TriggerUpdate={"Actions": actions})
    glue.stop_trigger(Name=SCHEDULE)
    assert deploy(deployer, AT_FOUR).splitlines()[1:] == [
        "  ~ Schedule: cron(0 3 * * ? *) -> cron(0 4 * * ? *)",
        "  it is deactivated, and stays so: aws glue start-trigger --name 'nightly-schedule'",
    ]
    trigger = glue.get_trigger(Name=SCHEDULE)["Trigger"]
    assert trigger["State"] == "DEACTIVATED"
    assert trigger["Actions"] == actions
    unchanged = plan(deployer, AT_FOUR)
    assert unchanged.is_empty
    assert "Glue trigger nightly-schedule: no change\n  it is deactivated" in unchanged.text()


def test_without_permissions_the_missing_one_is_named(
    deployer: Deployer, aws: sandbox.Sandbox
) -> None:
    iam = aws.client("iam", ACCOUNT)
    kept = {
        name: iam.get_role_policy(RoleName="deployer", PolicyName=name)["PolicyDocument"]
        for name in ("0", "1")
    }
    try:
        for name in kept:
            iam.delete_role_policy(RoleName="deployer", PolicyName=name)
        policy = build_policies(api.plan(JOB_SPEC), NIGHTLY)["deployer"]
        assert "Trigger" not in json.dumps(policy)
        for statement in policy["Statement"]:
            if "glue:" in str(statement["Action"]):
                statement["Resource"] = "*"
        iam.put_role_policy(RoleName="deployer", PolicyName="2", PolicyDocument=json.dumps(policy))
        assert plan(deployer, NIGHTLY).text()
        with pytest.raises(AccessDenied, match="glue:GetTrigger"):
            plan(deployer, AT_THREE)
    finally:
        iam.delete_role_policy(RoleName="deployer", PolicyName="2")
        for name, document in kept.items():
            iam.put_role_policy(
                RoleName="deployer", PolicyName=name, PolicyDocument=json.dumps(document)
            )


def test_fields_of_runs_are_set_and_removed(deployer: Deployer, glue: Any) -> None:
    more = replace(NIGHTLY, queue_runs=True, notify_delay_after=45)
    deploy(deployer, more)
    job = glue.get_job(JobName="nightly")["Job"]
    assert job["JobRunQueuingEnabled"] is True
    assert job["NotificationProperty"] == {"NotifyDelayAfter": 45}
    assert plan(deployer, more).is_empty
    text = plan(deployer, replace(NIGHTLY, notify_delay_after=60)).text()
    assert "~ NotificationProperty.NotifyDelayAfter: 45 -> 60" in text
    assert "- JobRunQueuingEnabled: True" in text
    deploy(deployer, NIGHTLY)
    job = glue.get_job(JobName="nightly")["Job"]
    assert "JobRunQueuingEnabled" not in job
    assert "NotificationProperty" not in job


@pytest.mark.parametrize(
    ("field", "value", "setting"),
    [
        ("JobRunQueuingEnabled", {"queue_runs": True}, "queue_runs"),
        ("MaintenanceWindow", {"maintenance_window": "Sun:2"}, "maintenance_window"),
    ],
)
def test_an_old_boto3_is_named(
    deployer: Deployer,
    monkeypatch: pytest.MonkeyPatch,
    field: str,
    value: dict[str, Any],
    setting: str,
) -> None:
    """boto3 1.21, that of Python Shell, knows neither."""
    known = deployer.account.members("JobUpdate")
    monkeypatch.setattr(deployer.account, "members", lambda _: known - {field})
    spark = replace(
        NIGHTLY, runtime="glue-5.1", capacity=None, worker_type="G.1X", workers=2, **value
    )
    with pytest.raises(UsageError, match=rf"too old for '{setting}' under 'glue'"):
        plan(deployer, spark)


def test_two_environments_with_one_job_meet_nowhere(deployer: Deployer) -> None:
    """Also where neither their accounts nor their artifacts were known."""
    dev = replace(JOB_SPEC, environment="dev")
    goals = {
        env: define_job(replace(dev, environment=env), NIGHTLY, BUNDLE, PLACE, "eu-west-1")
        for env in ("", "dev", "prod")
    }
    deployer.apply(deployer.plan_deployment(goals[""], BUNDLE.hash))
    deployer.apply(deployer.plan_deployment(goals["dev"], BUNDLE.hash))
    for env, message in (
        ("prod", "runs the environment 'dev': set another 'job_name' under 'glue' in 'prod'"),
        ("", "runs the environment 'dev': deploy it with --env dev"),
    ):
        with pytest.raises(UsageError, match=message):
            deployer.plan_deployment(goals[env], BUNDLE.hash)
    replaced = deployer.plan_deployment(goals["prod"], BUNDLE.hash, adopt=True)
    assert "spec/nightly.yaml#dev -> " in replaced.text()


def test_a_required_param_and_a_schedule_exclude_each_other(tmp_path: Path) -> None:
    """A required param stops runs that nobody starts: `validate` tells."""
    path = tmp_path / "t.yaml"
    path.write_text(
        "version: 1\nname: t\nparams:\n"
        "  run_date: {type: date, required: true}\n"
        "  key: {secret: true, required: true}\n"
        "  day: {type: date, required: true}\n"
        "  week: {type: string, default: x}\n"
        "glue: {params: {day: 2026-01-31}}\n"
        'environments: {prod: {glue: {schedule: "cron(0 3 * * ? *)"}}}\n'
        "steps: [{id: a, action: s3.list, role: job, source: 's3://bucket/'}]\n"
    )
    found = api.find_problems(path)
    assert [(each.mark.line, each.message) for each in found] == [
        (
            9,
            (
                "in the environment 'prod': runs that 'schedule' starts have no value of the "
                f"param '{name}', which is required"
            ),
        )
        for name in ("run_date", "key")
    ]
    assert ["glue" in each.hint for each in found] == [True, False]
