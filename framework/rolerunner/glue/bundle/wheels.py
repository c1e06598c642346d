"""Fetches pinned wheels for a Glue runtime.

rolerunner's own dependencies are locked for each interpreter with the hash of one wheel each, so
two bundles of one version are the same. The requirements of a user's functions are resolved by uv,
which evaluates a foreign interpreter's markers; pip evaluates those of its own interpreter.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rolerunner.errors import UsageError
from rolerunner.glue.bundle.locked_wheels import normalize_name, parse_name, read_locks
from rolerunner.glue.bundle.runtime_packages import read_runtime_packages
from rolerunner.glue.bundle.wheel_tools import (
    download_wheels,
    find_cache,
    mark_version,
    resolve_requirements,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rolerunner.glue.bundle.locked_wheels import LockedWheel
    from rolerunner.glue.launch.runtime import Runtime

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


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


def _of_cache(pins: Sequence[LockedWheel], runtime: Runtime) -> list[Path]:
    """Returns the locked wheels; fetches those that are not cached."""
    missing = [str(pin) for pin in pins if not _is_there(find_cache() / pin.file, pin.sha256)]
    if missing:
        _fetch_pinned(missing, runtime)
    return [find_cache() / pin.file for pin in pins]


def _fetch_pinned(requirements: Sequence[str], runtime: Runtime) -> list[Path]:
    """Fetches pinned wheels into the cache, each atomically."""
    cache = find_cache()
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
        of_runtime = re.match(rf"\S+==(\S+){re.escape(mark_version(runtime))}(?!\S)", each)
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
