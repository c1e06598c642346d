"""Reads the packages of rolerunner's extras from its own metadata, so setup.py alone names them."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec

_EXTRA = re.compile(r"""(?P<rest>.*?)(?:\s+and\s+)?extra\s*==\s*["'](?P<extra>[\w.-]+)["']\s*\Z""")
_NAME = re.compile(r"[\w.-]+")


def read_requirements(extra: str) -> tuple[str, ...]:
    """Returns the requirements of an extra, in pip's format; none if rolerunner is no package."""
    try:
        lines = requires("rolerunner") or ()
    except PackageNotFoundError:  # a checkout on sys.path
        return ()
    found = []
    for line in lines:
        requirement, _, marker = line.partition(";")
        parsed = _EXTRA.match(marker.strip())
        if parsed is not None and parsed["extra"] == extra:
            rest = parsed["rest"].strip()
            found.append(f"{requirement.strip()}; {rest}" if rest else requirement.strip())
    return tuple(found)


_MODULES = {"sftp": ("paramiko",), "zstd": ("compression.zstd", "backports.zstd")}
"""The modules by which an extra is found: one of them suffices."""


def is_installed(extra: str) -> bool:
    """Returns True if the packages of an extra of actions can be imported."""
    return any(map(_can_import, _MODULES[extra]))


def _can_import(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # its package is missing, or is hidden
        return False


def list_packages(extra: str) -> tuple[str, ...]:
    """Returns the names of the packages that an extra installs."""
    names = (_NAME.match(each) for each in read_requirements(extra))
    return tuple(name.group() for name in names if name is not None)
