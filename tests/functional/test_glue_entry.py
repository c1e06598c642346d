"""The entry script the way both of Glue's launchers start it: a copy, run through runpy, with recorded argument lists."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from rolerunner import sandbox
from rolerunner.glue.entry import JobFailed
from tests.conftest import CONFIGS, ROOT
from tests.unit.test_glue_arguments import PYTHON_SHELL, SPARK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORLD = CONFIGS / "partner_exchange.sandbox.yaml"
ACCOUNT = "111122223333"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sandbox.Sandbox]:
    """The exchange's world, and a bucket with the spec that the job's own role may read."""
    text = WORLD.read_text()
    text = (
        text.replace(
            "    permissions:\n      - Effect: Allow\n        Action: sts:AssumeRole",
            "    permissions:\n      - {Effect: Allow, Action: ['s3:GetObject', 's3:PutObject'], Resource: 'arn:aws:s3:::job-specs/*'}\n"
            "      - Effect: Allow\n        Action: sts:AssumeRole",
        )
        + f'  - {{name: job-specs, account: "{ACCOUNT}"}}\n'
    )
    path = tmp_path_factory.mktemp("world") / "world.yaml"
    path.write_text(text)
    with sandbox.running(sandbox.load(path)) as made:
        spec = (CONFIGS / "partner_exchange.yaml").read_bytes()
        made.client("s3", ACCOUNT).put_object(Bucket="job-specs", Key="exchange.yaml", Body=spec)
        yield made


@pytest.fixture
def script(running: sandbox.Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A copy of the script where Python Shell puts it, in a process whose identity is the job's role."""
    folder = tmp_path / "glue-python-scripts-x1y2"
    folder.mkdir()
    keys = running.job_keys
    for name, value in {
        "AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key, "AWS_SESSION_TOKEN": keys.token,
        "AWS_ENDPOINT_URL": running.endpoint, "AWS_REGION": running.region,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(ROOT))  # Glue installs the user's jobs package
    return str(shutil.copy(ROOT / "jobs/run_spec.py", folder))


def launch(script: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    runpy.run_path(script, run_name="__main__")


@pytest.mark.parametrize("recorded", [PYTHON_SHELL, SPARK], ids=["pythonshell", "glueetl"])
def test_success_returns(
    recorded: list[str], running: sandbox.Sandbox, script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = [
        "--job_spec",
        "s3://job-specs/exchange.yaml",
        "--workdir",
        f"{tmp_path}/w/",
        "--run_date",
        "2026-01-01",
        "--result",
        "s3://job-specs/result.json",
    ]
    launch(script, [*only_glues_own(recorded), *ours], monkeypatch)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["event"] == "run_finished"
    assert events[-1]["status"] == "succeeded"
    result = json.loads(running.client("s3", ACCOUNT).get_object(Bucket="job-specs", Key="result.json")["Body"].read())
    assert result["status"] == "succeeded"


def test_failure_raises_with_the_reason(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--job_spec", "s3://job-specs/exchange.yaml", "--workdir", f"{tmp_path}/w/", "--run_date", "2031-01-01"]
    with pytest.raises(JobFailed, match="step 'find' failed: there is nothing in s3://partner-landing/orders/2031-01-01/"):
        launch(script, arguments, monkeypatch)
    assert capsys.readouterr().out.splitlines()[-1].startswith("rolerunner: partner-exchange (pythonshell): step 'find' failed")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "say which spec to run"),
        (["--job_spec", "s3://job-specs/none.yaml"], "there is no object"),
        (["--job_spec", "s3://elsewhere-bucket/none.yaml"], "there is no bucket"),
        (["--job_spec", "s3://job-specs/exchange.yaml", "--run_dat", "x"], "did you mean 'run_date'"),
    ],
)
def test_a_wrong_argument_raises_with_the_reason(arguments: list[str], reason: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(JobFailed, match=reason):
        launch(script, arguments, monkeypatch)


def only_glues_own(recorded: list[str]) -> list[str]:
    """The recorded list without the recorded job's own params."""
    own = {"--job_spec", "--comment", "--run_date", "--n", "--job_spec=s3://b/job.yaml"}
    kept: list[str] = []
    for token, before in zip(recorded, ["", *recorded]):
        value_of_own = before in own and "=" not in before and not token.startswith("--")
        if token not in own and not value_of_own:
            kept.append(token)
    return kept
