"""The entry script as Glue starts it: a copy in its own process, with recorded argument lists."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import sandbox
from tests.conftest import CONFIGS, ROOT
from tests.unit.glue.launch.test_arguments import PYTHON_SHELL, SPARK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORLD = CONFIGS / "partner_exchange.sandbox.yaml"
ACCOUNT = "111122223333"
SLOW = """
version: 1
name: slow
params: {lines: {type: integer, default: 3}}
steps:
  - {id: sleep, action: python.call, function: "jobs_of_test:sleep",
     arguments: {lines: "${{ params.lines }}"}}
  - {id: after, action: python.call, function: "jobs_of_test:sleep", arguments: {lines: 1}}
"""
REFUSED = """
version: 1
name: refused
roles: {other: arn:aws:iam::222233334444:role/nobody}
steps: [{id: find, action: s3.list, role: other, source: s3://partner-landing/orders/}]
"""
BROKEN = (
    "version: 1\n"
    "name: broken\n"
    "steps:\n"
    "  - {id: find, action: s3.lst, role: job}\n"
    "  - {id: find, action: s3.list, role: job, sorce: s3://b/}\n"
)
FUNCTIONS = """
import time

def sleep(context, lines):
    for number in range(lines):
        context.log(f"line {number}")
        context.cancel.wait(0.4)
"""


@pytest.fixture(scope="module")
def running_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sandbox.Sandbox]:
    """The exchange's world, and a bucket with specs that the job's own role may read."""
    text = WORLD.read_text()
    text = (
        text.replace(
            "    permissions:\n      - Effect: Allow\n        Action: sts:AssumeRole",
            "    permissions:\n"
            "      - {Effect: Allow, Action: ['s3:GetObject', 's3:PutObject'], "
            "Resource: 'arn:aws:s3:::job-specs/*'}\n"
            "      - Effect: Allow\n        Action: sts:AssumeRole",
        )
        + f'  - {{name: job-specs, account: "{ACCOUNT}"}}\n'
    )
    path = tmp_path_factory.mktemp("world") / "world.yaml"
    path.write_text(text)
    with sandbox.start_sandbox(sandbox.load_world(path)) as made:
        specs = {
            "exchange": (CONFIGS / "partner_exchange.yaml").read_text(),
            "slow": SLOW,
            "refused": REFUSED,
            "broken": BROKEN,
        }
        for name, spec in specs.items():
            made.client("s3", ACCOUNT).put_object(
                Bucket="job-specs", Key=f"{name}.yaml", Body=spec.encode()
            )
        yield made


Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def launch(running_sandbox: sandbox.Sandbox, tmp_path: Path) -> Launch:
    """Starts a copy of the script where Python Shell puts it, with the job's role as identity."""
    folder = tmp_path / "glue-python-scripts-x1y2"
    folder.mkdir()
    script = shutil.copy(ROOT / "jobs/run_spec.py", folder)
    (tmp_path / "jobs_of_test.py").write_text(FUNCTIONS)
    keys = running_sandbox.job_keys
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_SESSION_TOKEN": keys.token,
        "AWS_ENDPOINT_URL": running_sandbox.endpoint,
        "TMPDIR": str(tmp_path),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",  # Glue installs the user's packages
    }

    def start(*arguments: str, region: str = "eu-west-1", **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "error", script, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, **({"AWS_REGION": region} if region else {}), **more},
            cwd=tmp_path,
        )

    return start


def wait_for_exit(process: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out.splitlines(), err


def read_json(running_sandbox: sandbox.Sandbox, key: str) -> dict[str, Any]:
    body = (
        running_sandbox.client("s3", ACCOUNT).get_object(Bucket="job-specs", Key=key)["Body"].read()
    )
    result: dict[str, Any] = json.loads(body)
    return result


@pytest.mark.parametrize(
    ("recorded", "runtime"),
    [(PYTHON_SHELL, "pythonshell"), (SPARK, "glueetl")],
    ids=["pythonshell", "glueetl"],
)
def test_success_returns(
    recorded: list[str],
    runtime: str,
    running_sandbox: sandbox.Sandbox,
    launch: Launch,
    tmp_path: Path,
) -> None:
    ours = [
        "--job_spec",
        "s3://job-specs/exchange.yaml",
        "--workdir",
        f"{tmp_path}/w/",
        "--run_date",
        "2026-01-01",
    ]
    spark = {"GLUE_COMMAND_CRITERIA": "glueetl"} if runtime == "glueetl" else {}
    result = ["--result", f"s3://job-specs/{runtime}/", "--aws_region", "eu-west-1"]
    code, lines, err = wait_for_exit(
        launch(*drop_job_params(recorded), *ours, *result, region="", **spark)
    )
    events = [json.loads(line) for line in lines]
    assert (code, err) == (0, "")
    assert (events[0]["event"], events[0]["runtime"]) == ("job_loaded", runtime)
    assert events[0].get("job_run_id", "")[:3] == ("jr_" if runtime == "glueetl" else "")
    assert (events[-1]["event"], events[-1]["status"]) == ("run_finished", "succeeded")
    stored_result = read_json(running_sandbox, f"{runtime}/{events[-1]['run_id']}.json")
    assert (stored_result["status"], stored_result["job"], "error" in stored_result) == (
        "succeeded",
        "partner-exchange",
        False,
    )


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "kind", "reason"),
    [
        ([], "UsageError", "no spec to run"),
        (["--job_sepc", "s3://job-specs/exchange.yaml"], "UsageError", "it is not --job_sepc"),
        (["--job_spec", "s3://job-specs/none.yaml"], "UsageError", "there is no object"),
        (["--job_spec", "s3://elsewhere-bucket/none.yaml"], "UsageError", "there is no bucket"),
        (
            ["--job_spec", "s3://job-specs/exchange.yaml", "--run_dat", "x"],
            "UsageError",
            "no param 'run_dat' (did you mean 'run_date'?)",
        ),
        (
            ["--job_spec", "s3://job-specs/exchange.yaml", "--reslt", "x"],
            "UsageError",
            "no param 'reslt' (did you mean 'result'?)",
        ),
        (
            ["--job_spec", "s3://job-specs/exchange.yaml", "--run_date", "tomorrow"],
            "UsageError",
            "the param 'run_date' must be a date",
        ),
        (
            ["--job_spec", "s3://job-specs/exchange.yaml", "--deadline", "soon"],
            "UsageError",
            "--deadline: 'soon' is not a duration",
        ),
        (
            ["--job_spec", "s3://job-specs/exchange.yaml", "--log_level", "loud"],
            "UsageError",
            "--log_level must be one of debug",
        ),
        (
            ["--job_spec", "s3://job-specs/slow.yaml", "--lines", "--job_spec=s3://x/y"],
            "UsageError",
            "the value of --lines is empty or begins with",
        ),
        (
            ["--job_spec", "s3://job-specs/slow.yaml", "--lines", "1", "--lines", "2"],
            "UsageError",
            "the argument --lines is given more than once",
        ),
        (
            ["--job-spec", "s3://job-specs/slow.yaml"],
            "UsageError",
            "there is no argument --job-spec: write --job_spec",
        ),
        (
            ["--job_spec", "s3://job-specs/broken.yaml"],
            "SpecError",
            "unknown action 's3.lst' (did you mean 's3.list'?); s3://job-specs/broken.yaml:5",
        ),
        (
            ["--job_spec", "s3://job-specs/refused.yaml"],
            "RolesRefused",
            "1 role was refused, no step ran: ",
        ),
    ],
)
def test_what_keeps_a_run_from_starting_is_the_last_line_and_in_the_result(
    arguments: list[str], kind: str, reason: str, running_sandbox: sandbox.Sandbox, launch: Launch
) -> None:
    code, lines, err = wait_for_exit(launch(*arguments, "--result", "s3://job-specs/not-run.json"))
    stored_result = read_json(running_sandbox, "not-run.json")
    assert code == 1
    assert lines[-1].startswith("rolerunner: ")
    assert reason in lines[-1]
    assert (
        err.splitlines()[-1]
        == f"rolerunner.glue.launch.entry.JobFailed: {lines[-1][len('rolerunner: ') :]}"
    )
    assert (stored_result["status"], stored_result["error"]["type"]) == ("failed", kind)
    assert reason in f"{stored_result['error']['message']}"
    assert [json.loads(line) for line in lines[:-1]][-1]["level"] == "error"


def test_a_failed_step_is_the_last_line_and_in_the_result(
    running_sandbox: sandbox.Sandbox, launch: Launch, tmp_path: Path
) -> None:
    arguments = [
        "--job_spec",
        "s3://job-specs/exchange.yaml",
        "--workdir",
        f"{tmp_path}/w/",
        "--run_date",
        "2031-01-01",
    ]
    code, lines, _ = wait_for_exit(launch(*arguments, "--result", "s3://job-specs/failed.json"))
    assert code == 1
    assert lines[-1] == (
        "rolerunner: partner-exchange: step 'find' failed: there is nothing in "
        "s3://partner-landing/orders/2031-01-01/"
    )
    assert [step["status"] for step in read_json(running_sandbox, "failed.json")["steps"]][:2] == [
        "failed",
        "not_run",
    ]


def test_a_result_that_cannot_be_written_fails_the_job_and_says_so(
    launch: Launch, tmp_path: Path
) -> None:
    arguments = ["--job_spec", "s3://job-specs/slow.yaml", "--lines", "1"]
    code, lines, _ = wait_for_exit(
        launch(*arguments, "--result", "s3://partner-landing/result.json")
    )
    assert code == 1
    assert lines[-1].startswith(
        "rolerunner: the result could not be written to s3://partner-landing/result.json: "
    )
    logged = [json.loads(line) for line in lines if '"result_not_written"' in line]
    assert json.loads(logged[0]["result"])["status"] == "succeeded"


def test_a_local_place_that_cannot_be_written_is_refused_before_the_run(
    launch: Launch, tmp_path: Path
) -> None:
    arguments = ["--job_spec", "s3://job-specs/slow.yaml", "--lines", "1"]
    code, lines, _ = wait_for_exit(launch(*arguments, "--result", "/proc/result.json"))
    assert code == 1
    assert "/proc/result.json" in lines[-1]
    assert not any("step_started" in line for line in lines)


def test_without_a_region_the_error_says_what_to_set(launch: Launch) -> None:
    code, lines, _ = wait_for_exit(launch("--job_spec", "s3://job-specs/slow.yaml", region=""))
    assert code == 1
    assert "no region is known" in lines[-1]
    assert "--aws_region" in lines[-1]


def test_a_step_that_would_outlast_glues_timeout_is_stopped_and_the_result_says_so(
    running_sandbox: sandbox.Sandbox, launch: Launch
) -> None:
    code, lines, _ = wait_for_exit(
        launch(
            "--job_spec",
            "s3://job-specs/slow.yaml",
            "--deadline",
            "1s",
            "--result",
            "s3://job-specs/hung.json",
            "--lines",
            "60",
        )
    )
    assert code == 1
    assert "out_of_time" in [json.loads(line)["event"] for line in lines[:-1]]
    assert lines[-1] == "rolerunner: slow: the run was stopped because Glue's timeout was near"
    assert read_json(running_sandbox, "hung.json")["status"] == "stopped"


def test_a_run_that_is_told_to_stop_writes_its_result(
    running_sandbox: sandbox.Sandbox, launch: Launch
) -> None:
    process = launch(
        "--job_spec",
        "s3://job-specs/slow.yaml",
        "--result",
        "s3://job-specs/stopped.json",
        "--lines",
        "60",
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "line 0" in line:
            process.send_signal(signal.SIGTERM)
            break
    code, lines, _ = wait_for_exit(process)
    assert (code, lines[-1]) == (1, "rolerunner: slow: the run was stopped")
    assert read_json(running_sandbox, "stopped.json")["status"] == "stopped"


def test_a_bug_is_one_line_of_the_log_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rolerunner import api
    from rolerunner.glue.launch import entry

    def broken(*_: object, **__: object) -> None:
        raise KeyError("gone")

    monkeypatch.setattr(api, "run", broken)
    (tmp_path / "slow.yaml").write_text(SLOW)
    with pytest.raises(entry.JobFailed, match="internal error: KeyError: 'gone'"):
        entry.main(
            [
                "run_spec.py",
                "--job_spec",
                f"{tmp_path}/slow.yaml",
                "--result",
                f"{tmp_path}/result.json",
            ]
        )
    lines = capsys.readouterr().out.splitlines()
    assert "in broken" in json.loads(lines[-2])["exception"]
    assert lines[-1].startswith("rolerunner: internal error: KeyError: 'gone'")
    assert json.loads((tmp_path / "result.json").read_text())["error"]["type"] == "KeyError"


def test_each_line_of_the_log_is_out_when_it_is_said(launch: Launch) -> None:
    process = launch("--job_spec", "s3://job-specs/slow.yaml", "--lines", "3")
    assert process.stdout is not None
    seen: dict[str, float] = {}
    for line in process.stdout:
        seen.setdefault(json.loads(line)["event"], time.monotonic())
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert seen["line 2"] - seen["line 0"] > 0.5  # they would come at once from a buffer of blocks


def drop_job_params(recorded: list[str]) -> list[str]:
    """The recorded list without the recorded job's own params."""
    own = {"--job_spec", "--comment", "--run_date", "--n", "--job_spec=s3://b/job.yaml"}
    stored_result: list[str] = []
    for token, before in zip(recorded, ["", *recorded]):
        value_of_own = before in own and "=" not in before and not token.startswith("--")
        if token not in own and not value_of_own:
            stored_result.append(token)
    return stored_result
