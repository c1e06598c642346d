"""An installed package's action is known to every command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.once

SPEC = """version: 1
name: t
steps:
  - {id: count, action: hello.count, role: job, source: s3://data-bucket/in/}
  - {id: say, action: s3.write, role: job, target: s3://data-bucket/out.json,
     json: "${{ steps.count.letters }}"}
"""
WORLD = """version: 1
job_role: arn:aws:iam::111122223333:role/job
roles:
  - {arn: "arn:aws:iam::111122223333:role/job",
     permissions: [{Effect: Allow, Action: "s3:*", Resource: "*"}]}
buckets:
  - {name: data-bucket, account: "111122223333",
     objects: [{key: in/ada, text: a}, {key: in/alan, text: a}, {key: in/grace, text: a}]}
"""


@pytest.fixture(scope="module")
def installed_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    shutil.copytree(ROOT / "tests/plugin_example", source, dirs_exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(target),
        str(source),
    ]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    return target


def test_every_command_knows_an_installed_action(
    installed_plugin: Path, tmp_path: Path, rolerunner: Callable[..., Any]
) -> None:
    (tmp_path / "job.yaml").write_text(SPEC)
    (tmp_path / "job.sandbox.yaml").write_text(WORLD)
    path = os.pathsep.join([str(installed_plugin), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    assert (
        "1 spec checked, no mistakes" in rolerunner("validate", "job.yaml", PYTHONPATH=path).stdout
    )
    completed = rolerunner("run", "job.yaml", "--sandbox", "--result", "r.json", PYTHONPATH=path)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert json.loads((tmp_path / "r.json").read_text())["steps"][0]["outputs"] == {
        "letters": {"a": 2, "g": 1}
    }
    assert "hello.count" in rolerunner("schema", PYTHONPATH=path).stdout
    page = rolerunner("actions", "hello.count", PYTHONPATH=path).stdout
    assert "Count the objects of a prefix" in page
    assert (
        "needs s3:ListBucket on arn:aws:s3:::data-bucket"
        in rolerunner("plan", "job.yaml", PYTHONPATH=path).stdout
    )
    wrong = rolerunner("validate", "job.yaml")
    assert (wrong.returncode, "unknown action 'hello.count'" in wrong.stderr) == (2, True)


def test_an_action_sends_one_request_for_each_object(
    installed_plugin: Path, tmp_path: Path, rolerunner: Callable[..., Any]
) -> None:
    path = os.pathsep.join([str(installed_plugin), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    tags = "tags: {state: read}"
    (tmp_path / "job.yaml").write_text(
        "version: 1\nname: t\nsteps:\n"
        "  - {id: tag, action: hello.tag, role: job, source: s3://data-bucket/in/,"
        f" include: ['a*'], {tags}}}\n"
        "  - {id: seen, action: aws.call, role: job, service: s3, operation: GetObjectTagging,"
        " parameters: {Bucket: data-bucket, Key: in/ada}, select: 'TagSet[0].Value'}\n"
        "  - {id: missing, action: hello.tag, role: job, max_failures: 1, on_error: continue,"
        f" objects: ['s3://data-bucket/in/ada', 's3://data-bucket/none'], {tags}}}\n"
    )
    (tmp_path / "job.sandbox.yaml").write_text(WORLD)
    rolerunner("run", "job.yaml", "--sandbox", "--result", "r.json", PYTHONPATH=path)
    tag, seen, missing = json.loads((tmp_path / "r.json").read_text())["steps"]
    assert tag["status"] == "succeeded", tag
    assert (tag["outputs"]["count"], tag["outputs"]["bytes"]) == (2, 2)
    assert seen["outputs"] == {"result": "read"}
    assert (missing["status"], missing["outputs"]["count"]) == ("warning", 1)
    planned = rolerunner("plan", "job.yaml", PYTHONPATH=path).stdout
    assert "s3:PutObjectTagging on arn:aws:s3:::data-bucket/in/*" in planned


def test_an_action_is_one_file_of_100_lines() -> None:
    """The measure for an action such as s3.tag: one file for it, and no list to extend."""
    text = (ROOT / "tests/plugin_example/rolerunner_hello/tag.py").read_text()
    assert len(text.splitlines()) <= 100


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise RuntimeError('no')", "cannot be loaded: RuntimeError: no"),
        ("Thing = 3", "is not a subclass of rolerunner.plugin.Action"),
        (
            "from rolerunner.actions.builtin.s3_list import S3List as Thing",
            "the action 's3.list' already exists",
        ),
    ],
)
def test_a_broken_package_is_named(
    code: str, message: str, tmp_path: Path, rolerunner: Callable[..., Any]
) -> None:
    (tmp_path / "site/broken-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "site/broken-1.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n"
    )
    (tmp_path / "site/broken-1.0.dist-info/entry_points.txt").write_text(
        "[rolerunner.actions]\nx.y = broken_action:Thing\n"
    )
    (tmp_path / "site/broken_action.py").write_text(code)
    (tmp_path / "job.yaml").write_text(SPEC)
    completed = rolerunner("validate", "job.yaml", PYTHONPATH=str(tmp_path / "site"))
    assert completed.returncode == 2
    assert message in completed.stderr
    assert "Traceback" not in completed.stderr
    if sys.version_info >= (3, 10):
        assert "'x.y = broken_action:Thing' of broken" in completed.stderr
