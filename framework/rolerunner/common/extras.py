"""Reads the packages of rolerunner's extras from its own metadata, so setup.py alone names them."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires

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


def list_packages(extra: str) -> tuple[str, ...]:
    """Returns the names of the packages that an extra installs."""
    names = (_NAME.match(each) for each in read_requirements(extra))
    return tuple(name.group() for name in names if name is not None)
