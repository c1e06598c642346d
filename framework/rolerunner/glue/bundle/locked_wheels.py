"""The wheels that rolerunner itself needs, locked by their hashes, and the names of wheels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

LOCKS = Path(__file__).parent / "locks"
_LOCKED = re.compile(
    r"(?P<name>[\w.-]+)==(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})  # (?P<file>\S+)\Z"
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


def parse_name(wheel: Path) -> str:
    """Returns the normalized name of a wheel's package (PEP 503)."""
    return normalize_name(wheel.name.split("-", 1)[0])


def normalize_name(name: str) -> str:
    """Normalizes a package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_version(wheel: Path) -> str:
    """Returns the version in a wheel's name."""
    return wheel.name.split("-")[1]
