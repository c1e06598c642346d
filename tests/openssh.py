"""An OpenSSH server on loopback, as the current user, with keys and a configuration of its own."""

from __future__ import annotations

import getpass
import json
import os
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from rolerunner import api

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rolerunner.model import StepResult

START_SECONDS = 20.0
ROLE = "arn:aws:iam::111122223333:role/ours"
CONFIGURATION = """
Port {port}
ListenAddress 127.0.0.1
{host_keys}
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding no
MaxStartups 100
Subsystem sftp {subsystem}
{more}
"""


def find_sshd() -> Optional[str]:
    """Returns the path of OpenSSH's server, which must be started by its whole path."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def explain_missing_sshd() -> str:
    """Returns the reason to skip tests; empty if the server is installed, and in CI."""
    if find_sshd() is not None or os.environ.get("CI"):
        return ""
    return "sshd is not installed (.ci/install_openssh.sh does that on Debian, as root)"


@dataclass
class OpenSsh:
    """A running server. ``key`` is the text of the user's private key."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    user: str = field(default_factory=getpass.getuser)

    @property
    def files(self) -> Path:
        """A folder for the files that tests read and write."""
        return self.folder / "files"

    @property
    def key(self) -> str:
        return (self.folder / "user_key").read_text()

    def public_host_key(self, kind: str = "ed25519") -> str:
        """The line of a host key."""
        return (self.folder / f"host_{kind}.pub").read_text().strip()

    def fingerprint(self, kind: str = "ed25519") -> str:
        """The SHA256 fingerprint of a host key, by ssh-keygen."""
        command = ("ssh-keygen", "-l", "-f", str(self.folder / f"host_{kind}.pub"))
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1]

    def fields(self, **more: Any) -> dict[str, Any]:
        """Fields of a step that uses this server; its key is the param ``key``."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "private_key": "${{ params.key }}",
            "host_key": self.public_host_key(),
            **more,
        }

    def log(self) -> str:
        """The server's log."""
        return (self.folder / "sshd.log").read_text(errors="replace")


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> None:
    """Makes a key pair of OpenSSH's form."""
    bits = ("-b", "2048") if kind == "rsa" else ()
    rounds = ("-a", "1")  # of the passphrase, which take most of the time
    command = (
        "ssh-keygen",
        "-q",
        "-t",
        kind,
        *bits,
        *rounds,
        "-N",
        passphrase,
        "-C",
        "test",
        "-f",
        path,
    )
    subprocess.run(command, check=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def start_openssh(
    *,
    host_keys: tuple[str, ...] = ("ed25519",),
    subsystem: str = "internal-sftp",
    more: str = "",
    prepare: str = "true",
) -> Iterator[OpenSsh]:
    """Runs a server while the block runs. ``prepare`` runs in its shell before it starts."""
    sshd = find_sshd()
    assert sshd is not None, "sshd is not installed: .ci/install_openssh.sh"
    if os.getuid() == 0:  # as root it wants this folder, which the service would create
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="openssh-"))
    (folder / "files").mkdir()
    for kind in host_keys:
        make_key(folder / f"host_{kind}", kind)
    make_key(folder / "user_key")
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    port = free_port()
    names = "\n".join(f"HostKey {folder}/host_{kind}" for kind in host_keys)
    (folder / "sshd.conf").write_text(
        CONFIGURATION.format(
            port=port, host_keys=names, folder=folder, subsystem=subsystem, more=more
        )
    )
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen(
            ("sh", "-c", f"{prepare}; exec {sshd} -D -e -f {folder}/sshd.conf"),
            stdout=log,
            stderr=log,
        )
    server = OpenSsh(folder, port, process)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(server: OpenSsh) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert server.process.poll() is None, server.log()
        with suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 1) as probe:
            if probe.recv(4) == b"SSH-":
                return
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.02)


class CuttingProxy:
    """Forwards connections to a port, and cuts some of them after so many bytes."""

    def __init__(self, port: int, cuts: list[int]) -> None:
        """``cuts`` has the bytes of both directions after which the next connections are cut."""
        self._target = port
        self._cuts = list(cuts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accepts no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                limit = self._cuts.pop(0) if self._cuts else None
                threading.Thread(target=self._forward, args=(client, limit), daemon=True).start()

    def _forward(self, client: socket.socket, limit: Optional[int]) -> None:
        moved = 0
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            other = {client: server, server: client}
            with suppress(OSError):
                while limit is None or moved < limit:
                    ready, _, _ = select.select([client, server], [], [], 60)
                    for each in ready:
                        data = each.recv(1 << 16)
                        if not data:
                            return
                        other[each].sendall(data)
                        moved += len(data)


def run_sftp_step(folder: Path, action: str, server: OpenSsh, /, **fields: Any) -> StepResult:
    """Runs one step that uses the server; the identity is that of the environment.

    ``params`` are secret params, ``engine`` is that of S3. With ``run_key`` the run keeps state.
    """
    params = {"key": server.key, **fields.pop("params", {})}
    names = ("identity", "run_key", "cancel", "engine")
    options = {name: fields.pop(name) for name in names if name in fields}
    return run_sftp_fields(folder, action, server.fields(**fields), params, **options)


def run_sftp_fields(
    folder: Path,
    action: str,
    fields: dict[str, Any],
    params: dict[str, str],
    *,
    engine: str = "fast",
    run_key: str = "",
    **options: Any,
) -> StepResult:
    """Runs one step of these fields, those with None left out, with secret params."""
    given = {name: value for name, value in fields.items() if value is not None}
    spec = {
        "version": 1,
        "name": "t",
        "engine": engine,
        "params": {name: {"type": "string", "secret": True, "required": True} for name in params},
        **({"state": {"location": f"{folder}/state"}} if run_key else {}),
        "steps": [{"id": "it", "action": action, "role": ROLE, **given}],
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(spec))
    return api.run(api.load(path, params), run_key=run_key, **options).steps[0]
