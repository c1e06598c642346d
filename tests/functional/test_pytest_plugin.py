"""``rolerunner.testing``: the fixtures in a real pytest, and the sandbox that they start."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import boto3
import pytest

import rolerunner as package
from rolerunner.errors import RolesRefused, SandboxError, SpecError, UsageError
from rolerunner.testing import SpecSandbox, start_spec_sandbox
from tests.conftest import ROOT
from tests.functional.test_manual_examples import NAMED, find_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPEC = """version: 1
name: orders
params:
  day: {type: string, default: monday}
roles:
  reader: arn:aws:iam::222233334444:role/landing-reader
environments:
  prod: {params: {day: sunday}}
steps:
  - id: find
    action: s3.list
    role: reader
    source: s3://landing-222233334444/${{ params.day }}/
  - id: count
    action: python.call
    function: counting:count_orders
    role: reader
    arguments: {day: "${{ params.day }}"}
    permissions:
      - {actions: [s3:ListBucket], resources: ["arn:aws:s3:::landing-222233334444"]}
"""
COUNTING = """import boto3

def count_orders(context, day):
    listed = context.client("s3").list_objects_v2(Bucket="landing-222233334444", Prefix=day + "/")
    context.log("counted", day=day)
    context.progress(1, 2)
    return {"count": listed["KeyCount"], "caller": boto3.client("sts").get_caller_identity()["Arn"]}
"""
TESTS = """
from rolerunner.testing import CreateContext, StartSandbox
from counting import count_orders

def test_a_run(rolerunner_sandbox: StartSandbox) -> None:
    sandbox = rolerunner_sandbox("orders.yaml", {"day": "friday"})
    sandbox.put_object("s3://landing-222233334444/friday/more", "x")
    result = sandbox.run()
    assert [step.outputs["count"] for step in result.steps] == [2, 2]

def test_a_function(rolerunner_sandbox, caplog):
    context = rolerunner_sandbox("orders.yaml", env="prod").context(role="reader")
    caplog.set_level("INFO", "rolerunner.testing")
    assert count_orders(context, **{"day": context.params["day"]})["count"] == 1
    assert caplog.messages == ["counted day=sunday", "progress: 1 of 2"]

def test_no_aws(rolerunner_context):
    class Stub:
        def list_objects_v2(self, **parameters):
            return {"KeyCount": len(parameters)}
    context = rolerunner_context({"day": "friday"}, clients={"s3": Stub()})
    assert context.client("s3").list_objects_v2(Bucket="b") == {"KeyCount": 1}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "orders.yaml").write_text(SPEC)
    (folder / "counting.py").write_text(COUNTING)
    (folder / "test_orders.py").write_text(TESTS)
    (folder / "conftest.py").write_text('pytest_plugins = ["rolerunner.testing"]\n')
    return folder


@pytest.fixture(scope="module")
def started(project: Path) -> Iterator[SpecSandbox]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_PROFILE", "mine")
        with start_spec_sandbox(project / "orders.yaml") as sandbox:
            assert "AWS_PROFILE" not in os.environ, "the machine's identity is hidden"
            yield sandbox
        assert os.environ["AWS_PROFILE"] == "mine", "and is there again"


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_project_uses_the_fixtures(project: Path) -> None:
    ended = run_pytest(project, "-q", "-W", "error", "--strict-config")
    assert "3 passed" in ended.stdout, ended.stdout + ended.stderr


def test_the_examples_of_the_manual_pass(tmp_path: Path) -> None:
    page = ROOT / "docs" / "testing.md"
    for language in ("yaml", "python"):
        for block in find_blocks(page, language):
            named = NAMED.match(block)
            if named and named[1] == "file":
                (tmp_path / named[2]).write_text(block)
    (tmp_path / "test_shared.py").write_text(
        "from shared import orders\n"
        "def test_shared(orders): assert orders.run().status == 'succeeded'\n"
    )
    ended = run_pytest(tmp_path, "-q", "-W", "error")
    assert "4 passed" in ended.stdout, ended.stdout + ended.stderr


def test_pytest_shows_the_fixtures_with_their_purpose(project: Path) -> None:
    shown = run_pytest(project, "--fixtures", "-q").stdout
    assert "rolerunner_sandbox" in shown
    assert "Starts sandboxes of specs, which end with the test." in shown
    assert "Creates contexts for functions that are called without a sandbox." in shown


def test_other_projects_import_nothing_of_rolerunner(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_other():\n"
        "    assert not [name for name in sys.modules if name.split('.')[0] == 'rolerunner']\n"
    )
    ended = run_pytest(tmp_path, "-q")
    assert "1 passed" in ended.stdout, ended.stdout


def test_a_role_is_what_its_policies_allow(started: SpecSandbox) -> None:
    client = started.client("s3", "reader")
    listed = client.list_objects_v2(Bucket="landing-222233334444", Prefix="monday/")
    assert listed["KeyCount"] == 1
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.put_object(Bucket="landing-222233334444", Key="monday/x", Body=b"")


def test_objects_are_read_and_listed_as_their_owner(started: SpecSandbox) -> None:
    started.put_object("s3://landing-222233334444/mine/a", b"\x00")
    started.put_object("s3://landing-222233334444/mine/b", "ü")
    listed = started.list_objects("s3://landing-222233334444/mine/")
    assert [started.read_object(uri) for uri in listed] == [b"\x00", "ü".encode()]
    assert started.list_objects("s3://landing-222233334444/none/") == []


def test_a_second_sandbox_does_not_take_the_place_of_the_first(
    started: SpecSandbox, project: Path
) -> None:
    with start_spec_sandbox(project / "orders.yaml", {"day": "friday"}) as second:
        assert os.environ["AWS_ENDPOINT_URL"] == second.endpoint
        result = started.run()
        assert (result.status, os.environ["AWS_ENDPOINT_URL"]) == ("succeeded", second.endpoint)
        assert second.run(only=["find"]).steps[0].outputs["count"] == 1


def test_code_with_boto3_of_its_own_is_the_job(started: SpecSandbox) -> None:
    with started.activate():
        arn = boto3.client("sts").get_caller_identity()["Arn"]
    assert arn.startswith("arn:aws:sts::123456789012:assumed-role/glue-orders/")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda each: each.context("raeder"), "has no role 'raeder' .did you mean 'reader'"),
        (lambda each: each.client("s3", "x"), "has no role 'x'"),
        (lambda each: each.put_object("s3://landing-2/a", ""), "no bucket 'landing-2'"),
        (lambda each: each.put_object("landing/a", ""), "landing/a"),
        (lambda each: each.put_object("s3://landing-222233334444/a/", ""), "name an object"),
        (lambda each: each.read_object("s3://landing-222233334444/no"), "has no object s3://"),
    ],
)
def test_a_wrong_name_is_a_usage_error(started: SpecSandbox, call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(UsageError, match=message):
        call(started)


def test_a_function_without_a_role_has_no_session(started: SpecSandbox) -> None:
    context = started.context()
    assert (context.role, context.params) == (None, {"day": "monday"})
    with pytest.raises(package.RolerunnerError, match="no role"):
        context.client("s3")


def test_a_refused_role_raises(project: Path, tmp_path: Path) -> None:
    (tmp_path / "closed.yaml").write_text(
        "version: 1\n"
        "job_role: arn:aws:iam::111122223333:role/job\n"
        "roles: [{arn: 'arn:aws:iam::111122223333:role/job'}]\n"
    )
    with (
        start_spec_sandbox(project / "orders.yaml", file=tmp_path / "closed.yaml") as closed,
        pytest.raises(RolesRefused, match="reader"),
    ):
        closed.run()


def test_mistakes_are_those_of_the_library(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong.yaml").write_text("version: 1\nname: wrong\nsteps: 1\n")
    with (
        pytest.raises(SpecError, match=r"wrong\.yaml:3"),
        start_spec_sandbox(tmp_path / "wrong.yaml"),
    ):
        pass
    with (
        pytest.raises(UsageError, match=r"missing\.yaml"),
        start_spec_sandbox(project / "orders.yaml", file="missing.yaml"),
    ):
        pass
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with (
        pytest.raises(SandboxError, match="rolerunner\\[sandbox"),
        start_spec_sandbox(project / "orders.yaml"),
    ):
        pass
