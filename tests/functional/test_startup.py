"""What a command imports: each of these takes some milliseconds of every start, and is wanted by few."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.credentials import JobIdentity, Keys, Sessions
from rolerunner.model import JOB
from tests.fake_s3 import Answer, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.once

SPEC = """version: 1
name: empty
steps:
  - {id: nothing, action: python.call, function: "nothing:nothing"}
"""
NEVER = {"boto3", "s3transfer", "tenacity", "wcmatch", "multiprocessing"}
OFFLINE = {*NEVER, "structlog", "asyncio", "rich", "botocore", "urllib3", "ssl", "http.client"}


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [(["--help"], OFFLINE), (["validate", "job.yaml"], OFFLINE), (["plan", "job.yaml"], OFFLINE), (["run", "job.yaml"], NEVER)],
    ids=["help", "validate", "plan", "run"],
)
def test_a_command_imports_only_what_it_needs(arguments: list[str], unwanted: set[str], rolerunner: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(SPEC)
    (tmp_path / "nothing.py").write_text("def nothing(context):\n    return None\n")
    ended = rolerunner(*arguments, PYTHONPROFILEIMPORTTIME="1", AWS_REGION="eu-west-1")
    imported = set(re.findall(r"^import time: .*\| +([\w.]+)$", ended.stderr, re.MULTILINE))
    assert (ended.returncode, "rolerunner.cli" in imported) == (0, True)
    assert imported & unwanted == set()


def test_clients_of_s3_have_what_boto3_gives_them(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"text")
    with serving(lambda asked: Answer(headers={"ETag": '"e"'})) as (client, asked):
        sessions = Sessions(JobIdentity("eu-west-1", keys=Keys("k", "s"), endpoints={"": client.meta.endpoint_url}))
        for made in (sessions.client(JOB, "s3"), sessions.session(JOB).client("s3")):
            made.upload_file(str(tmp_path / "f"), "bucket", "key")
            made.close()
    assert [(each.what, each.key) for each in asked] == [("PUT", "key")] * 2
