"""Knows which Python, pyspark and Java run together, and finds what this machine lacks."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, Optional

_JAVA_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_SECONDS = 30.0
_ANY = 99


class _Release(NamedTuple):
    """A series of Spark, and the versions that its documentation names ("Downloading")."""

    first: tuple[int, int]
    pythons: tuple[tuple[int, int], tuple[int, int]]
    """The oldest and the newest."""
    javas: range
    java_names: str


_EARLY_JAVAS = range(8, 18)
_RELEASES = (
    _Release((4, 1), ((3, 10), (3, _ANY)), range(17, _ANY), "Java 17 or newer"),
    _Release((4, 0), ((3, 9), (3, 13)), range(17, _ANY), "Java 17 or newer"),
    _Release((3, 5), ((3, 8), (3, 11)), _EARLY_JAVAS, "Java 8, 11 or 17"),
    _Release((3, 4), ((3, 7), (3, 11)), _EARLY_JAVAS, "Java 8, 11 or 17"),
    _Release((3, 3), ((3, 7), (3, 10)), _EARLY_JAVAS, "Java 8, 11 or 17"),
    _Release((0, 0), ((3, 6), (3, 9)), range(8, 12), "Java 8 or 11"),
)
"""The newest first."""
_INSTALLED = {(3, 5): "pyspark>=3.5,<4", (4, 1): "pyspark>=4.1"}
"""Requirements of the series that are recommended."""


@functools.cache
def find_obstacle() -> str:
    """Returns why Spark cannot start here and what to install; "" if nothing speaks against it.

    Takes a fifth of a second the first time, since Java tells its version.
    """
    return explain_misfit(sys.version_info[:2], _find_pyspark(), find_java())


def explain_misfit(python: tuple[int, int], pyspark: Optional[str], java: Optional[int]) -> str:
    """Returns which of the three does not fit the others and what to install; "" if all fit.

    ``pyspark`` is its version, "" if it is unknown; None stands for what is not installed.
    """
    if pyspark is None:
        return f"pyspark is not installed: {_recommend(python, java)}"
    if not pyspark:
        return ""
    release = _find_release(pyspark)
    if not release.pythons[0] <= python <= release.pythons[1]:
        name = ".".join(map(str, python))
        return f"pyspark {pyspark} does not run on Python {name}: {_recommend(python, java)}"
    if java is None:
        return f"there is no Java for pyspark {pyspark}: install {release.java_names}"
    if java not in release.javas:
        return (
            f"pyspark {pyspark} does not run on Java {java}: set JAVA_HOME to {release.java_names}"
        )
    return ""


def _find_release(pyspark: str) -> _Release:
    numbers = [int(number) for number in re.findall(r"\d+", pyspark)[:2]]
    version = (numbers[0], numbers[1]) if len(numbers) > 1 else (0, 0)
    return next(release for release in _RELEASES if release.first <= version)


def _recommend(python: tuple[int, int], java: Optional[int]) -> str:
    """Returns what to install for this Python, if possible with the Java that is there."""
    usable = [
        release
        for release in _RELEASES
        if release.first in _INSTALLED and release.pythons[0] <= python <= release.pythons[1]
    ]
    fitting = [release for release in usable if java in release.javas]
    release = (fitting or usable)[-1]
    install = f"pip install '{_INSTALLED[release.first]}'"
    if java in release.javas:
        return install
    found = f"Java {java} is there" if java else "no Java is there"
    return f"{install}, and {release.java_names} ({found})"


def _find_pyspark() -> Optional[str]:
    """Returns the version of the pyspark that can be imported; "" if it does not tell it."""
    if importlib.util.find_spec("pyspark") is None:
        return None
    try:
        return metadata.version("pyspark")
    except metadata.PackageNotFoundError:  # that of a Spark distribution, on PYTHONPATH
        return ""


def find_java() -> Optional[int]:
    """Returns the major version of the Java that Spark would start; None if there is none."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if java is None:
        return None
    try:
        shown = subprocess.run(  # noqa: S603
            [java, "-version"], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = _JAVA_VERSION.search(shown.stderr)
    return int(found[1]) if found else None
