"""Compares files with objects by size, ETag or checksum."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Union

from rolerunner.common.file_errors import translate_os_errors
from rolerunner.storage.integrity import ExpectedChecksum, is_md5

if TYPE_CHECKING:
    from rolerunner.storage.protocol import ObjectInfo

_BLOCK = 1 << 20
BY_TIME = ("size_mtime", "mtime")
"""Ways to compare that take a target for the same only if it is not older."""
BY_STATUS = ("size", *BY_TIME)
"""Ways to compare that read no content."""


def file_matches(
    path: Union[Path, int], checksum: str, part_size: Callable[[], int]
) -> Optional[bool]:
    """Returns True if a file, a path or an open descriptor, has the checksum.

    Returns None if that cannot be decided.

    ``part_size`` is called only for a checksum of parts.
    """
    expected = ExpectedChecksum.of(checksum)
    if expected is None:
        return None
    with translate_os_errors(str(path)):
        running = expected.start(os.stat(path).st_size, part_size)
    if running is None:
        return None
    with (
        translate_os_errors(str(path)),
        open(path, "rb", closefd=not isinstance(path, int)) as file,
    ):
        file.seek(0)
        for block in iter(lambda: file.read(_BLOCK), b""):
            running.update(block)
    return running.matches()


def is_same_file(
    path: Path,
    info: ObjectInfo,
    compare: str,
    fetch_info: Callable[[], ObjectInfo],
    part_size: Callable[[], int],
) -> bool:
    """Returns True if a file equals the object by size, etag or checksum.

    The caller compares times: by size_mtime the sizes must agree here, by mtime nothing must.
    ``fetch_info`` sends a HEAD request; it is called only if the listing's ETag does not decide.
    """
    if compare == "mtime":
        return True
    with translate_os_errors(path):
        if path.stat().st_size != info.size:
            return False
    if compare in ("size", "size_mtime"):
        return True
    if is_md5(info.etag) and file_matches(path, f"MD5:{info.etag}", part_size):
        return True  # a matching MD5 is proof, whatever the encryption
    return compare == "checksum" and bool(
        file_matches(path, info.checksum or fetch_info().checksum, part_size)
    )
