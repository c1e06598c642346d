"""The null server: built, started, asked what was done."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).with_name("s3null.c")
ADDRESS = "127.0.0.77"


@dataclass(frozen=True)
class Setting:
    """The behaviour of the server: TLS or not, and the delay of each response in ms.

    ``list_delay`` is the delay of a page of a listing.
    """

    name: str
    title: str
    tls: bool = False
    delay: int = 0
    list_delay: int | None = None


HTTP = Setting("http", "plain HTTP")
TLS = Setting("tls", "TLS", tls=True)
LATE = Setting("late", "TLS, 20 ms a request", tls=True, delay=20)
LATE_PAGES = Setting("pages", "plain HTTP, 80 ms a page", list_delay=80)


@dataclass(frozen=True)
class Counts:
    """What the server did since it was last asked."""

    gets: int
    puts: int
    copies: int
    deletes: int
    keys: int
    bytes_in: int


@dataclass(frozen=True)
class Server:
    url: str
    certificate: Path | None

    def counts(self) -> Counts:
        context = (
            ssl.create_default_context(cafile=str(self.certificate)) if self.certificate else None
        )
        with urllib.request.urlopen(f"{self.url}/-/counts", context=context, timeout=10) as answer:
            return Counts(*map(int, answer.read().split()))


def build(folder: Path) -> None:
    """Compile it, and make a certificate for it, where that is not done yet."""
    binary = folder / "s3null"
    if not binary.exists() or binary.stat().st_mtime < SOURCE.stat().st_mtime:
        compiler = shutil.which("cc")
        if compiler is None:
            raise SystemExit(
                "a C compiler and OpenSSL's headers are needed for the null server: apt-get "
                "install gcc libssl-dev zlib1g-dev"
            )
        subprocess.run(
            [
                compiler,
                "-O2",
                "-o",
                str(binary),
                str(SOURCE),
                "-lssl",
                "-lcrypto",
                "-lz",
                "-lpthread",
            ],
            check=True,
        )
    if not (folder / "certificate.pem").exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj",
             "/CN=s3null",
             "-addext", f"subjectAltName=IP:{ADDRESS}", "-keyout", str(folder / "key.pem"), "-out",
             str(folder / "certificate.pem")],
            check=True, capture_output=True,
        )  # fmt: skip


@contextlib.contextmanager
def serving(folder: Path, setting: Setting) -> Iterator[Server]:
    """Such a server, while the block runs."""
    port = _free_port()
    command = [str(folder / "s3null"), "-p", str(port), "-d", str(setting.delay)]
    command += ["-l", str(setting.list_delay)] if setting.list_delay is not None else []
    command += (
        ["-T", "-c", str(folder / "certificate.pem"), "-k", str(folder / "key.pem")]
        if setting.tls
        else []
    )
    process = subprocess.Popen(command)
    try:
        _wait_for(port, process)
        yield Server(
            f"{'https' if setting.tls else 'http'}://{ADDRESS}:{port}",
            folder / "certificate.pem" if setting.tls else None,
        )
    finally:
        process.terminate()
        process.wait(10)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((ADDRESS, 0))
        return int(free.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        with socket.socket() as tried:
            if tried.connect_ex((ADDRESS, port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"the null server does not listen on {ADDRESS}:{port}")
