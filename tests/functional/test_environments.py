"""``--env`` on the way from a spec to a Glue job: nothing of two environments meets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import sandbox
from rolerunner.glue.launch.entry import JobFailed, main
from tests.in_process import create_command, use_job_identity

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

SPEC = """
version: 1
name: nightly
params:
  stage: {type: choice, choices: [dev, prod], required: true}
roles:
  publisher: arn:aws:iam::444455556666:role/publisher
state: {location: s3://ops-bucket/state/, role: publisher}
glue:
  role: arn:aws:iam::444455556666:role/glue-nightly
  artifacts: s3://ops-bucket/jobs/
environments:
  dev:
    params: {stage: dev}
    roles: {publisher: "arn:aws:iam::111122223333:role/publisher"}
    state: {location: s3://dev-ops/state/}
    glue:
      job_name: nightly-dev
      role: arn:aws:iam::111122223333:role/glue-dev
      artifacts: s3://dev-ops/jobs/
  prod: {params: {stage: prod}}
steps:
  - id: publish
    action: s3.write
    role: publisher
    target: s3://publish-${{ params.stage }}/out.txt
    text: "${{ params.stage }}"
"""
LOCAL = """
version: 1
name: daily
params: {stage: {type: string, default: base}}
state: {location: %s}
environments:
  dev: {params: {stage: dev}}
  prod: {params: {stage: prod}}
steps:
  - {id: show, action: python.call, function: "functions_of_env:show", arguments: {stage: "${{ params.stage }}"}}
"""  # noqa: E501 - YAML
FUNCTION = "def show(context, stage):\n    return {'stage': stage}\n"


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command in this process, which already has its imports."""

    return create_command(monkeypatch, capsys)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "nightly.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "daily.yaml"
    path.write_text(LOCAL % (tmp_path / "state"))
    (tmp_path / "functions_of_env.py").write_text(FUNCTION)
    return path


def test_every_command_takes_the_environment(run_command: Any, spec: Path) -> None:
    planned = run_command("plan", spec, "--env", "dev")
    assert planned.stdout.startswith("nightly (dev): 1 step, 1 role to assume")
    assert "s3://publish-dev/out.txt" in planned.stdout
    assert "arn:aws:s3:::dev-ops/state/nightly.dev/*" in planned.stdout
    as_json = json.loads(run_command("plan", spec, "--env", "prod", "--json").stdout)
    assert (as_json["job"], as_json["environment"]) == ("nightly", "prod")
    policies = run_command("iam", spec, "--env", "dev").stdout
    assert "arn:aws:iam::111122223333:role/publisher" in policies
    assert "publish-prod" not in policies
    assert "nightly (dev)" in run_command("graph", spec, "--env", "dev", "--format", "svg").stdout
    assert run_command("validate", spec, "--env", "prod").returncode == 0
    assert "dev-ops/jobs" in run_command("deploy", spec, "--env", "dev", "--permissions").stdout
    for command in ("plan", "run", "check", "start", "logs", "bundle", "rehearse", "audit"):
        refused = run_command(command, spec, "--env", "stage")
        assert refused.returncode == 2, command
        assert "there is no environment 'stage' (known: dev, prod)" in refused.stderr, command
    assert "the param 'stage' is required" in run_command("plan", spec).stderr


def test_validate_checks_the_spec_under_every_environment(run_command: Any, spec: Path) -> None:
    assert run_command("validate", spec).stdout == "1 spec checked, no mistakes\n"
    spec.write_text(SPEC.replace("prod: {params: {stage: prod}}", "prod: {params: {stage: pro}}"))
    wrong = run_command("validate", spec, "--format", "json")
    (problem,) = json.loads(wrong.stdout)
    line = SPEC.splitlines()[problem["line"] - 1]
    assert line[problem["column"] - 1 :].startswith("prod}}")
    assert problem["message"].startswith("in the environment 'prod': the default of 'stage'")
    assert wrong.returncode == 2


def test_an_audit_covers_every_environment(run_command: Any, spec: Path) -> None:
    """The role of dev is in another account than the job, and has no external id."""
    options = ("--job-role", "arn:aws:iam::444455556666:role/job", "--format", "json")
    for more, expected in (((), 1), (("--env", "dev"), 1), (("--env", "prod"), 0)):
        audited = run_command("audit", spec, *options, *more, "--fail-on", "none")
        found = [each for each in json.loads(audited.stdout)["findings"] if each["rule"] == "RR001"]
        assert len(found) == expected, more
        for each in found:
            assert "111122223333" in SPEC.splitlines()[each["line"] - 1]


@pytest.mark.parametrize(("more", "undecided"), [("", False), ("  new: {}\n", True)])
def test_a_spec_that_runs_in_its_environments_alone_is_audited_in_them(
    more: str, undecided: bool, run_command: Any, spec: Path
) -> None:
    """A role that depends on a param which each environment sets is known wherever it runs."""
    text = SPEC.replace("role/publisher\n", "role/publisher-${{ params.stage }}\n")
    spec.write_text(text.replace("steps:\n", f"{more}steps:\n"))
    audited = run_command("audit", spec, "--format", "json", "--fail-on", "none")
    rules = {each["rule"] for each in json.loads(audited.stdout)["findings"]}
    assert ("RR008" in rules) is undecided


@pytest.mark.parametrize("env", ["dev", "prod"])
def test_result_log_and_report_name_the_environment(
    run_command: Any, local: Path, env: str
) -> None:
    result, report = local.with_name("result.json"), local.with_name("report.html")
    options = ("--result", result, "--report", report, "--log-format", "json")
    done = run_command("run", local, "--env", env, *options)
    assert done.returncode == 0, done.stderr
    written = json.loads(result.read_text())
    assert written["environment"] == env
    assert written["steps"][0]["outputs"]["stage"] == env
    assert f"<h1>daily ({env})</h1>" in report.read_text()
    events = [json.loads(line) for line in done.stdout.splitlines()]
    named = {each["event"]: each.get("environment") for each in events}
    assert (named["run_started"], named["run_finished"]) == (env, env)


def test_environments_do_not_share_the_state_of_a_run_key(run_command: Any, local: Path) -> None:
    for env in ("dev", "prod", ""):
        arguments = ("--run-key", "k", *(("--env", env) if env else ()))
        result = local.with_name("result.json")
        assert run_command("run", local, *arguments, "--result", result).returncode == 0
        step = json.loads(result.read_text())["steps"][0]
        assert (step["status"], step["outputs"]["stage"]) == ("succeeded", env or "base")
    folders = sorted(path.name for path in local.with_name("state").iterdir())
    assert folders == ["daily", "daily.dev", "daily.prod"]


@pytest.mark.parametrize(
    ("job_spec", "arguments", "stage"),
    [
        ("#prod", (), "prod"),
        ("#dev", (), "dev"),
        ("", (), "base"),
    ],
)
def test_a_deployed_job_carries_its_environment(
    local: Path, job_spec: str, arguments: tuple[str, ...], stage: str
) -> None:
    result = main(["run_spec.py", "--job_spec", f"{local}{job_spec}", *arguments])
    assert result.steps[0].outputs["stage"] == stage
    assert result.environment == job_spec[1:]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--job_spec=other.yaml#dev",),
        ("--job-spec", "other.yaml#dev"),
        ("--env", "dev"),
        ("--job_env", "dev"),
        ("--environment=dev",),
    ],
)
def test_no_argument_of_a_run_changes_the_environment(
    local: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for job_spec in (f"{local}#prod", str(local)):
        with pytest.raises(JobFailed, match=r"given more than once|there is no param"):
            main(["run_spec.py", "--job_spec", job_spec, *arguments])
    assert '"stage": "dev"' not in capsys.readouterr().out


def test_an_environment_that_the_spec_lost_fails_the_job(local: Path) -> None:
    with pytest.raises(JobFailed, match="there is no environment 'stage'"):
        main(["run_spec.py", "--job_spec", f"{local}#stage"])


def test_a_file_with_a_hash_in_its_name_still_runs(local: Path) -> None:
    path = local.rename(local.with_name("daily#1.yaml"))
    assert main(["run_spec.py", "--job_spec", str(path)]).environment == ""
    assert main(["run_spec.py", "--job_spec", f"{path}#dev"]).environment == "dev"


@pytest.mark.slow
def test_test_files_choose_environments(run_command: Any, local: Path) -> None:
    local.with_name("daily.test.yaml").write_text(
        "version: 1\ncases:\n"
        "  - {name: a, env: dev, expect: {steps: {show: {outputs: {stage: dev}}}}}\n"
        "  - {name: b, expect: {steps: {show: {outputs: {stage: prod}}}}}\n"
    )
    path = local.with_name("daily.test.yaml")
    assert run_command("test", path, "--env", "prod").returncode == 0


def test_a_test_file_with_an_unknown_environment_is_refused(run_command: Any, local: Path) -> None:
    path = local.with_name("daily.test.yaml")
    path.write_text("version: 1\ncases:\n  - {name: a, env: dve}\n  - {name: b}\n")
    wrong = run_command("test", path, "--env", "prd")
    assert wrong.returncode == 2
    assert f"{path}:3:20: the spec cannot run in the environment 'dve'" in wrong.stderr
    assert f"{path}:4:5: the spec cannot run in the environment 'prd'" in wrong.stderr
    assert "there is no environment 'dve' (did you mean 'dev'?)" in wrong.stderr


def test_jobs_of_two_environments_share_nothing(run_command: Any, spec: Path) -> None:
    """The plans of both, and of what is in the jobs."""
    code = {}
    for env in ("dev", "prod"):
        emitted = run_command(
            "deploy", spec, "--env", env, "--emit", "cloudformation", "--region", "eu-west-1"
        )
        assert emitted.returncode == 0, emitted.stderr
        (resource,) = json.loads(emitted.stdout)["Resources"].values()
        code[env] = resource["Properties"]
        assert code[env]["NonOverridableArguments"]["--job_spec"].endswith(f"nightly.yaml#{env}")
    values = {env: set(_list_places(job)) for env, job in code.items()}
    assert values["dev"] & values["prod"] == set()
    assert (code["dev"]["Name"], code["prod"]["Name"]) == ("nightly-dev", "nightly")


def _list_places(job: dict[str, Any]) -> list[str]:
    arguments = {**job["DefaultArguments"], **job["NonOverridableArguments"]}
    places = [job["Name"], job["Role"], job["Command"]["ScriptLocation"]]
    return places + [each for each in arguments.values() if each.startswith("s3://")]


def test_environments_with_one_job_are_not_deployed(run_command: Any, spec: Path) -> None:
    shared = SPEC.replace("      job_name: nightly-dev\n", "")
    spec.write_text(shared.replace("s3://dev-ops/jobs/", "s3://ops-bucket/jobs/"))
    for env in ("dev", "prod"):
        refused = run_command("deploy", spec, "--env", env, "--plan", "--region", "eu-west-1")
        assert refused.returncode == 2
        assert "have the same Glue job: set 'job_name' under 'glue'" in refused.stderr


WORLD = """
version: 1
job_role: arn:aws:iam::111122223333:role/deployer
roles:
  - arn: arn:aws:iam::111122223333:role/deployer
    permissions: [{Effect: Allow, Action: "*", Resource: "*"}]
buckets:
  - {name: ops-bucket, account: "111122223333"}
  - {name: dev-ops, account: "111122223333"}
"""
SCHEDULE = 'prod: {params: {stage: prod}, glue: {schedule: "cron(0 3 * * ? *)"}}'


@pytest.fixture
def as_deployer(aws: sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    use_job_identity(monkeypatch, aws)


@pytest.mark.usefixtures("as_deployer")
def test_two_environments_are_deployed_side_by_side(
    aws: sandbox.Sandbox, run_command: Any, spec: Path
) -> None:
    spec.write_text(SPEC.replace("prod: {params: {stage: prod}}", SCHEDULE))
    deployed = run_command("deploy", spec, "--env", "dev")
    assert deployed.returncode == 0, deployed.stderr
    assert f"; run it: rolerunner start {spec} --env dev\n" in deployed.stdout
    planned = run_command("deploy", spec, "--env", "prod", "--plan").stdout
    assert "Glue job nightly is made:" in planned
    assert "+ NonOverridableArguments.--job_spec: s3://ops-bucket/jobs/nightly/" in planned
    assert "Glue trigger nightly-schedule is made:" in planned
    assert "dev" not in planned.replace("rolerunner deploy", "")
    assert run_command("deploy", spec, "--env", "prod").returncode == 0
    glue = aws.client("glue", "111122223333")
    jobs = {name: glue.get_job(JobName=name)["Job"] for name in ("nightly", "nightly-dev")}
    assert not set(_list_places(jobs["nightly"])) & set(_list_places(jobs["nightly-dev"]))
    assert glue.list_triggers()["TriggerNames"] == ["nightly-schedule"]
    refused = run_command("deploy", spec, "--plan")
    assert refused.returncode == 2
    assert "the Glue job 'nightly' runs the environment 'prod': deploy it with --env prod" in (
        refused.stderr
    )
    for options, message in (
        ((), "runs the environment 'prod': add --env prod"),
        (("--env", "dev", "--job-name", "nightly"), "'prod': add --env prod, not 'dev'"),
    ):
        stopped = run_command("start", spec, *options, "-p", "stage=dev", "--no-wait")
        assert (stopped.returncode, message in stopped.stderr) == (2, True), stopped.stderr
    started = run_command("start", spec, "--env", "prod", "--no-wait")
    assert started.returncode == 0, started.stderr
    unscheduled = SCHEDULE.replace('"cron(0 3 * * ? *)"', "null")
    spec.write_text(SPEC.replace("prod: {params: {stage: prod}}", unscheduled))
    removed = run_command("deploy", spec, "--env", "prod").stdout
    assert "Glue trigger nightly-schedule is removed:" in removed
    assert glue.list_triggers()["TriggerNames"] == []
    back = run_command("deploy", spec, "--env", "prod", "--rollback").stdout
    assert "Glue trigger nightly-schedule is made:" in back
    assert glue.list_triggers()["TriggerNames"] == ["nightly-schedule"]


@pytest.mark.slow
def test_a_deployed_environment_runs_in_the_sandbox(run_command: Any, spec: Path) -> None:
    started = run_command("start", spec, "--env", "dev", "--sandbox", "--follow")
    assert started.returncode == 0, started.stderr
    events = [json.loads(each) for each in started.stdout.splitlines() if each.startswith("{")]
    named = {each["event"]: each.get("environment") for each in events}
    assert named["run_finished"] == "dev"
    assert "Glue job nightly-dev is made:" in started.stdout
