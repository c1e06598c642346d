"""The packages of a runtime that a rehearsal installs, and a hash that names their environment."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolerunner.glue.bundle.runtime_packages import read_runtime_packages

if TYPE_CHECKING:
    from rolerunner.glue.launch.runtime import Runtime

WITHOUT_WHEEL = frozenset(
    {
        ("pythonshell", "aiobotocore"),
        ("pythonshell", "avro"),
        ("pythonshell", "psycopg2"),
        ("pythonshell", "pyodbc"),
        ("glue-4.0", "avro-python3"),
        ("glue-4.0", "matplotlib"),
    }
)
"""Packages that PyPI has no wheel of at that version; building them needs compilers."""
_PIP = "22.0.4"
"""pip where a list has none: the newest when the set of Python Shell was frozen."""
_HASH = 12
"""Characters of a list's hash in the name of an environment: 48 bits."""


@dataclass(frozen=True)
class PackageList:
    """Pinned packages, and a hash of them."""

    packages: tuple[str, ...]
    hash: str


def list_packages(runtime: Runtime, more: tuple[str, ...] = ()) -> PackageList:
    """Returns the packages that an environment of the runtime gets, and ``more`` pinned ones."""
    provided = read_runtime_packages(runtime)
    versions = {"pip": _PIP, **{name: each.version for name, each in provided.items()}}
    provided_here = (
        f"{name}=={version}"
        for name, version in sorted(versions.items())
        if (runtime.name, name) not in WITHOUT_WHEEL
    )
    packages = (*provided_here, *more)
    return PackageList(packages, hashlib.sha256("\n".join(packages).encode()).hexdigest()[:_HASH])
