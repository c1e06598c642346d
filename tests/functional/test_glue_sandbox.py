"""``deploy``, ``start`` and ``logs --sandbox``: the way to a Glue job without an account."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from rolerunner import api, sandbox
from rolerunner.cli.sandboxed import DEFAULT_FILE, describe_deployable
from rolerunner.glue.deploy.settings import resolve_settings
from rolerunner.glue.rehearsal.sandboxed_run import COMMAND
from rolerunner.sandbox.running import publish_sandbox
from tests.in_process import Call, create_command

pytestmark = pytest.mark.once

SPEC = """
version: 1
name: nightly
params:
  run_date: {type: date, required: true}
  stage: {type: choice, choices: [dev, prod], default: dev}
roles:
  reader: arn:aws:iam::222233334444:role/landing-reader
  writer: arn:aws:iam::444455556666:role/publisher
glue:
  role: arn:aws:iam::111122223333:role/glue-nightly
  artifacts: s3://ops-bucket/rolerunner/
  fixed_params: {stage: prod}
  result: s3://ops-bucket/results/
steps:
  - id: check
    action: python.call
    function: team_checks:require
    arguments: {stage: "${{ params.stage }}"}
  - id: copy
    action: s3.copy
    source_role: reader
    target_role: writer
    source: s3://landing/${{ params.run_date }}/
    target: s3://publish/${{ params.stage }}/${{ params.run_date }}/
"""
CODE = """
def require(step, stage):
    if stage != "prod":
        raise ValueError(f"the stage is {stage}")
    print("hello from the deployed code")
    return {"stage": stage}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    (tmp_path / "team_checks.py").write_text(CODE)
    path = tmp_path / "nightly.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command in this process, which already has its imports."""

    return create_command(monkeypatch, capsys)


def list_sandboxes() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("rolerunner-sandbox-*"))


def test_start_deploys_to_a_sandbox_of_its_own_and_runs_the_job_in_it(
    run_command: Call, spec: Path
) -> None:
    before = list_sandboxes()
    completed = run_command("start", spec, "--sandbox", "-p", "run_date=2026-01-31", "--follow")
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert "Glue job nightly is made:" in completed.stdout
    assert "hello from the deployed code" in completed.stdout
    assert '"runtime": "pythonshell"' in completed.stdout
    assert "assumed-role/landing-reader/nightly-" in completed.stdout
    assert completed.stdout.splitlines()[-1].startswith("succeeded in ")
    assert "sandbox: you deploy as arn:aws:iam::111122223333:role/rolerunner-deployer" in (
        completed.stderr
    )
    assert list_sandboxes() == before


def test_three_commands_share_the_sandbox_that_is_served(
    run_command: Call, spec: Path, tmp_path: Path
) -> None:
    job = api.load(spec, {"run_date": "2026-01-31", "stage": "prod"})
    settings = resolve_settings(job, {})
    world, _ = describe_deployable(job, settings, DEFAULT_FILE)
    with (
        sandbox.start_sandbox(world, tmp_path, job_runner=COMMAND) as running,
        publish_sandbox(running, str(spec), None, job.roles),
    ):
        deployed = run_command("deploy", spec, "--sandbox")
        assert f"; run it: rolerunner start {spec} --sandbox\n" in deployed.stdout
        assert run_command("deploy", spec, "--sandbox").stdout == "Glue job nightly: no change\n"
        started = run_command("start", spec, "--sandbox", "-p", "run_date=2026-01-31", "--no-wait")
        run_id = started.stdout.strip()
        followed = run_command("logs", spec, run_id, "--sandbox", "--follow", "--interval", "0.2")
        assert followed.returncode == 0, followed.stderr
        assert "hello from the deployed code" in followed.stdout
        again = run_command("logs", spec, "--sandbox")
        assert again.stdout == followed.stdout
        s3 = running.client("s3", "111122223333")
        results = s3.list_objects_v2(Bucket="ops-bucket", Prefix="results/")
        assert results["KeyCount"] == 1
        creators = [
            each.caller for each in running.requests("glue") if each.operation == "CreateJob"
        ]
        assert len(creators) == 1
        assert ":assumed-role/rolerunner-deployer/" in creators[0]


@pytest.mark.slow
def test_a_job_that_fails_in_the_sandbox_ends_as_on_aws(run_command: Call, spec: Path) -> None:
    spec.write_text(
        SPEC.replace("glue:\n", "glue:\n  runtime: glue-5.1\n").replace(
            "  fixed_params: {stage: prod}\n", ""
        )
    )
    failed = run_command("start", spec, "--sandbox", "-p", "run_date=2026-01-31")
    assert failed.returncode == 4
    reason = "step 'check' failed: 'team_checks:require' raised ValueError: the stage is dev"
    assert failed.stderr.splitlines()[-1].endswith(f" s: nightly: {reason}")
    assert failed.stderr.splitlines()[-1].startswith("rolerunner: FAILED after ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["logs", "{spec}"], "no sandbox of {spec} is running: start one in another terminal"),
        (
            ["start", "{spec}", "-p", "run_date=2026-01-31", "--no-wait"],
            "start one in another terminal with: rolerunner sandbox {spec}",
        ),
        (
            ["deploy", "{spec}", "--emit", "terraform"],
            "--sandbox deploys to the sandbox, while --emit and --permissions",
        ),
        (
            ["deploy", "{spec}", "--permissions"],
            "--sandbox deploys to the sandbox, while --emit and --permissions",
        ),
    ],
)
def test_what_needs_a_lasting_sandbox_or_none_says_so(
    arguments: list[str], message: str, run_command: Call, spec: Path
) -> None:
    completed = run_command(*(each.format(spec=spec) for each in arguments), "--sandbox")
    assert completed.returncode == 2
    assert message.format(spec=spec) in completed.stderr
