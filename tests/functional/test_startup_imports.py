"""The modules that each command imports; each unneeded one costs milliseconds of every start."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config
from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader

from rolerunner.actions import registry
from rolerunner.events import StepStarted
from rolerunner.model import JOB, Step
from rolerunner.observers.gc_tuner import GcTuner
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.keys import Keys
from rolerunner.sessions.registry import Sessions
from rolerunner.sessions.service_models import shared_loader
from tests.fake_s3 import Response, start_fake_s3

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def _unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose coverage is measured imports more."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


SPEC = """version: 1
name: empty
steps:
  - {id: nothing, action: python.call, function: "nothing:nothing"}
"""
OTHER_ACTIONS = {
    f"rolerunner.actions.{name.replace('.', '_')}" for name in registry() if name != "python.call"
}
NEVER = {
    *OTHER_ACTIONS,
    "boto3",
    "s3transfer",
    "tenacity",
    "wcmatch",
    "multiprocessing",
    "importlib.metadata",
    "email",
    "jinja2",
    "rich.console",
    "rich.pretty",
    "attr",
    "pygments",
    "difflib",
    "rolerunner.audit",
    "rolerunner.notifications",
    "rolerunner.spec.notify_fields",
    "rolerunner.policies.least_privilege",
    "rolerunner.iam.policy",
    "rolerunner.observers.matrix",
    "rolerunner.run.group",
    "rolerunner.run.state.run_state",
    "rolerunner.sandbox",
    "rolerunner.spark.session",
    "rolerunner.spec.glue_fields",
    "rolerunner.spec.glue_section",
    "rolerunner.spec.grammar",
    "rolerunner.spec.secret_sources",
    "rolerunner.run.secret_params",
    "rolerunner.observers.report",
    "rolerunner.observers.telemetry",
    "rolerunner.spec.telemetry_fields",
    "aws_embedded_metrics",
    "openlineage",
    "opentelemetry",
}
OFFLINE = {
    *NEVER,
    "asyncio",
    "botocore",
    "urllib3",
    "ssl",
    "http.client",
    "rolerunner.sessions.components",
    "rolerunner.storage.workers.distributed_listing",
}
CHECKING = {*OFFLINE, "rolerunner.run.runner"}
RESULTS = {"rolerunner.model.plan", "rolerunner.model.results"}
HELP = {*CHECKING, "pydantic", "yaml", "importlib.metadata", "rolerunner.api", "rolerunner.model"}
IF_INSTALLED = {"colorama", "ctypes", "_ctypes"}
"""Modules that structlog imports where another package, such as the manual's, brought colorama."""
IS_MEASURED = "COVERAGE_PROCESS_CONFIG" in os.environ
"""True under coverage, which imports modules of its own in each process."""


@pytest.mark.parametrize(
    ("arguments", "most", "unwanted"),
    [
        (["--version"], 143, HELP),
        (["--help"], 152, HELP),
        (["validate", "job.yaml"], 331, CHECKING | RESULTS),
        (["plan", "job.yaml"], 347, CHECKING - {"rolerunner.iam.policy"}),
        (["run", "job.yaml"], 421, OFFLINE),
    ],
    ids=["version", "help", "validate", "plan", "run"],
)
def test_a_command_imports_only_what_it_needs(
    arguments: list[str],
    most: int,
    unwanted: set[str],
    rolerunner: Callable[..., Any],
    tmp_path: Path,
) -> None:
    (tmp_path / "job.yaml").write_text(SPEC)
    (tmp_path / "nothing.py").write_text("def nothing(context):\n    return None\n")
    completed = rolerunner(*arguments, PYTHONPROFILEIMPORTTIME="1", AWS_REGION="eu-west-1")
    assert (completed.returncode, imported_by(completed) & unwanted) == (0, set())
    assert "rolerunner.cli" in imported_by(completed)
    assert len(imported_by(completed)) <= most or IS_MEASURED


def test_the_entry_of_glue_imports_no_botocore() -> None:
    command = [sys.executable, "-X", "importtime", "-c", "import rolerunner.glue.entry"]
    imported = imported_by(subprocess.run(command, capture_output=True, text=True, check=True))
    unwanted = {"botocore", "urllib3", "asyncio", "ssl", "jinja2", "rich.console", "click"}
    assert ("rolerunner.glue.launch.entry" in imported, imported & unwanted) == (True, set())
    assert len(imported) <= 388 or IS_MEASURED


def imported_by(completed: Any) -> set[str]:
    names = re.findall(r"^import time: .*\| +([\w.]+)$", completed.stderr, re.MULTILINE)
    return {name for name in names if name.split(".")[0] not in IF_INSTALLED}


def test_a_name_that_is_none_of_ours_is_looked_for_among_all(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(SPEC.replace("python.call", "python.cal"))
    assert (
        "unknown action 'python.cal' (did you mean 'python.call'?)"
        in rolerunner("validate", "job.yaml").stderr
    )


def test_no_garbage_is_looked_for_before_the_first_step() -> None:
    before = gc.get_threshold()
    try:
        with GcTuner() as settling:
            assert not gc.isenabled()
            settling.notify(StepStarted(Step("a", "s3.list", {}), ""))
            assert (gc.isenabled(), gc.get_freeze_count() > 0) == (True, True)
        with GcTuner():
            pass
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
        gc.set_threshold(*before)


def test_what_a_function_leaves_open_is_written_to_the_end(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(SPEC)
    (tmp_path / "nothing.py").write_text(
        "left = open('left.txt', 'w')\ndef nothing(context):\n    left.write('all of it')\n"
    )
    completed = rolerunner("run", "job.yaml", AWS_REGION="eu-west-1", PYTHONWARNINGS="ignore")
    assert (completed.returncode, (tmp_path / "left.txt").read_text()) == (0, "all of it"), (
        completed.stderr
    )


def test_a_function_has_rich_though_lines_of_json_do_without(
    rolerunner: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(SPEC)
    (tmp_path / "nothing.py").write_text(
        "from rich.text import Text\n"
        "def nothing(context):\n"
        "    return {'length': len(Text('four'))}\n"
    )
    completed = rolerunner("run", "job.yaml", AWS_REGION="eu-west-1")
    assert (completed.returncode, '"length": 4' in completed.stdout) == (0, True), completed.stderr


@pytest.mark.parametrize("kind", ["service-2", "paginators-1"])
def test_models_are_those_that_botocore_reads(kind: str) -> None:
    ours, theirs = (
        shared_loader.__wrapped__(),
        Loader(),
    )  # a fresh one: botocore writes into the models that it has used
    there = ours.list_available_services(kind)
    assert (list(there), "s3" in there, "s4" in there) == (
        theirs.list_available_services(kind),
        True,
        False,
    )
    assert ours.load_service_model("s3", kind) == theirs.load_service_model("s3", kind)
    with pytest.raises(UnknownServiceError, match="s4"):
        ours.load_service_model("s4", kind)


def test_a_config_that_is_used_twice_gives_one_client() -> None:
    sessions = Sessions(JobIdentity("eu-west-1", keys=Keys("k", "s")))
    config = Config(retries={"mode": "standard", "max_attempts": 3})
    assert sessions.client(JOB, "sts", config=config) is sessions.client(JOB, "sts", config=config)


def test_clients_of_s3_have_what_boto3_gives_them(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"text")
    with start_fake_s3(lambda request: Response(headers={"ETag": '"e"'})) as (client, requests):
        sessions = Sessions(
            JobIdentity("eu-west-1", keys=Keys("k", "s"), endpoints={"": client.meta.endpoint_url})
        )
        for made in (sessions.client(JOB, "s3"), sessions.session(JOB).client("s3")):
            made.upload_file(str(tmp_path / "f"), "bucket", "key")
            made.close()
    assert [(each.operation, each.key) for each in requests] == [("PUT", "key")] * 2
