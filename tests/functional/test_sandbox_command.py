"""`rolerunner sandbox`: other programs and other commands use the sandbox of a spec."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.once

READER = "arn:aws:iam::222233334444:role/reader"
SPEC = f"""
version: 1
name: orders
roles:
  reader: {{arn: "{READER}", external_id: ex-1}}
  writer: arn:aws:iam::444455556666:role/writer
steps:
  - {{id: find, action: s3.list, role: reader, source: s3://landing/orders/}}
  - {{id: copy, action: s3.copy, source_role: reader, target_role: writer,
     objects: "${{{{ steps.find.objects }}}}", target: s3://archive/orders/}}
"""
LIST_LANDING = """
import boto3
session = boto3.Session(profile_name="reader")
print(session.client("sts").get_caller_identity()["Arn"])
listed = session.client("s3").list_objects_v2(Bucket="landing", Prefix="orders/")
print(*(each["Key"] for each in listed["Contents"]))
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "orders.yaml"
    path.write_text(SPEC)
    return path


@contextmanager
def serve(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Runs the command until the block ends; its errors are in the file ``errors``."""
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "rolerunner", "sandbox", "orders.yaml", *options],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], last: str) -> str:
    """Returns the output up to a line that begins with ``last``."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(last):
            break
    return "".join(lines)


def start_json(process: subprocess.Popen[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(read_until(process, "}"))
    return document


def list_files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.glob("rolerunner-sandboxes-*/*"))


def test_a_shell_that_reads_the_lines_is_the_job_and_each_role(spec: Path) -> None:
    folder = spec.parent
    with serve(folder) as process:
        lines = read_until(process, "# try:      python")
        (folder / "environment").write_text(lines)
        assert "# the job:  arn:aws:iam::123456789012:role/glue-orders\n" in lines
        assert "# bucket:   landing, account 222233334444, 1 object\n" in lines
        assert "# try:      aws sts get-caller-identity --profile reader\n" in lines
        shell = f'. ./environment; exec "{sys.executable}" -'
        listed = subprocess.run(
            ["sh", "-c", shell],
            cwd=folder,
            input=LIST_LANDING,
            capture_output=True,
            text=True,
            check=True,
        )
        caller, keys = listed.stdout.splitlines()
        assert caller.startswith("arn:aws:sts::222233334444:assumed-role/reader/")
        assert keys == "orders/sample.txt"
        assert list_files(folder) == [".config", ".json"]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert (folder / "errors").read_text().endswith("sandbox: stopped\n")
    assert list_files(folder) == []


def test_programs_reach_it_without_the_proxy_of_the_user(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "example.com")
    with serve(spec.parent) as process:
        lines = read_until(process, "# try:      python")
    assert "export no_proxy=example.com,127.0.0.1\n" in lines


def test_a_run_in_another_terminal_uses_it_and_its_objects_stay(
    spec: Path, rolerunner: Callable[..., Any]
) -> None:
    folder = spec.parent
    (folder / "b.csv").write_text("more")
    with serve(folder, "--format", "json") as process:
        served = start_json(process)
        assert served["environment"]["AWS_ENDPOINT_URL"] == served["endpoint"]
        assert served["profiles"] == ["reader", "writer"]
        assert {each["name"]: each["objects"] for each in served["buckets"]} == {
            "archive": 0,
            "landing": 1,
            "rolerunner-artifacts-123456789012": 0,
        }
        assert "arn:aws:iam::123456789012:role/rolerunner-deployer" in served["roles"]
        put = ["--put", "s3://landing/orders/=b.csv", "--result", "r.json"]
        ended = rolerunner("run", "orders.yaml", "--sandbox", *put)
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr == f"sandbox: {served['endpoint']}, served by process {process.pid}\n"
        result = json.loads((folder / "r.json").read_text())
        assert result["steps"][0]["outputs"]["count"] == 2

        second = rolerunner("sandbox", "orders.yaml")
        assert second.returncode == 2
        assert f"is already there: {served['endpoint']}, served by process" in second.stderr

        spec.write_text(SPEC.replace("s3://archive/orders/", "s3://archive/elsewhere/"))
        refused = rolerunner("run", "orders.yaml", "--sandbox")
        assert refused.returncode == 4
        assert "the spec or the sandbox file has changed since; start 'rolerunner" in refused.stderr
        assert "its policies are derived from the spec" in refused.stderr


def test_a_sandbox_that_was_killed_is_not_used(spec: Path, rolerunner: Callable[..., Any]) -> None:
    folder = spec.parent
    with serve(folder, "--format", "json") as process:
        start_json(process)
        process.kill()
        process.wait()
        assert list_files(folder) == [".config", ".json"]
        alone = rolerunner("run", "orders.yaml", "--sandbox")
        assert alone.returncode == 0, alone.stderr
        assert "derived from the spec with 'rolerunner iam'" in alone.stderr
    assert list_files(folder) == []


def test_it_serves_the_file_and_the_port_that_are_asked_for(spec: Path) -> None:
    folder = spec.parent
    (folder / "world.yaml").write_text(
        f"version: 1\njob_role: {READER}\nroles: [{{arn: {READER}}}]\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = ["--file", "world.yaml", "--format", "json", "--port", port]
    spec.write_text(SPEC + "glue: {role: arn:aws:iam::111122223333:role/other}\n")
    with serve(folder, *options) as process:
        served = start_json(process)
        assert (
            "the job cannot be deployed to it: world.yaml: there is no role"
            in (folder / "errors").read_text()
        )
        assert served["endpoint"] == f"http://127.0.0.1:{port}"
        assert (served["job_role"], served["file"]) == (READER, str(folder / "world.yaml"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_it_ends_when_its_emulator_ends(spec: Path) -> None:
    with serve(spec.parent, "--format", "json") as process:
        start_json(process)
        os.kill(find_emulator(process.pid), signal.SIGKILL)
        assert process.wait(10) == 2
    assert "the sandbox's process has ended; start it again" in (spec.parent / "errors").read_text()
    assert list_files(spec.parent) == []


def find_emulator(parent: int) -> int:
    """Returns the id of the only child of a process."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for path in Path("/proc").glob("[0-9]*/stat"):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                return int(path.parent.name)
    raise AssertionError("the emulator has no process")
