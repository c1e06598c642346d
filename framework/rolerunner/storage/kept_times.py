"""Modification times of files in the metadata of objects, in the form of rclone."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.common.patterns import compile_on_use

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.storage.protocol import ObjectInfo

MTIME = "mtime"
"""The name of the metadata: seconds since 1970 with up to nine decimals."""
MTIME_HEADER = "x-amz-meta-mtime"
_SECONDS = compile_on_use(r"(-?)([0-9]{1,11})(?:\.([0-9]{1,9})[0-9]*)?\Z")
_NANOSECONDS = 1_000_000_000


def format_mtime(nanoseconds: int) -> str:
    """Returns a file's modification time as metadata."""
    seconds, rest = divmod(abs(nanoseconds), _NANOSECONDS)
    decimals = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{'-' if nanoseconds < 0 else ''}{seconds}{decimals}"


def parse_mtime(text: str) -> Optional[int]:
    """Returns the nanoseconds of metadata; None for what is no time."""
    found = _SECONDS.match(text)
    if not found:
        return None
    sign, seconds, decimals = found.groups()
    nanoseconds = int(seconds) * _NANOSECONDS + int((decimals or "").ljust(9, "0"))
    return -nanoseconds if sign else nanoseconds


def find_mtime(info: ObjectInfo) -> Optional[int]:
    """Returns an object's time in nanoseconds: that of its metadata, or else that of S3."""
    kept = parse_mtime(info.mtime)
    if kept is not None or not info.modified:
        return kept
    moment = datetime.strptime(info.modified, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return int(moment.timestamp()) * _NANOSECONDS


def source_mtime(info: ObjectInfo) -> str:
    """Returns the metadata with the time of a copy's source; empty if it has none."""
    nanoseconds = find_mtime(info)
    return "" if nanoseconds is None else format_mtime(nanoseconds)


def add_mtime(options: Mapping[str, Any], mtime: str) -> Mapping[str, Any]:
    """Returns the options of PutObject with a modification time, if there is one."""
    if not mtime:
        return options
    return {**options, "Metadata": {**(options.get("Metadata") or {}), MTIME: mtime}}
