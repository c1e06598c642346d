"""Converts exceptions to failures of a step: type, text, and the frames of the user's code."""

from __future__ import annotations

import errno
import sys
import sysconfig
import traceback
from functools import lru_cache
from pathlib import Path

from rolerunner.common.json_values import safe_text
from rolerunner.errors import RolerunnerError, StepError

_OURS = str(Path(__file__).resolve().parents[1])
_MOST_FRAMES = 4
_LIBRARY_PARTS = ("/site-packages/", "/dist-packages/")


def as_step_error(error: BaseException) -> StepError:
    """Returns the exception as a step's failure; a StepError is returned unchanged."""
    if isinstance(error, StepError):
        return error
    if isinstance(error, RolerunnerError):
        hint = str(getattr(error, "hint", ""))
        return StepError(safe_text(error), hint=hint, type=type(error).__name__)
    if (
        isinstance(error, UnicodeEncodeError)
        and error.encoding == sys.getfilesystemencoding() == "ascii"
    ):
        character = error.object[error.start : error.start + 1]
        message = (
            "the file system's encoding here is ascii, "
            f"which has no {character!a} of the name {error.object!a}"
        )
        return StepError(
            message,
            hint="run it with PYTHONUTF8=1, or in a UTF-8 locale such as LC_ALL=C.UTF-8",
            type="FileNameNotEncodable",
        )
    text = safe_text(error)
    kind = type(error).__name__
    limit = describe_limit(error)
    if limit:
        return StepError(
            f"{kind}: {text}: {limit}" if text else f"{kind}: {limit}",
            hint=format_user_frames(error),
            type=kind,
        )
    return StepError(f"{kind}: {text}" if text else kind, hint=format_user_frames(error), type=kind)


def describe_limit(error: BaseException) -> str:
    """Returns which limit of the machine or process an exception reports; empty if none."""
    if isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    ):
        return (
            "no memory is left (of the machine, of the container, or by ulimit -v); "
            "lower 'memory' or 'max_parallel', or raise the limit"
        )
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return (
            "no more threads are allowed (by ulimit -u, ulimit -v or the container); "
            "raise the limit, or lower 'max_parallel'"
        )
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return (
            "no more open files are allowed (ulimit -n); raise the limit, or lower 'max_parallel'"
        )
    return ""


def format_user_frames(error: BaseException) -> str:
    """Returns ``file:line in function: code`` for each frame of the user's code, outermost first.

    If only installed packages were running, returns the function called and the place that raised.
    """
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen ")
    ]
    others = [frame for frame in frames if not frame.filename.startswith(_OURS)]
    own = [frame for frame in others if not _is_library(frame.filename)]
    chosen = own or [*others[:1], *others[-1:]] or frames[-2:]
    if len(chosen) > _MOST_FRAMES:
        chosen = [chosen[0], *chosen[1 - _MOST_FRAMES :]]
    lines = [f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}" for frame in chosen]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append(f"{error.filename}:{error.lineno}: {(error.text or '').strip()}")
    return "\n".join(dict.fromkeys(lines))


def _is_library(file: str) -> bool:
    return any(part in file for part in _LIBRARY_PARTS) or file.startswith(_library_folders())


@lru_cache(maxsize=1)
def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(
        {f"{Path(paths[name]).resolve()}/" for name in ("stdlib", "platstdlib")}
        | {f"{paths[name]}/" for name in ("stdlib", "platstdlib")}
    )
