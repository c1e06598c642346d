"""Merges wheels into one wheel that requires nothing.

Glue installs each wheel by itself with ``pip install --target``, which ignores what is installed
and looks up everything under ``Requires-Dist`` again. A single wheel without requirements needs no
index and one call of pip. pip accepts one ``.dist-info`` folder at the top of a wheel, so those of
the merged distributions lie in ``.data/platlib``, from where pip installs them beside the modules:
``importlib.metadata`` then finds their versions, entry points and licences.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING, Optional

from rolerunner.errors import UsageError
from rolerunner.glue.bundle import archives

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

BUNDLE_NAME = "rolerunner_bundle"
_LIBRARIES = ("purelib", "platlib")
_EXECUTABLE = 0o111


@dataclass
class _Distribution:
    """The content of a wheel, by where pip installs it."""

    wheel: str
    library: dict[str, bytes] = field(default_factory=dict)
    """Modules and their data: paths relative to site-packages."""
    info: dict[str, bytes] = field(default_factory=dict)
    """Files of the ``.dist-info`` folder, without RECORD: paths relative to site-packages."""
    other: dict[str, bytes] = field(default_factory=dict)
    """Scripts, headers and data: paths relative to ``.data``."""
    executables: set[str] = field(default_factory=set)
    """Those of the paths that are executable."""

    @property
    def folder(self) -> str:
        """Returns the name of the ``.dist-info`` folder."""
        return next(iter(self.info)).partition("/")[0]

    @property
    def modules(self) -> dict[str, str]:
        """Returns the path of each top-level module or regular package by its name."""
        found = {}
        for path in self.library:
            top, _, rest = path.partition("/")
            if rest == "__init__.py" or (not rest and top.endswith((".py", ".so"))):
                found[top.partition(".")[0]] = path
        return found


def merge_wheels(wheels: Mapping[str, bytes], version: str, tag: str) -> tuple[str, bytes]:
    """Returns the name and the bytes of one wheel with the content of all ``wheels``.

    ``wheels`` maps file names to bytes; ``tag`` is that of the merged wheel, such as
    cp39-cp39-manylinux2014_x86_64.
    """
    merged = _Distribution(BUNDLE_NAME)
    data = f"{BUNDLE_NAME}-{version}.data"
    for each in (_read_wheel(name, content) for name, content in wheels.items()):
        merged.library.update(each.library)
        placed = {
            **{f"{data}/platlib/{path}": content for path, content in _with_record(each)},
            **{f"{data}/{path}": content for path, content in each.other.items()},
        }
        merged.library.update(placed)
        merged.executables.update(each.executables & each.library.keys())
        merged.executables.update(f"{data}/{path}" for path in each.executables & each.other.keys())
    return archives.make_wheel(
        BUNDLE_NAME,
        version,
        merged.library,
        f"Metadata-Version: 2.1\nName: rolerunner-bundle\nVersion: {version}\n"
        "Summary: Distributions merged for a Glue job; each has its own .dist-info folder.\n",
        tag=tag,
        executables=merged.executables,
    )


def check_conflicts(wheels: Mapping[str, bytes], code: Iterable[str] = ()) -> None:
    """Raises UsageError if two wheels bring different files of one name, or hide one another.

    ``code`` names the wheels of the user's own code. They may not add files to the package of
    another wheel either; of other wheels, some do so on purpose.
    """
    found = [_read_wheel(name, content) for name, content in wheels.items()]
    owners: dict[str, _Distribution] = {}
    for each in found:
        for path, content in {**each.library, **each.other}.items():
            owner = owners.setdefault(path, each)
            if {**owner.library, **owner.other}[path] != content:
                raise _conflict(path, owner.wheel, each.wheel)
    for one, other in permutations(found, 2):
        for name, path in one.modules.items():
            if _hides(name, path, other, is_code=other.wheel in code):
                raise _conflict(name, one.wheel, other.wheel)


def _hides(name: str, path: str, other: _Distribution, *, is_code: bool) -> bool:
    """Returns True if ``other`` has the module under another path, or files of its package."""
    theirs = other.modules.get(name)
    if theirs is not None:
        return theirs != path
    return is_code and any(each.startswith(f"{name}/") for each in other.library)


def _conflict(path: str, one: str, other: str) -> UsageError:
    return UsageError(
        f"{one} and {other} both contain '{path}', with different content: "
        "rename the package if it is your own, or leave out one of the two"
    )


def _read_wheel(name: str, content: bytes) -> _Distribution:
    found = _Distribution(name)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            path, part = _classify(member.filename, found)
            if path is None:
                continue
            part[path] = archive.read(member)
            if member.external_attr >> 16 & _EXECUTABLE:
                found.executables.add(path)
    if not found.info:
        raise UsageError(f"{name} is not a wheel: it has no .dist-info folder")
    return found


def _classify(path: str, found: _Distribution) -> tuple[Optional[str], dict[str, bytes]]:
    """Returns where pip installs a file, and the part of the distribution that it belongs to."""
    top, _, rest = path.partition("/")
    if top.endswith(".dist-info"):
        is_record = rest.partition(".")[0] == "RECORD"  # and its signatures
        return (None if is_record else path), found.info
    if top.endswith(".data"):
        scheme, _, inner = rest.partition("/")
        return (inner, found.library) if scheme in _LIBRARIES else (rest, found.other)
    return path, found.library


def _with_record(part: _Distribution) -> Iterator[tuple[str, bytes]]:
    """Yields the files of the ``.dist-info`` folder with a RECORD of what lies beside it."""
    record = f"{part.folder}/RECORD"
    yield from part.info.items()
    yield record, archives.render_record({**part.library, **part.info}, record)
