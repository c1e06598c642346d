"""Messages of the first hours with the command: each hint leads to an existing file or option."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., subprocess.CompletedProcess[str]]

JOB, ROLE = "arn:aws:iam::222233334444:role/job", "arn:aws:iam::222233334444:role/reader"
SPEC = f"""\
version: 1
name: a
roles: {{reader: "{ROLE}"}}
state: {{location: "s3://ops-bucket/state/", role: job}}
steps:
  - {{id: find, action: s3.list, role: reader, source: "s3://landing/in/"}}
  - {{id: fetch, action: s3.download, role: reader, source: "s3://landing/in/b", target: x}}
"""
WORLD = f"""\
version: 1
job_role: {JOB}
roles:
  - {{arn: "{JOB}", permissions: [{{Effect: Allow, Action: ["sts:AssumeRole", "s3:*"],
      Resource: "*"}}]}}
  - arn: {ROLE}
    trust: [{{Effect: Allow, Principal: {{AWS: "{JOB}"}}, Action: sts:AssumeRole}}]
    permissions: [{{Effect: Allow, Action: "s3:ListBucket", Resource: "*"}}]
buckets:
  - {{name: landing, account: "222233334444",
      objects: [{{key: in/a, text: x}}, {{key: in/b, text: x}}]}}
  - {{name: ops-bucket, account: "222233334444"}}
"""
OF_THE_SANDBOX = "the sandbox refused this, not AWS: its policies are in a.sandbox.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(SPEC)
    (tmp_path / "a.sandbox.yaml").write_text(WORLD)
    return tmp_path


def test_a_refusal_in_the_sandbox_names_the_file_to_change(
    project: Path, rolerunner: Command
) -> None:
    completed = rolerunner("run", "a.yaml", "--sandbox")
    assert completed.returncode == 4
    assert OF_THE_SANDBOX in completed.stderr
    assert "--resume" not in completed.stderr  # the sandbox's state is gone with it
    (project / "a.yaml").write_text(SPEC.replace("role/reader", "role/nobody"))
    completed = rolerunner("run", "a.yaml", "--sandbox")
    assert completed.returncode == 3
    assert OF_THE_SANDBOX in completed.stderr
    completed = rolerunner("check", "a.yaml", "--sandbox")
    assert completed.returncode == 3
    assert OF_THE_SANDBOX in completed.stderr


def test_a_failure_that_is_no_refusal_is_not_blamed_on_policies(
    project: Path, rolerunner: Command
) -> None:
    (project / "a.yaml").write_text(SPEC.replace("landing/in/", "landing/none/"))
    completed = rolerunner("run", "a.yaml", "--sandbox")
    assert completed.returncode == 4
    assert "sandbox refused" not in completed.stderr


def test_a_local_state_can_be_gone_on_from(project: Path, rolerunner: Command) -> None:
    (project / "a.yaml").write_text(
        SPEC.replace(
            '{location: "s3://ops-bucket/state/", role: job}', f"{{location: {project}/state/}}"
        )
    )
    completed = rolerunner("run", "a.yaml", "--sandbox")
    key = completed.stderr.partition("--resume ")[2].strip().splitlines()[0]
    (project / "a.sandbox.yaml").write_text(WORLD.replace('"s3:ListBucket"', '"s3:*"'))
    assert rolerunner("run", "a.yaml", "--sandbox", "--resume", key).returncode == 0


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("rnu", "did you mean 'run'?"),
        ("valdate", "did you mean 'validate'?"),
        ("frobnicate", "known: run, validate"),
    ],
)
def test_a_misspelt_command_is_answered_with_the_right_one(
    wrong: str, hint: str, rolerunner: Command
) -> None:
    completed = rolerunner(wrong, "a.yaml")
    assert completed.returncode == 2
    assert f"there is no command '{wrong}' ({hint}" in completed.stderr


def test_files_that_are_no_specs_are_told_apart_by_their_names(
    project: Path, rolerunner: Command
) -> None:
    for name in ("a.sandbox.yaml", "a.test.yaml"):
        completed = rolerunner("validate", name)
        assert completed.returncode == 2
        assert f"{name}: is not a spec; 'rolerunner " in completed.stderr
    assert rolerunner("validate", "*.yaml").returncode == 0


def test_a_new_project_leads_from_one_command_to_the_next(
    rolerunner: Command, tmp_path: Path
) -> None:
    completed = rolerunner("init", "my job")
    assert completed.returncode == 0
    commands = [
        line.partition("rolerunner ")[2]
        for line in completed.stdout.splitlines()
        if "rolerunner " in line and line.startswith(("Now:", "and:"))
    ]
    assert len(commands) == 2
    for command in commands:
        quoted = f"set -- {command}; printf '%s\\n' \"$@\""
        words = subprocess.run(
            ["sh", "-c", quoted], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        assert rolerunner(*words).returncode == 0, command
    for command in ("validate", "plan", "graph", "audit", "iam"):
        assert rolerunner(command, "my job/job.yaml").returncode == 0, command


@pytest.mark.parametrize(
    ("misspelt", "right", "hint"),
    [
        ("action: s3.list", "action: s3.lst", "did you mean 's3.list'?"),
        ("role: reader", "role: raeder", "did you mean 'reader'?"),
        ("steps.find.objects", "steps.fnd.objects", "did you mean 'find'?"),
        ("params.folder", "params.foldr", "did you mean 'folder'?"),
        ("jobs.count:count_lines", "jobs.cuont:count_lines", "did you mean 'jobs.count'?"),
        ("jobs.count:count_lines", "jobs.count:count_line", "did you mean 'count_lines'?"),
        ("target: ${{ params.workdir }}", "dest: ${{ params.workdir }}", "write 'target'"),
        ('{folder: "${{ steps', '{foldr: "${{ steps', "did you mean 'folder'?"),
    ],
)
def test_each_misspelling_of_the_new_project_is_answered(
    misspelt: str, right: str, hint: str, rolerunner: Command, tmp_path: Path
) -> None:
    rolerunner("init", "p")
    path = tmp_path / "p" / "job.yaml"
    text = path.read_text()
    assert misspelt in text
    path.write_text(text.replace(misspelt, right, 1))
    completed = rolerunner("validate", "p/job.yaml")
    assert completed.returncode == 2
    assert hint in completed.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plan", "a.yaml", "--sandbox"), "--sandbox requires --live"),
        (("iam", "a.yaml", "--sandbox"), "--sandbox requires --live"),
        (("report", "a.yaml"), "`rolerunner run SPEC --result FILE.json` writes a result file"),
        (
            ("run", "a.yaml", "--sandbox", "--only", "fnd"),
            "there is no step 'fnd' (did you mean 'find'?)",
        ),
        (
            ("run", "a.yaml", "--sandbox", "--only", "x"),
            "there is no step 'x' (known: find, fetch)",
        ),
        (("iam", "a.yaml", "--format", "terraform", "--account", "1"), "accounts: 222233334444"),
    ],
)
def test_a_command_line_that_cannot_be_is_answered(
    words: tuple[str, ...], message: str, project: Path, rolerunner: Command
) -> None:
    completed = rolerunner(*words)
    assert completed.returncode == 2
    assert message in completed.stderr
    assert (project / "a.yaml").read_text() == SPEC
