"""The null server and the yardstick: built; the server is started, and asked what was done."""

from __future__ import annotations

import contextlib
import math
import shutil
import socket
import ssl
import statistics
import subprocess
import time
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from measure import NO_LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("s3null", "yardstick")
ADDRESS = "127.0.0.77"
_SHAPES = 20
SHAPE = tuple(
    math.exp(statistics.NormalDist().inv_cdf((number + 0.5) / _SHAPES)) for number in range(_SHAPES)
)
"""Sizes of a log-normal distribution, with a standard deviation of 1 of their logarithm."""
THOUSANDTHS = tuple(round(1000 * each / statistics.fmean(SHAPE)) for each in SHAPE)
"""Sizes in thousandths of their mean, which the keys of a bucket ``v`` take in turns."""


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

    def with_limits(self, limits: Limits) -> Setting:
        """Returns the setting in which tools have these limits; the server has none."""
        if limits == NO_LIMITS:
            return self
        cpu = f"{limits.cpu:g} CPU" if limits.cpu else ""
        memory = f"{limits.memory:,} MiB" if limits.memory else ""
        named = " and ".join(filter(None, (cpu, memory)))
        return replace(
            self,
            name=f"{self.name}, {named}",
            title=f"{self.title}, the tool limited to {named}",
        )


HTTP = Setting("http", "plain HTTP")
TLS = Setting("tls", "TLS", tls=True)
LATE = Setting("late", "TLS, 20 ms a request", tls=True, delay=20)
LATE_PAGES = Setting("pages", "plain HTTP, 80 ms a page", list_delay=80)
SUITE = Setting("suite", "workloads of AWS's benchmark suite, TLS", tls=True)


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
        return Counts(*map(int, self._read("/-/counts").split()))

    def prepare(self, bucket: str) -> None:
        """Lists a bucket, since the server computes checksums when a size is first wanted."""
        self._read(f"/{bucket}?list-type=2")

    def _read(self, path: str) -> bytes:
        context = (
            ssl.create_default_context(cafile=str(self.certificate)) if self.certificate else None
        )
        with urllib.request.urlopen(f"{self.url}{path}", context=context, timeout=60) as answer:
            return bytes(answer.read())


def build(folder: Path) -> None:
    """Compiles the programs and makes a certificate, where that is not done yet."""
    for name in PROGRAMS:
        _compile(Path(__file__).with_name(f"{name}.c"), folder / name)
    if not (folder / "certificate.pem").exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj",
             "/CN=s3null",
             "-addext", f"subjectAltName=IP:{ADDRESS}", "-keyout", str(folder / "key.pem"), "-out",
             str(folder / "certificate.pem")],
            check=True, capture_output=True,
        )  # fmt: skip


def _compile(source: Path, binary: Path) -> None:
    if binary.exists() and binary.stat().st_mtime >= source.stat().st_mtime:
        return
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit(
            f"a C compiler and OpenSSL's headers are needed for {binary.name}: apt-get install gcc "
            "libssl-dev zlib1g-dev"
        )
    libraries = ["-lssl", "-lcrypto", "-lz", "-lpthread"]
    subprocess.run([compiler, "-O2", "-o", str(binary), str(source), *libraries], check=True)


@contextlib.contextmanager
def serving(folder: Path, setting: Setting) -> Iterator[Server]:
    """Such a server, while the block runs."""
    port = _free_port()
    command = [str(folder / "s3null"), "-p", str(port), "-d", str(setting.delay)]
    command += ["-s", ",".join(map(str, THOUSANDTHS))]
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
