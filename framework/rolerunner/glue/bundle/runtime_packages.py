"""Reads which packages each Glue runtime provides; ``runtimes/*.txt`` name their sources."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.glue.launch.runtime import Runtime

RUNTIMES = Path(__file__).parent / "runtimes"
BOTO3_PACKAGES = (
    "boto3",
    "botocore",
    "s3transfer",
    "jmespath",
    "python-dateutil",
    "six",
    "urllib3",
)
"""boto3 and its dependencies; every runtime provides them, and bundles never override them."""


@dataclass(frozen=True)
class RuntimePackage:
    """A package of a runtime; ``name`` is normalized (PEP 503)."""

    name: str
    version: str
    is_listed: bool
    """False if AWS's list does not name it, so that it may be absent or another version."""

    @property
    def is_kept(self) -> bool:
        """Returns True if a bundle relies on it instead of bringing its own."""
        return self.is_listed or self.name in BOTO3_PACKAGES


def read_runtime_packages(runtime: Runtime) -> Mapping[str, RuntimePackage]:
    """Returns the packages of a runtime by their normalized names."""
    lines = (RUNTIMES / f"{runtime.name}.txt").read_text(encoding="utf-8").splitlines()
    found = (_parse_line(line) for line in lines if not line.startswith("#"))
    return {package.name: package for package in found}


def _parse_line(line: str) -> RuntimePackage:
    pin, _, note = line.partition("#")
    name, _, version = pin.strip().partition("==")
    return RuntimePackage(name, version, note.strip() != "assumed")
