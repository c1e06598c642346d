"""The example configs, end to end, on the embedded AWS with IAM enforced."""

from __future__ import annotations

import gzip
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from tests.conftest import CONFIGS, identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rolerunner.sandbox import Sandbox

SECOND = "arn:aws:iam::111122223333:role/glue-role-test-to-be-assumed"
ELSEWHERE = "arn:aws:iam::444455556666:role/glue-role-test-to-be-assumed"


def load(name: str) -> sandbox.World:
    return sandbox.load_world(CONFIGS / name)


@pytest.fixture
def blog() -> Iterator[Sandbox]:
    with sandbox.start_sandbox(load("blog_cross_role.sandbox.yaml")) as running:
        yield running


@pytest.fixture
def exchange() -> Iterator[Sandbox]:
    with sandbox.start_sandbox(load("partner_exchange.sandbox.yaml")) as running:
        yield running


def test_the_command_shows_the_refusal_and_the_success(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    result_file = tmp_path / "result.json"
    completed = rolerunner(
        "run",
        CONFIGS / "blog_cross_role.yaml",
        "--sandbox",
        "-p",
        f"target={tmp_path}/out/",
        "--result",
        result_file,
    )

    assert (completed.returncode, completed.stderr) == (0, "")
    assert (
        gzip.decompress((tmp_path / "out/as_second_role/some_demo_file.gz").read_bytes())
        == b"a file that only the second role may read\n"
    )
    assert (
        gzip.decompress((tmp_path / "out/as_other_account/some_demo_file.gz").read_bytes())
        == b"a file of another account\n"
    )
    assert not (tmp_path / "out/as_job").exists() or not list(
        (tmp_path / "out/as_job").iterdir()
    ), "nothing of the refused object is left"
    result = json.loads(result_file.read_text())
    assert result["status"] == "warning", "a failed step that the spec tolerates"
    assert {step["id"]: step["status"] for step in result["steps"]} == {
        "see": "succeeded",
        "refused": "failed",
        "fetch": "succeeded",
        "find_elsewhere": "succeeded",
        "fetch_elsewhere": "succeeded",
    }
    refused = result["steps"][1]["error"]
    assert refused["type"] == "AccessDenied"
    assert (
        "may not s3:GetObject on arn:aws:s3:::team-data-111122223333/test_path/some_demo_file.gz"
        in refused["message"]
    )
    assert "assumed-role/glue-role-test/GlueJobRunnerSession" in refused["hint"]


def test_a_pipe_sees_one_json_line_an_event(rolerunner: Callable[..., Any], tmp_path: Path) -> None:
    completed = rolerunner(
        "run", CONFIGS / "blog_cross_role.yaml", "--sandbox", "-p", f"target={tmp_path}/out/"
    )
    events = [json.loads(line) for line in completed.stdout.splitlines()]
    names = [event["event"] for event in events]
    assert names[0] == "run_started"
    assert names[-1] == "run_finished"
    assert names.count("role_assumed") == 2
    assert names.count("step_finished") == 5


def test_the_emulators_own_record_shows_one_assume_role_a_role(
    blog: Sandbox, tmp_path: Path
) -> None:
    job = api.load(CONFIGS / "blog_cross_role.yaml", {"target": f"{tmp_path}/"})
    result = api.run(job, identity=identity_of(blog))
    assert result.status == "warning"
    assert blog.assume_role_count() == {SECOND: 1, ELSEWHERE: 1}
    uses = {use.role: use for use in result.roles}
    assert uses["to_be_assumed"].session_arn.startswith(
        "arn:aws:sts::111122223333:assumed-role/glue-role-test-to-be-assumed/blog-cross-role-"
    )
    assert (
        uses["job"].session_arn
        == "arn:aws:sts::111122223333:assumed-role/glue-role-test/GlueJobRunnerSession"
    )
    assert [
        uses[name].assume_calls for name in ("job", "to_be_assumed", "to_be_assumed_elsewhere")
    ] == [0, 1, 1]


def test_the_partner_exchange(exchange: Sandbox, tmp_path: Path) -> None:
    job = api.load(CONFIGS / "partner_exchange.yaml", {"workdir": f"{tmp_path}/work/"})
    result = api.run(job, identity=identity_of(exchange), run_id="run-1")
    assert result.status == "succeeded", result

    published = exchange.client("s3", "444455556666")
    keys = [each["Key"] for each in published.list_objects_v2(Bucket="publish")["Contents"]]
    folder = "orders/2026-01-01/"
    assert keys == [folder + name for name in ("_SUCCESS", "north.csv", "south.csv", "west.csv")]
    north = published.get_object(Bucket="publish", Key=folder + "north.csv")
    assert north["Body"].read().decode().splitlines()[1:] == [
        "1001,Ada,GB,12.50,GBP",
        "1003,Alan,GB,7.00,GBP",
    ]
    assert north["Metadata"] == {"run": "run-1"}
    marker = json.loads(
        published.get_object(Bucket="publish", Key=folder + "_SUCCESS")["Body"].read()
    )
    assert marker == {"run": "run-1", "fetched": 3, "kept": 4, "dropped": 2, "published": 3}


def test_a_wrong_external_id_refuses_the_role_before_any_step(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    result_file = tmp_path / "result.json"
    completed = rolerunner(
        "run",
        CONFIGS / "partner_exchange.yaml",
        "--sandbox",
        "-p",
        "external_id=wrong",
        "-p",
        f"workdir={tmp_path}/w/",
        "--result",
        result_file,
    )
    assert completed.returncode == 3
    assert "Traceback" not in completed.stderr
    result = json.loads(result_file.read_text())
    assert result["status"] == "failed"
    assert {step["status"] for step in result["steps"]} == {"not_run"}
    assert '"sts:ExternalId": "wrong"' in result["steps"][0]["error"]["hint"]
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_the_nightly_job_holds_what_its_test_file_expects(
    rolerunner: Callable[..., Any],
) -> None:
    completed = rolerunner("test", CONFIGS / "nightly.test.yaml")
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert completed.stdout.splitlines()[-1].startswith("5 passed in ")


@pytest.mark.slow
def test_both_environments_of_the_nightly_job_are_deployed_and_share_nothing(
    rolerunner: Callable[..., Any],
) -> None:
    places = {}
    for environment in ("dev", "prod"):
        deployed = rolerunner("deploy", CONFIGS / "nightly.yaml", "--env", environment, "--sandbox")
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        assert f"Glue job nightly-{environment} is made:" in deployed.stdout
        is_scheduled = "Glue trigger nightly-prod-schedule is made:" in deployed.stdout
        assert is_scheduled is (environment == "prod")
        places[environment] = set(
            re.findall(r"s3://[^/\s]+/|arn:aws:\S+|Rules\.[\w-]+", deployed.stdout)
        )
    assert {"s3://ops-dev/", "arn:aws:iam::111122223333:role/nightly-dev"} <= places["dev"]
    assert not places["dev"] & places["prod"]


def test_the_environments_of_the_nightly_job_name_other_roles() -> None:
    dev, prod = (
        {role.arn for role in api.load(CONFIGS / "nightly.yaml", env=environment).roles.values()}
        for environment in ("dev", "prod")
    )
    assert len([arn for arn in dev if ":222233334444:role/" in arn]) == 10
    assert not dev & prod
