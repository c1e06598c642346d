"""Detects another distribution that has put its files into this package's folder.

pip lets two distributions install the package ``awsglue``: the files of the later one replace those
of the earlier one, and the rest stays beside them.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DISTRIBUTION = "awsglue-local-stubs"
OWN_FILES = frozenset(
    {
        "__init__.py",
        "_fields.py",
        "_files.py",
        "_installation.py",
        "_records.py",
        "context.py",
        "data_sink.py",
        "data_source.py",
        "dataframereader.py",
        "dataframewriter.py",
        "dynamicframe.py",
        "gluetypes.py",
        "job.py",
        "local.py",
        "py.typed",
        "transforms",
        "utils.py",
    }
)
"""The entries of this package's folder."""


def check_installation(folder: Path = Path(__file__).parent) -> None:
    """Raises ImportError if ``folder`` also holds files of another distribution."""
    foreign = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.name not in OWN_FILES and (entry.is_dir() or entry.suffix == ".py")
        if entry.name != "__pycache__"
    )
    if not foreign:
        return
    others = " and ".join(_find_other_owners()) or "another distribution"
    raise ImportError(
        f"{others} and {DISTRIBUTION} have both installed the package 'awsglue' in {folder} "
        f"(it contains {', '.join(foreign[:3])}): uninstall both, then install one of them"
    )


def _find_other_owners() -> Iterator[str]:
    for distribution in metadata.distributions():
        name = str(distribution.metadata["Name"])
        top_level = (distribution.read_text("top_level.txt") or "").split()
        if name != DISTRIBUTION and (
            "awsglue" in top_level
            or any(file.parts[:1] == ("awsglue",) for file in distribution.files or ())
        ):
            yield name
