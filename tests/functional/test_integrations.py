"""Integrations of docs/integrations.md, each checked by the other tool or its schema."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rolerunner import Failure, RunResult, StepResult
from rolerunner._version import __version__
from tests.conftest import CONFIGS, ROOT
from tests.functional.test_manual_examples import NAMED, find_blocks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.once

PAGE = ROOT / "docs" / "integrations.md"
ACTION = ROOT / "action.yml"


def find_example(name: str) -> str:
    blocks = [*find_blocks(PAGE, "yaml"), *find_blocks(PAGE, "python")]
    (found,) = [text for text in blocks if (named := NAMED.match(text)) and named[2] == name]
    return found


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ("github-workflows", ".github/workflows/specs.yaml"),
        ("github-actions", "action.yml"),
    ],
)
def test_files_for_github_pass_its_published_schemas(
    schema: str, name: str, tmp_path: Path
) -> None:
    pytest.importorskip("check_jsonschema", reason="a development dependency")
    path = tmp_path / "file.yml"
    path.write_text(ACTION.read_text() if name == "action.yml" else find_example(name))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    checked = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_workflow_passes_inputs_that_the_action_has() -> None:
    workflow = yaml.safe_load(find_example(".github/workflows/specs.yaml"))
    inputs = yaml.safe_load(ACTION.read_text())["inputs"]
    used = [
        step["with"]
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if step["uses"].startswith("rolerunner/")
    ]
    assert len(used) == 3
    assert all(set(each) <= set(inputs) for each in used)
    cells = re.findall(r"^\| (`.*?) \|", PAGE.read_text(), re.MULTILINE)
    documented = set(re.findall(r"`([\w-]+)`", "".join(cells)))
    assert documented == set(inputs)


def test_only_the_job_that_deploys_may_ask_for_an_identity() -> None:
    workflow = yaml.safe_load(find_example(".github/workflows/specs.yaml"))
    jobs = workflow["jobs"]
    assert workflow["permissions"] == {"contents": "read"}
    assert {name for name, job in jobs.items() if "id-token" in job.get("permissions", {})} == {
        "deploy"
    }
    assert jobs["deploy"]["environment"] == "prod", "which the trust policy names"
    (trust,) = find_blocks(PAGE, "json")[:1]
    (statement,) = json.loads(trust)["Statement"]
    assert "environment:prod" in str(statement["Condition"])


def test_no_input_of_the_action_is_part_of_a_script() -> None:
    steps = yaml.safe_load(ACTION.read_text())["runs"]["steps"]
    scripts = [step["run"] for step in steps if "run" in step]
    assert scripts
    assert not any("${{" in script for script in scripts)


def run_action(tmp_path: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Runs the last script of the action, as the runner would."""
    (tmp_path / "rolerunner" / "bin").mkdir(parents=True)
    command = tmp_path / "rolerunner" / "bin" / "rolerunner"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m rolerunner "$@"\n')
    command.chmod(0o755)
    script = yaml.safe_load(ACTION.read_text())["runs"]["steps"][-1]["run"]
    variables = {"PATHS": ".", "ENVIRONMENT": "", "OPTIONS": "", **inputs}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, **variables, "RUNNER_TEMP": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("inputs", "status", "output"),
    [
        ({"COMMAND": "validate", "PATHS": "good.yaml\n\nother name.yaml\n"}, 0, ""),
        ({"COMMAND": "validate", "PATHS": "bad.yaml"}, 2, "::error file=bad.yaml,line=2"),
        ({"COMMAND": "validate", "PATHS": "good.yaml", "ENVIRONMENT": "prod"}, 2, "prod"),
        ({"COMMAND": "deploy", "PATHS": "good.yaml", "OPTIONS": "--plan"}, 2, "role"),
        ({"COMMAND": "run", "PATHS": "$(touch bad)"}, 2, "validate, test or deploy, not 'run'"),
        ({"COMMAND": "validate", "PATHS": "$(touch bad)"}, 2, "touch bad"),
        ({"COMMAND": "validate", "PATHS": "--help"}, 2, "--help"),
    ],
)
def test_the_script_of_the_action(
    inputs: dict[str, str], status: int, output: str, tmp_path: Path
) -> None:
    good = (CONFIGS / "partner_exchange.yaml").read_text()
    for name in ("good.yaml", "other name.yaml"):
        (tmp_path / name).write_text(good)
    (tmp_path / "jobs").symlink_to(ROOT / "jobs")
    (tmp_path / "bad.yaml").write_text("version: 1\nnaem: x\n")
    ended = run_action(tmp_path, **inputs)
    assert (ended.returncode, output in ended.stdout + ended.stderr) == (status, True), ended
    assert not (tmp_path / "bad").exists()


def test_examples_name_this_version() -> None:
    found = re.findall(r"(?:rev: |rolerunner@)v([\d.]+)", PAGE.read_text())
    assert len(found) == 4
    assert set(found) == {__version__}


def test_the_hook_takes_specs_and_leaves_other_files() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    config: Any = yaml.safe_load(find_example(".pre-commit-config.yaml"))
    assert [each["id"] for each in config["repos"][0]["hooks"]] == [hook["id"]]
    assert re.search(hook["exclude"], "specs/nightly.sandbox.yaml")
    assert re.search(hook["exclude"], "specs/nightly.test.yml")
    assert not re.search(hook["exclude"], "specs/nightly.yaml")


NIGHTLY = """version: 1
name: nightly
params:
  run_date: {type: date, required: true}
  stage: {type: string, required: true}
  limit: {type: integer, default: 3}
  password: {type: string, required: true, secret: true}
roles: {partner: "arn:aws:iam::222233334444:role/landing-reader"}
glue:
  role: arn:aws:iam::111122223333:role/glue
  artifacts: s3://artifacts-111122223333/rolerunner/
  params: {stage: test}
environments: {prod: {glue: {job_name: nightly-prod}}}
steps:
  - {id: find, action: s3.list, role: partner, source: "s3://landing/${{ params.run_date }}/"}
"""


@pytest.fixture
def machine(rolerunner: Callable[..., Any], tmp_path: Path) -> Any:
    """The emitted state machine for an environment."""
    (tmp_path / "nightly.yaml").write_text(NIGHTLY)
    emitted = rolerunner("deploy", "nightly.yaml", "--env", "prod", "--emit", "stepfunctions")
    assert (emitted.returncode, emitted.stderr) == (0, "")
    return json.loads(emitted.stdout)


def test_the_state_takes_from_its_input_what_the_job_does_not_set(machine: Any) -> None:
    state = machine["States"]["nightly-prod"]
    assert state["Parameters"] == {
        "JobName": "nightly-prod",
        "Arguments": {"--run_date.$": "States.Format('{}', $.run_date)"},
    }
    assert state["Resource"].endswith(":glue:startJobRun.sync")
    assert "environment prod" in machine["Comment"]


def test_the_state_machine_and_the_rule_pass_a_linter(machine: Any) -> None:
    from cfnlint.api import ManualArgs, lint

    properties = {"RoleArn": "arn:aws:iam::111122223333:role/states", "Definition": machine}
    template: Any = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {"M": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}},
    }
    (rule,) = find_blocks(PAGE, "json")[1:]
    settings = ManualArgs(regions=["eu-west-1"])
    assert [str(match) for match in lint(json.dumps(template), config=settings)] == []
    assert [str(match) for match in lint(rule, config=settings)] == []
    del machine["States"]["nightly-prod"]["Catch"][0]["Next"]
    assert lint(json.dumps(template), config=settings), "the linter reads the states"


@pytest.mark.slow
def test_the_state_machine_passes_statelint(machine: Any, tmp_path: Path) -> None:
    path = tmp_path / "machine.json"
    path.write_text(json.dumps(machine))
    command = [sys.executable, "-m", "uv", "tool", "run", "-q", "statelint", str(path)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_artifacts_are_not_uploaded_for_a_state(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "nightly.yaml").write_text(NIGHTLY)
    options = ("--emit", "stepfunctions", "--upload")
    refused = rolerunner("deploy", "nightly.yaml", *options)
    assert (refused.returncode, "--upload goes with" in refused.stderr) == (2, True)


def test_the_dag_runs_a_spec_and_fails_with_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    program = find_example("nightly_dag.py")
    (function,) = [node for node in ast.parse(program).body if isinstance(node, ast.FunctionDef)]
    names: dict[str, Any] = {"json": json}
    exec(compile(ast.Module([function], []), "nightly_dag.py", "exec"), names)
    error = Failure("AccessDenied", "find: no", "ask")
    results = {
        "good": RunResult("r", "nightly", "succeeded", "", 0.0, (), ()),
        "bad": RunResult(
            "r",
            "nightly",
            "failed",
            "",
            0.0,
            (),
            (StepResult("find", "s3.list", "", "failed", 1, 0.0, {}, error),),
        ),
    }
    monkeypatch.setattr("rolerunner.api.load", lambda spec, params: spec)
    monkeypatch.setattr("rolerunner.api.run", lambda job: results[job])
    assert names["run_spec"]("good", "2026-01-31") == "r"
    with pytest.raises(RuntimeError, match=r'run r failed: ."find": "find: no".'):
        names["run_spec"]("bad", "2026-01-31")


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="pre-commit clones a repository")
def test_the_hook_is_run_by_pre_commit(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "specs").mkdir(parents=True)
    (project / "specs" / "good.yaml").write_text((CONFIGS / "partner_exchange.yaml").read_text())
    (project / "specs" / "good.test.yaml").write_text("version: 1\n")
    (project / "jobs").symlink_to(ROOT / "jobs")
    environment = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "home")}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, check=False
        )

    run("git", "init", "-q")
    hook = [sys.executable, "-m", "uv", "tool", "run", "-q", "pre-commit", "try-repo", str(ROOT)]
    hook += ["rolerunner-validate", "--all-files", "--verbose"]
    run("git", "add", "-A")
    passed = run(*hook)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "1 spec" in passed.stdout
    (project / "specs" / "bad.yaml").write_text("version: 1\nnaem: x\n")
    run("git", "add", "-A")
    failed = run(*hook)
    assert (failed.returncode, "specs/bad.yaml:2:1" in failed.stdout) == (1, True), failed.stdout
