"""The page for users of other tools: it names each of their flags, and its steps do the same."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner import api, sandbox
from tests.coming_from import Row, read_rows
from tests.conftest import identity_of
from tests.peers import Ended, Peers, start_peers
from tests.peers_venv import find_peers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rolerunner.model import StepResult

pytestmark = [pytest.mark.slow, pytest.mark.once]

ROWS = read_rows()
RUNNABLE = [row for row in ROWS if row.command]
ACCOUNT = "111122223333"
JOB = f"arn:aws:iam::{ACCOUNT}:role/job"
OBJECTS: dict[str, dict[str, bytes]] = {
    "landing": {
        "orders/a.csv": b"a",
        "orders/b.log": b"log",
        "orders/2026/c.csv": b"cc",
        "orders/2026/d.txt": b"four",
    },
    "archive": {"orders/a.csv": b"a", "orders/b.log": b"older", "orders/old.csv": b"x"},
    "publish": {"a.csv": b"earlier"},
    "kept": {"orders/a.csv": b"a"},
    "empty": {},
}
FILES = {
    "out/a.csv": b"a",
    "out/b.log": b"newer",
    "out/2026/c.csv": b"cc",
    "in/a.csv": b"a",
    "in/orders.csv": b"x",
    "names": b"a.csv\n2026/d.txt\n",
}
WORLD = {
    "version": 1,
    "job_role": JOB,
    "roles": [
        {"arn": JOB, "permissions": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": "*"}]}
    ],
    "buckets": [{"name": name, "account": ACCOUNT} for name in OBJECTS],
}
HEADERS = (
    "CacheControl",
    "ChecksumSHA256",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "Expires",
    "ServerSideEncryption",
    "StorageClass",
    "WebsiteRedirectLocation",
)
_OF_TIMES = ("mtime",)
"""Metadata that rclone adds."""


@dataclass
class Bench:
    """A server with buckets and a folder, which are as before at the beginning of each work."""

    s3: Any
    aws: sandbox.Sandbox
    peers: Peers
    folder: Path
    _before: dict[str, Any] = field(default_factory=dict)
    _now: dict[str, Any] = field(default_factory=dict)
    _listed: dict[str, Any] = field(default_factory=dict)
    _sets_tags: bool = False
    """True if the work changes objects without a change of their listing."""

    def reset(self, command: str) -> None:
        """Restores the files and those buckets that have changed."""
        self._sets_tags = "tagging" in command
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        for name, data in FILES.items():
            path = self.folder / "tmp" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            os.utime(path, (0, 0))
        if "links" in command:
            (self.folder / "tmp/out/link.csv").symlink_to("a.csv")
        found = self.s3.list_buckets()["Buckets"]
        for name in {each["Name"] for each in found} | {*OBJECTS}:
            if name not in self._before or self._before[name] != self._now.get(name):
                self._restore_bucket(name)
                self._before[name] = self._read_bucket(name) if name in OBJECTS else None
        self._now = dict(self._before)
        if "--update" in command:  # the target is the younger one, for certain
            time.sleep(1.1)
            for key, data in OBJECTS["archive"].items():
                self.s3.put_object(Bucket="archive", Key=key, Body=data)

    def _restore_bucket(self, name: str) -> None:
        self._listed.pop(name, None)
        if name in self.list_buckets():
            for each in self._list_versions(name):
                version = {"VersionId": each["VersionId"]}
                self.s3.delete_object(Bucket=name, Key=each["Key"], **version)
            self.s3.delete_bucket(Bucket=name)
        if name not in OBJECTS:
            return
        place = {"LocationConstraint": self.aws.region}
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration=place)
        if name == "kept":
            enabled = {"Status": "Enabled"}
            self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=enabled)
        for key, data in OBJECTS[name].items():
            self.s3.put_object(Bucket=name, Key=key, Body=data)

    def list_buckets(self) -> list[str]:
        return sorted(each["Name"] for each in self.s3.list_buckets()["Buckets"])

    def _list_versions(self, bucket: str) -> list[dict[str, Any]]:
        found = self.s3.list_object_versions(Bucket=bucket)
        return [*found.get("Versions", []), *found.get("DeleteMarkers", [])]

    def _read_bucket(self, name: str) -> dict[str, Any]:
        status = self.s3.get_bucket_versioning(Bucket=name).get("Status", "")
        listed = self._list_versions(name)
        is_known = self._listed.get(name) == listed and not self._sets_tags
        if is_known and self._now.get(name):  # the objects are as before
            return {**self._now[name], "versioning": status}
        self._listed[name] = listed
        objects = {
            f"{each['Key']} {'Size' not in each} {each['IsLatest']}": self._read_object(name, each)
            for each in listed
        }
        return {"versioning": status, **objects}

    def _read_object(self, bucket: str, each: dict[str, Any]) -> Any:
        if "Size" not in each:
            return None
        place = {"Bucket": bucket, "Key": each["Key"]}
        found = self.s3.get_object(**place, ChecksumMode="ENABLED")
        read: dict[str, Any] = {name: str(found[name]) for name in HEADERS if found.get(name)}
        if found["ContentType"] == "text/plain":  # others are guessed, by each in its own way
            read["ContentType"] = found["ContentType"]
        metadata = found["Metadata"].items()
        read["metadata"] = {name: text for name, text in metadata if name not in _OF_TIMES}
        if found.get("TagCount"):
            read["tags"] = self.s3.get_object_tagging(**place)["TagSet"]
        return {**read, "data": found["Body"].read()}

    def observe(self) -> dict[str, Any]:
        """Returns what is in all buckets and in the folder."""
        files = {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in (self.folder / "tmp").rglob("*")
            if path.is_file() and not path.name.startswith("orders.")
        }
        buckets = {name: self._read_bucket(name) for name in self.list_buckets()}
        self._now = {**dict.fromkeys(self._before), **buckets}
        return {"files": files, **buckets}

    def run_command(self, command: str) -> Ended:
        """Runs a tool's command; ``<<<`` gives it a line of input, as a shell does."""
        command, _, text = command.replace("/tmp/", f"{self.folder}/tmp/").partition(" <<< ")
        return self.peers.run(*shlex.split(command), text=f"{text}\n" if text else "")

    def run_steps(self, steps: list[dict[str, Any]]) -> list[StepResult]:
        """Runs the steps, each under the job's role."""
        named = [
            {"id": f"step_{number}", "role": "job", **step} for number, step in enumerate(steps)
        ]
        text = json.dumps({"version": 1, "name": "t", "steps": named})
        path = self.folder / "job.yaml"
        path.write_text(text.replace("/tmp/", f"{self.folder}/tmp/"))
        return list(api.run(api.load(path), identity=identity_of(self.aws)).steps)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "world.yaml").write_text(json.dumps(WORLD))
    with (
        sandbox.start_sandbox(sandbox.load_world(folder / "world.yaml")) as aws,
        start_peers(folder, aws.endpoint, aws.region, aws.job_keys) as peers,
    ):
        yield Bench(aws.client("s3", ACCOUNT), aws, peers, folder)


@pytest.mark.parametrize("row", RUNNABLE, ids=[row.command for row in RUNNABLE])
def test_a_step_does_the_same_as_the_command_beside_it(bench: Bench, row: Row) -> None:
    command = row.command
    assert command is not None
    bench.reset(command)
    ended = bench.run_command(command)
    expected = bench.observe()
    bench.reset(command)
    results = bench.run_steps(row.steps)
    said = f"\n{ended}\n{[(each.status, each.outputs, each.error) for each in results]}"
    assert all(each.error is None for each in results), said
    assert ended.status == ("rclone check" in command), said
    found = bench.observe()
    for place, content in expected.items():
        assert found.get(place) == content, f"{place}{said}"
    check_output(results[-1], ended)


def check_output(result: StepResult, ended: Ended) -> None:
    """Compares what a step outputs with what the command printed."""
    outputs = result.outputs
    if result.action == "s3.list":
        # a command that lists names them, and one that adds up prints the sum
        names = [each.key.rpartition("/")[2] for each in outputs["objects"]]
        folders = [each.split("/")[-2] for each in outputs["folders"]]
        sums = (str(outputs["count"]), str(outputs["bytes"]))
        assert any(
            all(each in ended.output for each in printed)
            for printed in (names, folders or names, sums)
        ), ended.output
    elif result.action == "s3.read":
        assert ended.output.strip() == outputs["text"].strip()
    elif result.action == "s3.verify":
        assert outputs["differences"] > 0
    elif result.action == "s3.presign":
        (url,) = re.findall(r"http\S+", ended.output)
        assert read_url(url) == b"a"
    elif outputs.get("size"):
        assert re.search(rf"\b{outputs['size']}\b", ended.output)


def read_url(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as response:
        return bytes(response.read())


@pytest.mark.parametrize("tool", ["aws-cli", "s5cmd", "rclone"])
def test_every_flag_is_on_the_page(tool: str) -> None:
    flags = LIST_FLAGS[tool]()
    named = {flag for row in ROWS if row.tool == tool for flag in row.flags}
    missing = [each for each in flags if not any(fnmatch.fnmatch(each, flag) for flag in named)]
    assert not missing, "neither in a table nor in the list of what makes no sense in a job"
    wrong = [each for each in named if not fnmatch.filter(flags, each)]
    assert not wrong, "the tool has no such flag"


@pytest.mark.parametrize("tool", ["aws-cli", "s5cmd", "rclone"])
def test_every_command_is_on_the_page(tool: str) -> None:
    codes = [code for row in ROWS if row.tool == tool for code in row.codes]
    program = {"aws-cli": "aws s3"}.get(tool, tool)
    missing = [
        each
        for each in LIST_COMMANDS[tool]()
        if not any(f"{code} ".startswith(f"{program} {each} ") for code in codes)
    ]
    assert not missing


def run_tool(*command: str) -> str:
    ended = subprocess.run(
        [str(find_peers() / command[0]), *command[1:]], capture_output=True, text=True, check=False
    )
    return ended.stdout + ended.stderr


_AWS_TABLES = """
import json, awscli.clidriver
driver = awscli.clidriver.create_clidriver()
commands = driver._get_command_table()["s3"].subcommand_table
for each in commands.values():
    each.subcommand_table  # sync registers some of its flags with it
flags = {f"--{name}" for each in commands.values() for name, argument in each.arg_table.items()
         if not argument.positional_arg}
flags |= {f"--{name}" for name in driver._get_argument_table()}
print(json.dumps([sorted(commands), sorted(flags)]))
"""


def read_aws_tables() -> list[list[str]]:
    found: list[list[str]] = json.loads(run_tool("python", "-c", _AWS_TABLES))
    return found


def list_s5cmd_commands() -> list[str]:
    commands = run_tool("s5cmd", "--help").partition("COMMANDS:")[2].partition("GLOBAL")[0]
    return [each for each in re.findall(r"^   ([\w-]+) ", commands, re.MULTILINE) if each != "help"]


def list_s5cmd_flags() -> list[str]:
    texts = [run_tool("s5cmd", each, "--help") for each in list_s5cmd_commands()]
    return find_flags("".join([*texts, run_tool("s5cmd", "--help")]))


def list_rclone_commands() -> list[str]:
    commands = run_tool("rclone", "help").partition("Available commands:")[2].partition("\nUse")[0]
    found = re.findall(r"^  ([\w-]+) ", commands, re.MULTILINE)
    return [each for each in found if each != "backend"]  # whose subcommands are in the table


def list_rclone_flags() -> list[str]:
    """Returns the flags of all commands, of the backend s3, and of each command in a job."""
    common, _, backends = run_tool("rclone", "help", "flags").partition("Backend-only flags")
    words = {
        tuple(code.split()[1:3])
        for row in ROWS
        if row.tool == "rclone" and "in a job" not in row.right
        for code in row.codes
        if code.startswith("rclone ") and row.steps
    }
    commands = {two if two[0] == "archive" else two[:1] for two in words}
    texts = [run_tool("rclone", *each, "--help") for each in sorted(commands)]
    own = [text.partition("\nFlags:\n")[2].partition("\n\n")[0] for text in texts]
    used = [each for each in find_flags(backends) if OF_USED_BACKENDS.match(each)]
    return sorted({*find_flags(common + "\n".join(own)), *used} - {"--group", "--name"})


OF_USED_BACKENDS = re.compile("--(s3-|local-|copy-links|skip-links|one-file-system)")


def find_flags(text: str) -> list[str]:
    return sorted(set(re.findall(r"^ +(?:-\w, )?(--[\w-]+)", text, re.MULTILINE)))


LIST_FLAGS = {
    "aws-cli": lambda: read_aws_tables()[1],
    "s5cmd": list_s5cmd_flags,
    "rclone": list_rclone_flags,
}
LIST_COMMANDS = {
    "aws-cli": lambda: read_aws_tables()[0],
    "s5cmd": list_s5cmd_commands,
    "rclone": list_rclone_commands,
}
