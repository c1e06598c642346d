"""A Ceph cluster with its Object Gateway: one monitor, manager and OSD, in memory, on loopback.

Tenants take the place of accounts: a role's ARN names its tenant where AWS names the account, and
sessions of the role see its tenant's buckets.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAEMONS = (
    "radosgw",
    "radosgw-admin",
    "ceph",
    "ceph-mon",
    "ceph-mgr",
    "ceph-osd",
    "ceph-authtool",
    "monmaptool",
)
START_SECONDS = 120.0

CONF = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms bind port min = {low}
ms bind port max = {high}
keyring = {folder}/keyring
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
pid file = {folder}/$name.pid
crash dir = {folder}
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
[mon.a]
mon data = {folder}/mon
mon data avail crit = 1
mon data avail warn = 2
[mgr.x]
mgr data = {folder}/mgr
mgr initial modules =
[osd.0]
osd objectstore = memstore
osd data = {folder}/osd
memstore device bytes = 2147483648
osd class load list = *
osd class default list = *
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{http}
rgw sts key = abcdefghijklmnop
rgw s3 auth use sts = true
rgw thread pool size = 32
rgw data = {folder}/rgw
"""


def explain_missing_ceph() -> str:
    """Returns the reason why Ceph cannot be used, or an empty text."""
    missing = [each for each in DAEMONS if shutil.which(each) is None]
    return (
        (
            "Ceph is not installed (.ci/install_ceph.sh does that on Debian, "
            f"as root): no {', '.join(missing)}"
        )
        if missing
        else ""
    )


@dataclass
class Ceph:
    """A running gateway."""

    folder: Path
    url: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, *command: str) -> str:
        """Runs one of Ceph's commands and returns its output."""
        completed = subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, timeout=60, check=False
        )
        assert completed.returncode == 0, f"{command}: {completed.stderr[-2000:]}"
        return completed.stdout

    def environment(self) -> dict[str, str]:
        return {**os.environ, "CEPH_CONF": str(self.folder / "ceph.conf")}

    def start(self, *command: str) -> None:
        """Starts a daemon in the foreground of a process group of its own."""
        with (self.folder / f"{command[0]}.out").open("wb") as out:
            self.processes.append(
                subprocess.Popen(
                    command, env=self.environment(), stdout=out, stderr=out, start_new_session=True
                )
            )

    def wait(self, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            exited = [each.args for each in self.processes if each.poll() is not None]
            assert not exited, f"exited: {exited}: {self.read_daemon_output()}"
            assert time.monotonic() < deadline, (
                f"not ready after {START_SECONDS} s: {self.read_daemon_output()}"
            )
            time.sleep(0.2)

    def read_daemon_output(self) -> str:
        return "\n".join(
            f"{path.name}: {path.read_text(errors='replace')[-1000:]}"
            for path in self.folder.glob("*.out")
        )

    def stop(self) -> None:
        """Stops all daemons, by force if needed."""
        for process in reversed(self.processes):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)

    # users, roles, clients

    def create_user(self, tenant: str, name: str) -> None:
        """Creates a user with the keys of ``keys_of``."""
        access, secret = keys_of(tenant, name)
        self.run(
            "radosgw-admin",
            "user",
            "create",
            "--tenant",
            tenant,
            "--uid",
            name,
            "--display-name",
            name,
            "--access-key",
            access,
            "--secret-key",
            secret,
        )

    def create_role(
        self, tenant: str, name: str, trusted: str, *statements: dict[str, Any]
    ) -> None:
        """Creates a role that ``trusted`` may assume, with these statements as its policy."""
        trust = {"Effect": "Allow", "Principal": {"AWS": [trusted]}, "Action": ["sts:AssumeRole"]}
        self.run(
            "radosgw-admin",
            "role",
            "create",
            "--tenant",
            tenant,
            "--role-name",
            name,
            "--path",
            "/",
            "--assume-role-policy-doc",
            policy(trust),
        )
        arguments = (
            "--tenant",
            tenant,
            "--role-name",
            name,
            "--policy-name",
            "p",
            "--policy-doc",
            policy(*statements),
        )
        self.run("radosgw-admin", "role-policy", "put", *arguments)

    def client(self, tenant: str, name: str) -> Any:
        """An S3 client of a user."""
        return self._client("s3", *keys_of(tenant, name))

    def role_client(self, role: str, tenant: str, user: str) -> Any:
        """An S3 client of a role's session.

        The owner of a bucket may not read objects that a role has stored in it.
        """
        keys = self._client("sts", *keys_of(tenant, user)).assume_role(
            RoleArn=role, RoleSessionName="test"
        )["Credentials"]
        return self._client(
            "s3", keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]
        )

    def _client(self, service: str, access: str, secret: str, token: Optional[str] = None) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="eu-west-1",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(s3={"addressing_style": "path"}),
        )

    def user_environment(self, tenant: str, name: str) -> dict[str, str]:
        """The environment of a process whose own identity is a user."""
        access, secret = keys_of(tenant, name)
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": access,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }


def keys_of(tenant: str, name: str) -> tuple[str, str]:
    return f"KEY{tenant}{name}".upper(), f"secret-{tenant}-{name}"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def start_ceph() -> Iterator[Ceph]:
    """Runs a gateway while the block runs, and removes its files afterwards."""
    # sockets of daemons have short paths at most
    folder = Path(tempfile.mkdtemp(prefix="ceph-"))
    ceph = Ceph(folder, f"http://127.0.0.1:{(http := free_port())}")
    try:
        _start(ceph, http)
        yield ceph
    finally:
        ceph.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _start(ceph: Ceph, http: int) -> None:
    folder, fsid, v1, v2 = ceph.folder, str(uuid.uuid4()), free_port(), free_port()
    for name in ("mon", "mgr", "osd", "rgw"):
        (folder / name).mkdir()
    low = 20000 + os.getpid() % 200 * 50
    conf = CONF.format(fsid=fsid, folder=folder, v1=v1, v2=v2, http=http, low=low, high=low + 49)
    (folder / "ceph.conf").write_text(conf)
    keyring, monmap = str(folder / "keyring"), str(folder / "monmap")
    all_capabilities = [
        word for each in ("mon", "osd", "mgr", "mds") for word in ("--cap", each, "allow *")
    ]
    ceph.run("ceph-authtool", "-C", "-g", "-n", "mon.", keyring, "--cap", "mon", "allow *")
    for name in ("client.admin", "client.rgw", "mgr.x", "osd.0"):
        ceph.run("ceph-authtool", "-g", "-n", name, keyring, *all_capabilities)
    ceph.run(
        "monmaptool",
        "--create",
        "--fsid",
        fsid,
        "--addv",
        "a",
        f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]",
        monmap,
    )
    ceph.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
    ceph.start("ceph-mon", "-i", "a", "-f")
    ceph.wait(lambda: _succeeds(ceph, "ceph", "--connect-timeout", "3", "-s"))
    ceph.start("ceph-mgr", "-i", "x", "-f")
    osd = str(uuid.uuid4())
    ceph.run("ceph", "osd", "new", osd, "0")
    ceph.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
    ceph.start("ceph-osd", "-i", "0", "-f")
    ceph.wait(lambda: "1 up" in ceph.run("ceph", "osd", "stat"))
    ceph.start("radosgw", "-n", "client.rgw", "-f")
    ceph.wait(lambda: _is_serving(ceph.url))


def _succeeds(ceph: Ceph, *command: str) -> bool:
    return (
        subprocess.run(
            command, env=ceph.environment(), capture_output=True, timeout=60, check=False
        ).returncode
        == 0
    )


def _is_serving(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
