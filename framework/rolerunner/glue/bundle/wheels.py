"""Fetches pinned wheels for a Glue runtime, sorted by dependency.

rolerunner's own dependencies are locked for each interpreter with the hash of one wheel each, so
two bundles of one version are the same. The requirements of a user's functions are resolved by uv,
which evaluates a foreign interpreter's markers; pip evaluates those of its own interpreter.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rolerunner.errors import UsageError
from rolerunner.glue.bundle.runtime_packages import BOTO3_PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rolerunner.glue.launch.runtime import Runtime

PLATFORM = "manylinux2014_x86_64"
LOCKS = Path(__file__).parent / "locks"
_LOCKED = re.compile(
    r"(?P<name>[\w.-]+)==(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})  # (?P<file>\S+)\Z"
)
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_OFFLINE = (
    "NewConnectionError",
    "NameResolutionError",
    "Max retries exceeded",
    "ProxyError",
    "Connection refused",
    "dns error",
    "error sending request",
)


@dataclass(frozen=True)
class LockedWheel:
    """A wheel pinned by its hash."""

    name: str
    version: str
    sha256: str
    file: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


def read_locks(tag: str) -> tuple[LockedWheel, ...]:
    """Returns rolerunner's locked dependencies for an interpreter such as cp311."""
    lines = (LOCKS / f"{tag}.txt").read_text(encoding="utf-8").splitlines()
    return tuple(LockedWheel(**found.groupdict()) for found in map(_LOCKED.match, lines) if found)


def fetch_wheels(runtime: Runtime, requirements: Sequence[str], folder: Path) -> list[Path]:
    """Returns every wheel that a bundle needs besides rolerunner's own. Raises UsageError.

    Relative paths among the ``requirements`` start at ``folder``.
    """
    pins = read_locks(runtime.tag)
    return sort_by_dependency(
        [
            *_of_cache(pins, runtime),
            *(_of_user(requirements, pins, runtime, folder) if requirements else ()),
        ]
    )


def sort_by_dependency(wheels: Iterable[Path]) -> list[Path]:
    """Sorts wheels so that each comes after those it requires."""
    by_name = {parse_name(path): path for path in sorted(wheels)}
    needs = {
        name: [need for need in _read_requirements(path) if need in by_name and need != name]
        for name, path in by_name.items()
    }
    try:
        return [by_name[name] for name in TopologicalSorter(needs).static_order()]
    except CycleError:
        return list(by_name.values())


def parse_name(wheel: Path) -> str:
    """Returns the normalized name of a wheel's package (PEP 503)."""
    return normalize_name(wheel.name.split("-", 1)[0])


def normalize_name(name: str) -> str:
    """Normalizes a package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_version(wheel: Path) -> str:
    """Returns the version in a wheel's name."""
    return wheel.name.split("-")[1]


def _read_requirements(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        path = next(
            (
                name
                for name in archive.namelist()
                if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)
            ),
            None,
        )
        text = archive.read(path).decode("utf-8", "replace") if path else ""
    return sorted(
        {
            _name_in(line)
            for line in Parser().parsestr(text, headersonly=True).get_all("Requires-Dist", [])
        }
    )


def _cache_folder() -> Path:
    return (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rolerunner" / "wheels"
    )


def _of_cache(pins: Sequence[LockedWheel], runtime: Runtime) -> list[Path]:
    """Returns the locked wheels; fetches those that are not cached."""
    missing = [str(pin) for pin in pins if not _is_there(_cache_folder() / pin.file, pin.sha256)]
    if missing:
        _fetch_pinned(missing, runtime)
    return [_cache_folder() / pin.file for pin in pins]


def _fetch_pinned(requirements: Sequence[str], runtime: Runtime) -> list[Path]:
    """Fetches pinned wheels into the cache, each atomically."""
    cache = _cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        return [
            path.replace(cache / path.name)
            for path in download_wheels(requirements, runtime, Path(folder))
        ]


def _is_there(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _of_user(
    requirements: Sequence[str], pins: Sequence[LockedWheel], runtime: Runtime, folder: Path
) -> list[Path]:
    """Returns the wheels of the user's requirements, without those provided anyway."""
    local = [_local_wheel(each, folder) for each in requirements if each.endswith(".whl")]
    resolvable = [
        *(each for each in requirements if not each.endswith(".whl")),
        *(f"{parse_name(path)} @ {path.as_uri()}" for path in local),
    ]
    there = {pin.name for pin in pins}
    # continuation lines belong to the requirement before them
    found = [
        each
        for each in re.split(r"\n(?=\S)", resolve_requirements(resolvable, pins, runtime).strip())
        if _name_in(each) not in there and " @ " not in each
    ]
    return [*(_fetch_pinned(found, runtime) if found else ()), *local]


def _name_in(requirement: str) -> str:
    found = _NAME.match(requirement)
    return normalize_name(found.group()) if found else ""


def _local_wheel(file: str, folder: Path) -> Path:
    path = (folder / file).resolve()
    if not path.is_file():
        raise UsageError(f"there is no wheel {path}, which 'requirements' under 'glue' names")
    return path


def resolve_requirements(
    requirements: Sequence[str], pins: Sequence[LockedWheel], runtime: Runtime
) -> str:
    """Resolves requirements to NAME==VERSION with hashes, by uv, for the runtime's interpreter.

    The runtime's boto3 and our own pins are constraints. Raises UsageError.
    """
    if find_spec("uv") is None:
        raise UsageError(
            "'requirements' under 'glue' are resolved by uv, which is not installed: "
            "pip install 'rolerunner[deploy]'"
        )
    with tempfile.TemporaryDirectory() as folder:
        wanted, bounds = Path(folder, "requirements.in"), Path(folder, "constraints.txt")
        wanted.write_text("\n".join(requirements), encoding="utf-8")
        bounds.write_text(
            "\n".join([f"boto3=={runtime.boto3}", *(f"{pin.name}=={pin.version}" for pin in pins)]),
            encoding="utf-8",
        )
        index = (
            {"UV_INDEX_URL": os.environ["PIP_INDEX_URL"]} if "PIP_INDEX_URL" in os.environ else {}
        )
        return _run_tool(
            [
                "uv",
                "pip",
                "compile",
                "--quiet",
                "--no-header",
                "--no-annotate",
                "--generate-hashes",
                "--only-binary",
                ":all:",
                "--python-version",
                runtime.python,
                "--python-platform",
                "x86_64-manylinux2014",
                "--constraint",
                str(bounds),
                *(part for name in BOTO3_PACKAGES for part in ("--no-emit-package", name)),
                str(wanted),
            ],
            runtime,
            index,
        )


def download_wheels(requirements: Sequence[str], runtime: Runtime, target: Path) -> list[Path]:
    """Downloads pinned wheels by their hashes into ``target``. Raises UsageError."""
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder, "requirements.txt")
        pinned.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        _run_tool(
            [
                "pip",
                "download",
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
                "--retries",
                "1",
                "--no-deps",
                "--require-hashes",
                "--only-binary",
                ":all:",
                "--implementation",
                "cp",
                "--python-version",
                runtime.python,
                "--abi",
                runtime.tag,
                "--abi",
                "abi3",
                "--abi",
                "none",
                "--platform",
                PLATFORM,
                "--requirement",
                str(pinned),
                "--dest",
                str(target),
            ],
            runtime,
            {},
        )
    return sorted(target.glob("*.whl"))


def _run_tool(command: Sequence[str], runtime: Runtime, environment: dict[str, str]) -> str:
    """Runs pip or uv under this interpreter and returns its output. Raises UsageError."""
    if find_spec(command[0]) is None:
        raise UsageError(
            f"{command[0]} fetches wheels but is not installed: pip install 'rolerunner[deploy]'"
        )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )
    if done.returncode == 0:
        return done.stdout
    if any(sign in done.stderr for sign in _OFFLINE):
        raise UsageError(
            "the package index cannot be reached, and not all wheels "
            f"for Python {runtime.python} are in {_cache_folder()}:"
            " go online once, or set PIP_INDEX_URL to an index that can be reached"
        )
    command_line = [
        line
        for line in done.stderr.splitlines()
        if line.strip() and not line.startswith(("WARNING", "[notice]", "DEPRECATION"))
    ]
    raise UsageError(
        f"no wheels for Python {runtime.python} on {PLATFORM}: " + "\n  ".join(command_line[-6:])
    )
