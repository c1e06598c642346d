"""Runs aws-cli, s5cmd and rclone against an S3 server of the tests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rolerunner.sessions.keys import Keys
from tests.peers_venv import find_peers

if TYPE_CHECKING:
    from collections.abc import Iterator

_AWS_LOOP = """
import json, os, sys
import awscli.clidriver, awscli.customizations.s3.subcommands, awscli.customizations.s3.s3handler
driver = awscli.clidriver.create_clidriver()
driver.session.create_client("s3")
for line in sys.stdin:
    arguments, folder, output = json.loads(line)
    pid = os.fork()
    if not pid:
        os.chdir(folder)
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1), os.dup2(file, 2)
        status = driver.main(arguments)
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
"""Forks for each command, as aws-cli takes most of its time to import and to read its models."""
_TIMEOUT = 60


@dataclass(frozen=True)
class Ended:
    """The end of a peer's command."""

    status: int
    output: str


class Peers:
    """The commands ``aws``, ``s5cmd`` and ``rclone``, with the environment that they run in.

    ``rclone`` finds the server as the remote ``s:``.
    """

    def __init__(self, programs: Path, folder: Path, environment: dict[str, str]) -> None:
        self._programs = programs
        self._folder = folder
        self._environment = environment
        self._aws = _start_aws(programs, environment)

    def run(self, *command: str, text: str = "") -> Ended:
        """Runs a command, with ``text`` at its standard input, and returns how it ended."""
        program, *arguments = command
        if program == "aws" and not text:
            return self._run_aws(arguments)
        ended = subprocess.run(
            [str(self._programs / program), *arguments],
            cwd=self._folder,
            env=self._environment,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_TIMEOUT,
        )
        return Ended(ended.returncode, ended.stdout)

    def _run_aws(self, arguments: list[str]) -> Ended:
        output = self._folder / "aws-output"
        requests, answers = _pipes(self._aws)
        print(json.dumps([arguments, str(self._folder), str(output)]), file=requests, flush=True)
        return Ended(int(answers.readline()), output.read_text())

    def close(self) -> None:
        """Ends the process that runs aws-cli."""
        requests, answers = _pipes(self._aws)
        requests.close()
        self._aws.wait(10)
        answers.close()


def _start_aws(programs: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(programs / "python"), "-c", _AWS_LOOP],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


@contextmanager
def start_peers(folder: Path, endpoint: str, region: str, keys: Any) -> Iterator[Peers]:
    """Yields the peers, which use the server at ``endpoint`` with these keys."""
    credentials = keys.to_credentials() if isinstance(keys, Keys) else keys
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_ENDPOINT_URL": endpoint,
        "S3_ENDPOINT_URL": endpoint,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_S_TYPE": "s3",
        "RCLONE_CONFIG_S_PROVIDER": "Other",
        "RCLONE_CONFIG_S_ENV_AUTH": "true",
        "RCLONE_CONFIG_S_REGION": region,
        "RCLONE_CONFIG_S_ENDPOINT": endpoint,
        "RCLONE_S3_NO_CHECK_BUCKET": "true",
    }
    if credentials.token:
        environment["AWS_SESSION_TOKEN"] = credentials.token
    peers = Peers(find_peers(), folder, environment)
    try:
        yield peers
    finally:
        peers.close()


@contextmanager
def serve_folder(root: Path, keys: str, program: str = "") -> Iterator[str]:
    """Serves the folders below ``root`` as buckets with rclone, and yields the endpoint.

    An object's time is that of its file. ``program`` is the rclone to use, if not the peers'.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = program or str(find_peers() / "rclone")
    address = ["--addr", f"127.0.0.1:{port}", "--config", os.devnull]
    cache = ["--dir-cache-time", "0s"]  # tests write into the folders themselves
    command = [program, "serve", "s3", "--auth-key", keys, *cache, *address, str(root)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
