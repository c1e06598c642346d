"""User errors: one clear message, the documented exit status, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from rolerunner.model import RunResult
from tests.conftest import identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.once

WORLD = """
version: 1
job_role: arn:aws:iam::111122223333:role/job
roles:
  - arn: arn:aws:iam::111122223333:role/job
    permissions:
      - {Effect: Allow, Action: ["s3:*", "sts:AssumeRole"], Resource: "*"}
  - arn: arn:aws:iam::111122223333:role/closed
buckets:
  - name: data-bucket
    account: "111122223333"
    objects:
      - {key: in/a.txt, text: "hello"}
      - {key: in/large.bin, size: 300000}
      - {key: "in/../../escape.txt", text: "out"}
"""
HEAD = "version: 1\nname: t\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sandbox.Sandbox]:
    path = tmp_path_factory.mktemp("world") / "world.yaml"
    path.write_text(WORLD)
    with sandbox.start_sandbox(sandbox.load_world(path)) as made:
        yield made


def run(running: sandbox.Sandbox, tmp_path: Path, steps: str) -> RunResult:
    path = tmp_path / "job.yaml"
    path.write_text(HEAD + "steps:\n" + steps)
    return api.run(api.load(path), identity=identity_of(running))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("", "the file is empty"),
        ("version: [1\n", "not YAML"),
        (
            HEAD + "steps:\n  - {id: a, action: s3.lst, role: job}\n",
            "unknown action 's3.lst' (did you mean 's3.list'?)",
        ),
        (
            HEAD
            + "steps:\n  - {id: a, action: s3.list, role: no-arn, source: s3://data-bucket/}\n",
            "there is no role 'no-arn'",
        ),
        (
            HEAD
            + (
                "steps:\n"
                "  - {id: a, action: s3.list, role: 'arn:aws:iam::1:role/x', "
                "source: s3://data-bucket/}\n"
            ),
            "is not a role ARN",
        ),
        (b"\xff\xfe\x00", "not UTF-8 text"),
    ],
)
@pytest.mark.parametrize("command", ["run", "validate", "plan"])
def test_a_wrong_spec(
    command: str, text: Any, message: str, rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "job.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    completed = rolerunner(command, path)
    assert completed.returncode == 2
    assert message in completed.stderr
    assert "Traceback" not in completed.stderr
    assert completed.stdout == ""


def test_a_folder_as_spec(rolerunner: Callable[..., Any], tmp_path: Path) -> None:
    completed = rolerunner("run", tmp_path)
    assert (completed.returncode, "is a folder" in completed.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments", ["run spec.yaml --result r.json", "validate spec.yaml", "init project"]
)
def test_a_current_folder_that_is_gone(arguments: str, tmp_path: Path) -> None:
    command = f"mkdir gone; cd gone; rmdir ../gone; exec {sys.executable} -m rolerunner {arguments}"
    completed = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (completed.returncode, completed.stderr.count("\n")) == (2, 1), completed.stderr
    assert completed.stderr.startswith("rolerunner: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "SPEC"),
        (["rum"], "rum"),
        (["run", "x.yaml", "-p", "nonsense"], "-p takes NAME=VALUE"),
        (["run", "x.yaml", "--log-format", "xml"], "--log-format"),
        (["run", "x.yaml", "--sandbox", "y.yaml"], "there is no y.yaml"),
        (["run", "x.yaml", "--put", "s3://data-bucket/a=x.yaml"], "--put requires --sandbox"),
        (
            ["run", "x.yaml", "--sandbox", "--put", "s3://data-bucket/a=none"],
            "--put: there is no file 'none'",
        ),
        (
            ["run", "x.yaml", "--sandbox", "--put", "data-bucket/a=x.yaml"],
            "--put: must be s3://bucket/key",
        ),
        (
            ["run", "x.yaml", "--sandbox", "--put", "s3://data-bucket/a"],
            "--put takes s3://bucket/key=FILE",
        ),
        (["iam", "x.yaml", "--job-role", "me"], "not a role ARN"),
        (["iam", "x.yaml", "--reads", "me"], "must be s3://bucket/key"),
        (["iam", "x.yaml", "--format", "terraform"], "set --job-role ARN"),
        (["iam", "x.yaml", "--widen", "day"], "there is no param 'day'"),
        (["iam", "x.yaml", "--compare", "x.yaml"], "x.yaml: is not the output of"),
        (["iam", "x.yaml", "--compare", "none.json"], "none.json: cannot be read"),
        (["iam", "x.yaml", "--live", "--sandbox"], "x.sandbox.yaml"),
    ],
)
def test_a_wrong_command_line(
    arguments: list[str], message: str, rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "x.yaml").write_text(
        HEAD + "steps: [{id: a, action: s3.list, role: job, source: 's3://data-bucket/'}]\n"
    )
    completed = rolerunner(*arguments)
    assert completed.returncode == 2
    assert message in completed.stderr
    assert "Traceback" not in completed.stderr


def test_a_missing_bucket_and_a_missing_object(running: sandbox.Sandbox, tmp_path: Path) -> None:
    result = run(
        running,
        tmp_path,
        "  - {id: bucket, action: s3.list, role: job, source: s3://no-such-bucket/, "
        "on_error: continue}\n"
        "  - {id: key, action: s3.download, role: job, source: s3://data-bucket/none, "
        f"target: {tmp_path}/x}}\n",
    )
    errors = [step.error for step in result.steps]
    assert [error and (error.type, error.message) for error in errors] == [
        ("NoSuchBucket", "there is no bucket 'no-such-bucket'"),
        ("NoSuchKey", "there is no object s3://data-bucket/none"),
    ]


def test_a_denied_role_stops_everything_before_the_first_step(
    running: sandbox.Sandbox, rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "w.yaml").write_text(WORLD)
    (tmp_path / "job.yaml").write_text(
        HEAD + "steps:\n"
        "  - {id: first, action: s3.download, role: job, "
        f"source: s3://data-bucket/in/a.txt, target: {tmp_path}/a.txt}}\n"
        "  - {id: second, action: s3.list, role: 'arn:aws:iam::111122223333:role/closed', "
        "source: s3://data-bucket/}\n"
    )
    completed = rolerunner("run", tmp_path / "job.yaml", "--sandbox", tmp_path / "w.yaml")
    assert completed.returncode == 3
    assert not (tmp_path / "a.txt").exists()
    assert "arn:aws:iam::111122223333:role/closed" in completed.stderr
    assert "Traceback" not in completed.stderr


def test_a_failed_step_ends_with_4_and_the_rest_is_not_run(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "w.yaml").write_text(WORLD)
    (tmp_path / "job.yaml").write_text(
        HEAD + "steps:\n  - {id: one, action: s3.list, role: job, source: s3://no-such-bucket/}\n"
        "  - {id: two, action: s3.list, role: job, source: s3://data-bucket/}\n"
    )
    completed = rolerunner(
        "run",
        tmp_path / "job.yaml",
        "--sandbox",
        tmp_path / "w.yaml",
        "--result",
        tmp_path / "r.json",
    )
    assert completed.returncode == 4
    result = json.loads((tmp_path / "r.json").read_text())
    assert [(step["id"], step["status"]) for step in result["steps"]] == [
        ("one", "failed"),
        ("two", "not_run"),
    ]


def test_a_key_that_would_leave_the_folder_is_an_error_and_the_others_are_done(
    running: sandbox.Sandbox, tmp_path: Path
) -> None:
    result = run(
        running,
        tmp_path,
        (
            "  - {id: a, action: s3.download, role: job, source: s3://data-bucket/in/, "
            f"target: {tmp_path}/deep/er/}}\n"
        ),
    )
    (step,) = result.steps
    assert step.error is not None
    assert step.error.type == "UnsafeKey"
    assert "'../../escape.txt'" in step.error.message
    assert (tmp_path / "deep/er/a.txt").read_text() == "hello"
    assert not list(tmp_path.rglob("escape.txt"))


def test_an_empty_source_is_an_error_unless_said_otherwise(
    running: sandbox.Sandbox, tmp_path: Path
) -> None:
    step = "  - {id: a, action: s3.list, role: job, source: s3://data-bucket/nothing/%s}\n"
    (failed,) = run(running, tmp_path, step % "").steps
    assert failed.error is not None
    assert failed.error.type == "EmptySource"
    (fine,) = run(running, tmp_path, step % ", on_empty: ok").steps
    assert (fine.status, fine.outputs["count"]) == ("succeeded", 0)


@pytest.mark.skipif(
    not shutil.which("unshare") or not sys.platform.startswith("linux"),
    reason="a file system of 64 KiB needs Linux's unshare",
)
def test_a_full_disk_leaves_nothing_under_the_final_name(
    running: sandbox.Sandbox, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    (tmp_path / "job.yaml").write_text(
        HEAD
        + (
            "steps:\n"
            "  - {id: a, action: s3.download, role: job, "
            f"source: s3://data-bucket/in/large.bin, target: {small}/large.bin}}\n"
        )
    )
    keys = running.job_keys
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token,
        "AWS_ENDPOINT_URL": running.endpoint,
        "AWS_REGION": running.region,
    }
    script = (
        f"mount -t tmpfs -o size=64k tmpfs {small} || exit 77; {sys.executable} -m rolerunner "
        f"run job.yaml --result r.json; s=$?; echo left: $(ls -A {small}); exit $s"
    )
    completed = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if completed.returncode in (1, 77) and "rolerunner" not in completed.stdout:
        pytest.skip(f"no mounts here: {completed.stderr}")
    assert completed.returncode == 4
    error = json.loads((tmp_path / "r.json").read_text())["steps"][0]["error"]
    assert (
        error["type"],
        "300,000 bytes are needed, and 65,536 are free" in error["message"],
    ) == ("DiskFull", True)
    assert completed.stdout.splitlines()[-1] == "left:"
