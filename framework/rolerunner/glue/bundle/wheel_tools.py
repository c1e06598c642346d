"""Resolves requirements by uv and downloads wheels by pip, for the interpreter of a runtime."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rolerunner.errors import UsageError
from rolerunner.glue.bundle.archives import make_wheel
from rolerunner.glue.bundle.locked_wheels import normalize_name, read_locks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolerunner.glue.bundle.locked_wheels import LockedWheel
    from rolerunner.glue.bundle.runtime_packages import RuntimePackage
    from rolerunner.glue.launch.runtime import Runtime

PLATFORM = "manylinux2014_x86_64"
_RESOLVE = (
    *("uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--generate-hashes"),
    *("--only-binary", ":all:", "--python-platform", "x86_64-manylinux_2_17"),
    "--no-python-downloads",
)
_DOWNLOAD = (
    *("pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--retries", "1"),
    "--no-deps",
    # uv has chosen the versions; pip would take 3.9 for 3.9.0, which some exclude
    "--ignore-requires-python",
    *("--require-hashes", "--only-binary", ":all:", "--implementation", "cp"),
    *("--platform", PLATFORM),
)
_OFFLINE = (
    "NewConnectionError",
    "NameResolutionError",
    "Max retries exceeded",
    "ProxyError",
    "Connection refused",
    "dns error",
    "error sending request",
)


def find_cache() -> Path:
    """Returns the folder of wheels that were downloaded before."""
    return (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rolerunner" / "wheels"
    )


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
            *(f"{each.name}=={each.version}{mark_version(runtime)}" for each in provided),
        ]
        bounds.write_text("\n".join(constraints), encoding="utf-8")
        index = (
            {"UV_INDEX_URL": os.environ["PIP_INDEX_URL"]} if "PIP_INDEX_URL" in os.environ else {}
        )
        found = ["--find-links", folder, "--constraint", str(bounds), str(wanted)]
        command = [*_RESOLVE, "--python-version", runtime.python, *found]
        return _run_tool(command, runtime, index)


def _write_placeholders(folder: Path, packages: Sequence[RuntimePackage], runtime: Runtime) -> None:
    """Writes an empty wheel for each package of the runtime.

    They require nothing: what a runtime's package needs is there with it, even where the versions
    contradict each other's metadata (boto3 and botocore of Glue 4.0), or where an index has no
    wheel of the version. The local part of the version (PEP 440) tells them apart.
    """
    for each in packages:
        name, data = make_wheel(each.name, f"{each.version}{mark_version(runtime)}", {})
        (folder / name).write_bytes(data)


def mark_version(runtime: Runtime) -> str:
    """Returns the local part of versions of packages that the runtime provides."""
    return "+" + runtime.name.replace("-", ".")


def download_wheels(requirements: Sequence[str], runtime: Runtime, target: Path) -> list[Path]:
    """Downloads pinned wheels by their hashes into ``target``. Raises UsageError."""
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder, "requirements.txt")
        pinned.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        of_runtime = ["--python-version", runtime.python]
        for abi in (runtime.tag, "abi3", "none"):  # the first is preferred
            of_runtime += ["--abi", abi]
        files = ["--requirement", str(pinned), "--dest", str(target)]
        _run_tool([*_DOWNLOAD, *of_runtime, *files], runtime, {})
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
            f"for Python {runtime.python} are in {find_cache()}:"
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
    mark = mark_version(runtime)
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
