"""Fetches pinned wheels for a Glue runtime.

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
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rolerunner.errors import UsageError
from rolerunner.glue.bundle.archives import make_wheel
from rolerunner.glue.bundle.runtime_packages import read_runtime_packages

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rolerunner.glue.bundle.runtime_packages import RuntimePackage
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


@dataclass(frozen=True)
class FetchedWheels:
    """Wheels for a bundle, and what the user's requirements need of the runtime instead."""

    locked: tuple[Path, ...]
    """rolerunner's own dependencies."""
    required: tuple[Path, ...] = ()
    """The user's requirements and their dependencies."""
    provided: Mapping[str, str] = field(default_factory=dict)
    """Versions of the runtime's packages that the requirements use, by their names."""


def fetch_wheels(runtime: Runtime, requirements: Sequence[str], folder: Path) -> FetchedWheels:
    """Returns every wheel that a bundle needs besides rolerunner's own. Raises UsageError.

    Relative paths among the ``requirements`` start at ``folder``.
    """
    pins = read_locks(runtime.tag)
    locked = tuple(_of_cache(pins, runtime))
    if not requirements:
        return FetchedWheels(locked)
    required, provided = _of_user(requirements, pins, runtime, folder)
    return FetchedWheels(locked, tuple(required), provided)


def parse_name(wheel: Path) -> str:
    """Returns the normalized name of a wheel's package (PEP 503)."""
    return normalize_name(wheel.name.split("-", 1)[0])


def normalize_name(name: str) -> str:
    """Normalizes a package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_version(wheel: Path) -> str:
    """Returns the version in a wheel's name."""
    return wheel.name.split("-")[1]


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
) -> tuple[list[Path], dict[str, str]]:
    """Returns the wheels of the user's requirements, and versions of what the runtime provides."""
    local = [_local_wheel(each, folder) for each in requirements if each.endswith(".whl")]
    wanted = [
        *(each for each in requirements if not each.endswith(".whl")),
        *(f"{parse_name(path)} @ {path.as_uri()}" for path in local),
    ]
    there = {pin.name for pin in pins}
    packages = read_runtime_packages(runtime).values()
    kept = [each for each in packages if each.is_kept and each.name not in there]
    _reject_extras(wanted, {each.name for each in kept}, runtime)
    found, provided = [], {}
    resolved = resolve_requirements(wanted, runtime, pins, kept)
    for each in re.split(r"\n(?=\S)", resolved.strip()):  # other lines continue the one before
        name = _name_in(each)
        of_runtime = re.match(rf"\S+==(\S+){re.escape(_mark(runtime))}(?!\S)", each)
        if of_runtime:
            provided[name] = of_runtime.group(1)
        elif name and name not in there and " @ " not in each:
            found.append(each)
    return [*(_fetch_pinned(found, runtime) if found else ()), *local], provided


def _reject_extras(
    requirements: Sequence[str], provided: Collection[str], runtime: Runtime
) -> None:
    """Raises UsageError for an extra of a package that the runtime provides."""
    for each in requirements:
        name = _name_in(each)
        if name in provided and re.match(rf"{_NAME.pattern}\s*\[", each):
            raise UsageError(
                f"'{each}' under 'requirements': {name} is that of {runtime.name}, whose extras "
                "are not installed: name the packages of the extra instead"
            )


def _name_in(requirement: str) -> str:
    found = _NAME.match(requirement)
    return normalize_name(found.group()) if found else ""


def _local_wheel(file: str, folder: Path) -> Path:
    path = (folder / file).resolve()
    if not path.is_file():
        raise UsageError(f"there is no wheel {path}, which 'requirements' under 'glue' names")
    return path


def resolve_requirements(
    requirements: Sequence[str],
    runtime: Runtime,
    pins: Sequence[LockedWheel] = (),
    provided: Sequence[RuntimePackage] = (),
) -> str:
    """Resolves requirements to NAME==VERSION with hashes, by uv, for the runtime's interpreter.

    Our own ``pins`` and the packages that the runtime has ``provided`` are constraints; the latter
    are among the results as ``NAME==VERSION+RUNTIME``. Raises UsageError.
    """
    if find_spec("uv") is None:
        raise UsageError(
            "'requirements' under 'glue' are resolved by uv, which is not installed: "
            "pip install 'rolerunner[deploy]'"
        )
    with tempfile.TemporaryDirectory() as folder:
        wanted, bounds = Path(folder, "requirements.in"), Path(folder, "constraints.txt")
        wanted.write_text("\n".join(requirements), encoding="utf-8")
        _write_placeholders(Path(folder), provided, runtime)
        constraints = [
            *(f"{pin.name}=={pin.version}" for pin in pins),
            *(f"{each.name}=={each.version}{_mark(runtime)}" for each in provided),
        ]
        bounds.write_text("\n".join(constraints), encoding="utf-8")
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
                "x86_64-manylinux_2_17",
                "--no-python-downloads",
                "--find-links",
                folder,
                "--constraint",
                str(bounds),
                str(wanted),
            ],
            runtime,
            index,
        )


def _write_placeholders(folder: Path, packages: Sequence[RuntimePackage], runtime: Runtime) -> None:
    """Writes an empty wheel for each package of the runtime.

    They require nothing: what a runtime's package needs is there with it, even where the versions
    contradict each other's metadata (boto3 and botocore of Glue 4.0), or where an index has no
    wheel of the version. The local part of the version (PEP 440) tells them apart.
    """
    for each in packages:
        name, data = make_wheel(each.name, f"{each.version}{_mark(runtime)}", {})
        (folder / name).write_bytes(data)


def _mark(runtime: Runtime) -> str:
    """Returns the local part of versions of packages that the runtime provides."""
    return "+" + runtime.name.replace("-", ".")


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
                # uv has chosen the versions; pip would take 3.9 for 3.9.0, which some exclude
                "--ignore-requires-python",
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
    lines = [
        line
        for line in done.stderr.splitlines()
        if line.strip() and not line.startswith(("WARNING", "[notice]", "DEPRECATION", "warning:"))
    ]
    _raise_conflict(" ".join(" ".join(lines).split()), runtime)
    raise UsageError(
        f"no wheels for Python {runtime.python} on {PLATFORM}: " + "\n  ".join(lines[-6:])
    )


def _raise_conflict(reason: str, runtime: Runtime) -> None:
    """Raises UsageError if a resolution failed because of what the runtime has or we pin."""
    mark = _mark(runtime)
    pins = {(pin.name, pin.version) for pin in read_locks(runtime.tag)}
    named = dict.fromkeys(re.findall(r"([\w.-]+)==([\w.+]*\w)", reason))
    provided = [f"{name} {found[: -len(mark)]}" for name, found in named if found.endswith(mark)]
    pinned = [f"{name} {found}" for name, found in named if (normalize_name(name), found) in pins]
    if not provided and not pinned:
        return
    owner = f"{runtime.name}, which has" if provided else "rolerunner, which needs"
    why = reason.partition("Because ")[2].replace(mark, "")
    why = why.partition(", we can conclude that your requirements")[0]
    names = ", ".join(provided or pinned)
    raise UsageError(
        f"'requirements' under 'glue' conflict with {owner} {names}: {why}; "
        "allow that version, which a bundle never replaces"
    )
