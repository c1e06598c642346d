"""The formats of archives, the names of archives, and those of their members."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.actions.compression_fields import list_codec_extras
from rolerunner.errors import UnsafeKey
from rolerunner.lazy_dataclass import dataclass
from rolerunner.model import S3Uri
from rolerunner.spec.field_types import MAX_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class ArchiveFormat:
    """A format: the container (tar or zip), and the codec around a tar."""

    container: str
    codec: Optional[str]
    suffixes: tuple[str, ...]
    content_type: str


FORMATS: Mapping[str, ArchiveFormat] = {
    "tar": ArchiveFormat("tar", None, (".tar",), "application/x-tar"),
    "tar.gz": ArchiveFormat("tar", "gzip", (".tar.gz", ".tgz"), "application/gzip"),
    "tar.zst": ArchiveFormat("tar", "zstd", (".tar.zst", ".tzst"), "application/zstd"),
    "tar.bz2": ArchiveFormat("tar", "bz2", (".tar.bz2", ".tbz2"), "application/x-bzip2"),
    "tar.xz": ArchiveFormat("tar", "xz", (".tar.xz", ".txz"), "application/x-xz"),
    "zip": ArchiveFormat("zip", None, (".zip",), "application/zip"),
}
"""Every format; ``s3.pack`` writes those that ``PACKED`` names."""
_OF_WINDOWS = re.compile(r"\A[A-Za-z]:[/\\]|\A\\|(?:\A|[/\\])\.\.(?:[/\\]|\Z)")
"""Absolute and parent paths as Windows writes them."""
PACKED = ("tar", "tar.gz", "tar.zst", "zip")


def find_format(key: str, among: tuple[str, ...] = tuple(FORMATS)) -> Optional[str]:
    """Returns the name of the format that a key's suffix names, or None."""
    name = key.lower()
    return next((each for each in among if name.endswith(FORMATS[each].suffixes)), None)


def list_archive_extras(name: Any, keys: Iterable[Any]) -> tuple[str, ...]:
    """Returns the extra for zstd if an archive has this format, or may have it by its suffix.

    ``name`` and ``keys`` are values of a spec, so each may be an expression.
    """
    if name is not None:
        return list_codec_extras(name, "tar.zst")
    known = [None if str(key).endswith("}}") else find_format(str(key)) for key in keys]
    needs_zstd = not known or None in known or "tar.zst" in known
    return ("zstd",) if needs_zstd else ()


def number_archive(target: S3Uri, number: int) -> S3Uri:
    """Returns the target with a number before the suffix of its format: ``a-00001.tar.gz``."""
    return S3Uri(target.bucket, _insert(target.key, f"-{number:05}"))


def archive_pattern(target: S3Uri) -> S3Uri:
    """Returns the pattern that the numbered archives of a target have."""
    return S3Uri(target.bucket, _insert(target.key, "-*"))


def _insert(key: str, text: str) -> str:
    name = find_format(key)
    suffix = next(
        (each for each in FORMATS[name].suffixes if key.lower().endswith(each))
        if name
        else iter(()),
        "",
    )
    stem = key[: len(key) - len(suffix)]
    return f"{stem}{text}{key[len(stem) :]}"


def find_name_problem(name: str) -> str:
    """Returns why a member's name cannot be a key below a folder; empty if it can."""
    if "\0" in name:
        return "contains a NUL character"
    if any(part in ("", ".", "..") for part in name.split("/")) or _OF_WINDOWS.search(name):
        return "is absolute, or contains an empty part, '.' or '..'"
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "is not UTF-8"
    return f"has more than {MAX_KEY:,} bytes" if length > MAX_KEY else ""


def check_member_name(name: str, subject: str) -> None:
    """Raises UnsafeKey if a name cannot be that of a member. ``subject`` names its owner."""
    if problem := find_name_problem(name):
        raise UnsafeKey(
            f"{subject}: the name {name!r} {problem}, so it could leave the target",
            hint="leave it out with 'exclude', or pack it under another name",
        )
