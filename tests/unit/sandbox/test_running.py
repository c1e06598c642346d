from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rolerunner.errors import SandboxError, UsageError
from rolerunner.model import S3Uri
from rolerunner.sandbox import running
from rolerunner.sandbox.running import RunningSandbox, find_running_sandbox, publish_sandbox
from rolerunner.wiring import build_sessions

if TYPE_CHECKING:
    from rolerunner import sandbox
    from rolerunner.sessions.identity import JobIdentity

pytestmark = pytest.mark.once

JOB, OTHER = "111122223333", "444455556666"
WORLD = f"""
version: 1
job_role: arn:aws:iam::{JOB}:role/job
roles: [{{arn: "arn:aws:iam::{JOB}:role/job"}}]
buckets: [{{name: landing, account: "{JOB}"}}, {{name: elsewhere, account: "{OTHER}"}}]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the files, in a temporary folder of the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"rolerunner-sandboxes-{os.geteuid()}"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "nightly.yaml"
    path.write_text("version: 1\n")
    return path


def caller(identity: JobIdentity) -> str:
    return build_sessions(identity, "caller").find_caller_arn()


def test_others_find_a_sandbox_inside_the_block_only(
    aws: sandbox.Sandbox, spec: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_running_sandbox(str(spec)) is None
    monkeypatch.chdir(spec.parent)
    with publish_sandbox(aws, str(spec), None, {}) as published:
        assert find_running_sandbox("nightly.yaml") == published
        assert find_running_sandbox("other.yaml") is None
        assert (published.endpoint, published.region) == (aws.endpoint, "eu-west-1")
        (file,) = folder.glob("*.json")
        assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert published.job_keys.secret_key in file.read_text()
        assert published.job_keys.secret_key not in repr(published)
    assert find_running_sandbox(str(spec)) is None
    assert list(folder.iterdir()) == []


def test_each_environment_has_its_own(aws: sandbox.Sandbox, spec: Path) -> None:
    with publish_sandbox(aws, str(spec), None, {}, "dev") as published:
        assert find_running_sandbox(str(spec), "dev") == published
        assert find_running_sandbox(str(spec)) is None
        assert find_running_sandbox(str(spec), "prod") is None
        with publish_sandbox(aws, str(spec), None, {}) as own:
            assert find_running_sandbox(str(spec)) == own
    assert find_running_sandbox(str(spec), "dev") is None


def test_its_identities_are_the_job_and_the_administrator(aws: sandbox.Sandbox, spec: Path) -> None:
    with publish_sandbox(aws, str(spec), None, {}) as published:
        assert ":assumed-role/job/" in caller(published.job_identity())
        assert caller(published.admin_identity()) == f"arn:aws:iam::{JOB}:root"


def test_objects_are_added_as_the_administrator_of_the_buckets_account(
    aws: sandbox.Sandbox, spec: Path
) -> None:
    with publish_sandbox(aws, str(spec), None, {}) as published:
        published.put_objects({S3Uri.parse("s3://elsewhere/a"): spec})
        body = aws.client("s3", OTHER).get_object(Bucket="elsewhere", Key="a")["Body"].read()
        assert body == spec.read_bytes()
        with pytest.raises(UsageError, match="has no bucket 'elswhere'"):
            published.put_objects({S3Uri.parse("s3://elswhere/a"): spec})


def test_a_change_of_the_spec_or_the_sandbox_file_is_seen(
    aws: sandbox.Sandbox, spec: Path, tmp_path: Path
) -> None:
    world = tmp_path / "world.yaml"
    world.write_text(WORLD)
    with publish_sandbox(aws, str(spec), world, {}) as published:
        assert published.file == str(world.resolve())
        assert published.is_current()
        world.write_text(WORLD + "# changed")
        assert not published.is_current()
        world.write_text(WORLD)
        spec.write_text("version: 1\nname: other\n")
        assert not published.is_current()


def write_file(folder: Path, found: RunningSandbox) -> Path:
    (file,) = folder.glob("*.json")
    file.write_text(json.dumps(asdict(found)))
    return file


def test_the_file_of_a_process_that_ended_is_removed(
    aws: sandbox.Sandbox, spec: Path, folder: Path
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with publish_sandbox(aws, str(spec), None, {}) as published:
        file = write_file(folder, replace(published, pid=ended.pid))
        assert find_running_sandbox(str(spec)) is None
        assert not file.exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="start times are in /proc")
def test_the_file_of_a_process_whose_id_another_one_has_is_removed(
    aws: sandbox.Sandbox, spec: Path, folder: Path
) -> None:
    with publish_sandbox(aws, str(spec), None, {}) as published:
        file = write_file(folder, replace(published, started="1"))
        assert find_running_sandbox(str(spec)) is None
        assert not file.exists()


def test_another_server_at_the_endpoint_is_not_the_sandbox(
    aws: sandbox.Sandbox, spec: Path, folder: Path
) -> None:
    with publish_sandbox(aws, str(spec), None, {}) as published:
        write_file(folder, replace(published, server="another"))
        assert find_running_sandbox(str(spec)) is None
        write_file(folder, replace(published, endpoint="http://127.0.0.1:9"))
        assert find_running_sandbox(str(spec)) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"job_keys": {}}'])
def test_a_file_that_another_version_wrote_is_ignored(
    aws: sandbox.Sandbox, spec: Path, folder: Path, text: str
) -> None:
    with publish_sandbox(aws, str(spec), None, {}):
        (file,) = folder.glob("*.json")
        file.write_text(text)
        assert find_running_sandbox(str(spec)) is None
        assert file.exists()


def test_a_folder_that_others_can_read_is_refused(
    aws: sandbox.Sandbox, spec: Path, folder: Path
) -> None:
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(SandboxError, match="is not a folder that only you can read"):
        find_running_sandbox(str(spec))
    with (
        pytest.raises(SandboxError, match="is not a folder that only you can read"),
        publish_sandbox(aws, str(spec), None, {}),
    ):
        pass


def test_a_temporary_folder_that_cannot_be_written_is_an_error(
    aws: sandbox.Sandbox, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(spec))
    with (
        pytest.raises(SandboxError, match="set TMPDIR to a writable folder"),
        publish_sandbox(aws, str(spec), None, {}),
    ):
        pass


def test_the_start_time_of_this_process_is_stable() -> None:
    mine = running._find_start_time(os.getpid())
    assert mine == running._find_start_time(os.getpid())
    assert running._find_start_time(2**30) == ""
