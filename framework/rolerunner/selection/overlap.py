"""Detects a source and a target that overlap, and globs that keep the two apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from rolerunner.common.patterns import compile_on_use
from rolerunner.model import S3Uri
from rolerunner.selection.filters import compile_globs, expand_braces

_UNPROVABLE = compile_on_use(r"\\|\[[^\]]*/|//|\A/|/\Z")
"""Globs that are not taken apart at their slashes: escapes, a slash inside a class, empty parts."""


def shared_folder(source: S3Uri, target: S3Uri) -> Optional[str]:
    """Returns the folder, relative to the source, whose keys are on both sides of a copy.

    It is None if no key is, and empty if source and target are one folder. ``source`` is a prefix;
    a target without ``/`` is the folder of that name.
    """
    if source.bucket != target.bucket:
        return None
    folder = source.key[: source.key.rfind("/") + 1]
    beginning = source.key[len(folder) :]
    written = target.as_folder().key
    if written.startswith(folder):
        shared = written[len(folder) :]
    elif folder.startswith(written):
        shared = folder[len(written) :]
    else:
        return None
    return shared if shared.startswith(beginning) or beginning.startswith(shared) else None


def are_kept_apart(include: Sequence[str], exclude: Sequence[str], folder: str) -> bool:
    """Returns True if the globs certainly select nothing below a folder, relative to the source.

    The folder's own marker does not count.
    """
    names = folder.split("/")[:-1]
    if not names or "" in names:
        return False
    if any(_matches_all(pattern, names) for pattern in expand_braces(exclude)):
        return True
    patterns = expand_braces(include)
    return bool(patterns) and all(_matches_none(pattern, names) for pattern in patterns)


def _matches_all(pattern: str, names: Sequence[str]) -> bool:
    """Returns True if a glob certainly matches every key below the folder.

    It does if it matches the folder, or one above, and ends with ``**``.
    """
    *above, last = pattern.split("/")
    if last != "**" or _UNPROVABLE.search(pattern):
        return False
    return not above or any(
        _matches_name("/".join(above), "/".join(names[:count])) for count in range(len(names) + 1)
    )


def _matches_none(pattern: str, names: Sequence[str]) -> bool:
    """Returns True if a glob certainly matches no key below the folder.

    It does not if it has too few parts, or a part that differs from the folder's.
    """
    if _UNPROVABLE.search(pattern):
        return False
    parts = pattern.split("/")
    fixed = parts[: parts.index("**")] if "**" in parts else parts
    too_short = fixed is parts and len(parts) <= len(names)
    return too_short or not all(_matches_name(part, name) for part, name in zip(fixed, names))


def _matches_name(pattern: str, text: str) -> bool:
    return bool(compile_globs([pattern]).match(text))
