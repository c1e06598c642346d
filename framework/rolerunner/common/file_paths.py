"""Paths of local files: those of specs, and those of keys, which stay within their folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rolerunner.common.file_errors import name_not_encodable_error
from rolerunner.errors import UnsafeKey

MAX_NAME = 255
"""Bytes of a file name on the usual file systems (NAME_MAX)."""
_UNSAFE = re.compile(r"(?:\A|/)\.{0,2}(?:/|\Z)|\0")
"""Parts of a key that cannot be a file name: empty, ``.``, ``..``, or with a NUL."""


def expand_path(text: str) -> Path:
    """Returns a path of a spec as an absolute path; links are not resolved."""
    return Path(os.path.abspath(os.path.expanduser(text)))


def resolve_key_path(folder: Path, relative: str) -> str:
    """Returns the file for an object's relative key.

    Raises UnsafeKey if it would leave ``folder``.
    """
    if (
        _UNSAFE.search(relative)
        or len(relative) > MAX_NAME
        or not relative.isascii()
        or os.sep != "/"
    ):
        _check_parts(folder, relative)
    above = str(folder)
    path = f"{above}{'' if above.endswith(os.sep) else os.sep}{relative.replace('/', os.sep)}"
    if "/" in relative:
        _check_parents(folder, path, relative)
    return path


def _check_parts(folder: Path, relative: str) -> None:
    parts = relative.split("/")
    problem = ""
    try:
        os.fsencode(relative)
    except UnicodeEncodeError as error:
        subject = f"the key {relative!a} cannot be a file name"
        raise name_not_encodable_error(subject, error) from None
    if "\0" in relative:
        problem = "contains a NUL character"
    elif any(part in ("", ".", "..") for part in parts):
        problem = "contains an empty part, '.' or '..'"
    elif any(len(os.fsencode(part)) > MAX_NAME for part in parts):
        problem = f"has a part of more than {MAX_NAME} bytes"
    elif os.sep == "\\" and ("\\" in relative or ":" in relative):
        problem = "contains a backslash or colon"
    if problem:
        raise UnsafeKey(f"the key '{relative}' {problem}: it cannot be a file below {folder}")


def _check_parents(folder: Path, path: str, relative: str) -> None:
    for number in range(relative.count("/"), 0, -1):
        parent = path.rsplit(os.sep, number)[0]
        if os.path.islink(parent):
            raise UnsafeKey(
                f"the key '{relative}' leads through the link {parent}, out of {folder}"
            )
