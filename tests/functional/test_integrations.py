"""What docs/integrations.md offers to other tools, each checked by the tool or its schema."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rolerunner._version import __version__
from tests.conftest import CONFIGS, ROOT
from tests.functional.test_manual_examples import NAMED, find_blocks

if TYPE_CHECKING:
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


@pytest.mark.slow
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
