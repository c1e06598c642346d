"""Builds reproducible zips and wheels: sorted members, no timestamps, no compression.

Compressed bytes differ between versions of zlib, so members are stored uncompressed.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from email.parser import Parser
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

import rolerunner
from rolerunner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can store."""
_PURE = "py3-none-any"


def make_zip(members: Mapping[str, bytes], *, executables: Collection[str] = ()) -> bytes:
    """Returns a zip of path -> content; ``executables`` are paths that get the executable bit."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3  # Unix, wherever it is made
            info.external_attr = (0o100755 if name in executables else 0o100644) << 16
            archive.writestr(info, members[name])
    return buffer.getvalue()


def make_wheel(
    name: str,
    version: str,
    files: Mapping[str, bytes],
    metadata: str = "",
    entry_points: str = "",
    *,
    tag: str = _PURE,
    executables: Collection[str] = (),
) -> tuple[str, bytes]:
    """Returns the file name and the bytes of a wheel, by default of a pure one."""
    name = name.replace("-", "_")
    info = f"{name}-{version}.dist-info"
    is_pure = str(tag == _PURE).lower()
    own = {
        f"{info}/METADATA": (
            metadata or f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        ).encode(),
        f"{info}/WHEEL": (
            f"Wheel-Version: 1.0\nGenerator: rolerunner\nRoot-Is-Purelib: {is_pure}\nTag: {tag}\n"
        ).encode(),
        **({f"{info}/entry_points.txt": entry_points.encode()} if entry_points else {}),
    }
    members = {**files, **own}
    members[f"{info}/RECORD"] = render_record(members, f"{info}/RECORD")
    return f"{name}-{version}-{tag}.whl", make_zip(members, executables=executables)


def render_record(members: Mapping[str, bytes], record: str) -> bytes:
    """Returns the content of the RECORD at the path ``record``: each member with its hash."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")  # it quotes paths that contain a comma
    for path, data in sorted(members.items()):
        writer.writerow((path, f"sha256={_encode_urlsafe(data)}", len(data)))
    writer.writerow((record, "", ""))
    return buffer.getvalue().encode()


def make_own_wheel() -> tuple[str, bytes]:
    """Returns the installed rolerunner as a wheel. Raises UsageError."""
    try:
        installed = distribution("rolerunner")
    except PackageNotFoundError:
        raise UsageError(
            "rolerunner is not installed here, so it cannot be packed: pip install rolerunner"
        ) from None
    metadata = installed.read_text("METADATA") or installed.read_text("PKG-INFO") or ""
    version = Parser().parsestr(metadata, headersonly=True)["Version"]
    folder = Path(rolerunner.__file__).parent
    files = {f"rolerunner/{path}": data for path, data in iter_files(folder)}
    for name in ("licenses/LICENSE", "LICENSE"):  # where newer and older setuptools put it
        text = installed.read_text(name)
        files.update({f"rolerunner-{version}.dist-info/{name}": text.encode()} if text else {})
    return make_wheel(
        "rolerunner", version, files, metadata, installed.read_text("entry_points.txt") or ""
    )


def measure_unpacked(archive: bytes) -> int:
    """Returns the bytes of all members of a zip or wheel when they are unpacked."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return sum(member.file_size for member in opened.infolist())


def iter_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yields relative path and bytes of each file of a package, sorted.

    Skips bytecode, virtual environments and caches.
    """
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if (
            path.is_file()
            and path.suffix not in (".pyc", ".pyo")
            and not any(_is_left_out(part) for part in relative.parts)
        ):
            yield relative.as_posix(), path.read_bytes()


def _is_left_out(part: str) -> bool:
    return part in (
        "__pycache__",
        ".git",
        ".DS_Store",
        ".env",
        ".venv",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".ipynb_checkpoints",
    )


def _encode_urlsafe(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
