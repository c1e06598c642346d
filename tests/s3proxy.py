"""S3Proxy, an S3 server over a folder that is not AWS's; Maven fetches its jar once."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = "4.1.0"
KEYS = ("key-id", "secret-key")
_CLASSIFIER = "jar-with-dependencies"


def find_s3proxy() -> Optional[Path]:
    """Returns S3Proxy's jar with its dependencies; None without Java or Maven."""
    if not shutil.which("java") or not shutil.which("mvn"):
        return None
    repository = Path(os.environ.get("MAVEN_REPOSITORY") or Path.home() / ".m2/repository")
    jar = repository / f"org/gaul/s3proxy/{VERSION}/s3proxy-{VERSION}-{_CLASSIFIER}.jar"
    if not jar.exists():
        artifact = f"-Dartifact=org.gaul:s3proxy:{VERSION}:jar:{_CLASSIFIER}"
        command = ["mvn", "-q", "-B", "dependency:get", artifact, "-Dtransitive=false"]
        subprocess.run(command, check=True, timeout=600)
    return jar


@contextmanager
def serve_folder(jar: Path, folder: Path) -> Iterator[str]:
    """Serves the folders below ``folder`` as buckets, and yields the endpoint."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = folder.with_suffix(".properties")
    settings.write_text(
        f"s3proxy.authorization=aws-v2-or-v4\ns3proxy.endpoint=http://127.0.0.1:{port}\n"
        f"s3proxy.identity={KEYS[0]}\ns3proxy.credential={KEYS[1]}\n"
        f"jclouds.provider=filesystem-nio2\njclouds.filesystem.basedir={folder}\n"
    )
    options = ["-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    process = subprocess.Popen(
        ["java", *options, "-jar", str(jar), "--properties", str(settings)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for_port(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for_port(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(600):
        assert process.poll() is None, "S3Proxy has ended"
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("S3Proxy does not start")
