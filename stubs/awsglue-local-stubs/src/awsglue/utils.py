"""Reads the arguments of a job."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["GlueArgumentError", "getResolvedOptions"]

_BOOKMARK_OPTIONS = ("job-bookmark-enable", "job-bookmark-pause", "job-bookmark-disable")
_HYPHENATED = (
    "job-bookmark-from",
    "job-bookmark-to",
    "encryption-type",
    "enable-data-lineage",
)
_UNDERSCORED = ("JOB_ID", "JOB_RUN_ID", "SECURITY_CONFIGURATION")
_RESERVED = frozenset({"job-bookmark-option", *_HYPHENATED, *_UNDERSCORED, "RedshiftTempDir"})
_TEMPORARY = ("TempDir", "RedshiftTempDir")


class GlueArgumentError(Exception):
    """An argument is missing, reserved or not valid."""


class _ArgumentParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise GlueArgumentError(message)


def getResolvedOptions(
    args: Sequence[str], options: Iterable[str], allow_abbrev: bool = False
) -> dict[str, Any]:
    """Returns the arguments named by ``options`` and those that Glue itself sets, by their names.

    Parameters
    ----------
    args: the list ``sys.argv``, with the script's name first.
    options: the names to read, without their hyphens; each is required.
    allow_abbrev: accepts the beginning of a name too, which Glue up to 5.1 always does.

    Raises GlueArgumentError.

    """
    wanted = list(dict.fromkeys(options))
    reserved = [name for name in wanted if name in _RESERVED]
    if reserved:
        raise GlueArgumentError(
            f"{', '.join(reserved)}: reserved arguments may not be requested; "
            "getResolvedOptions always returns them"
        )
    parser = _build_parser(wanted, allow_abbrev=allow_abbrev)
    resolved = vars(parser.parse_known_args(list(args)[1:])[0])
    _check_bookmark_range(resolved)
    given = next((resolved[name] for name in _TEMPORARY if resolved[name] is not None), None)
    return {**resolved, **dict.fromkeys(_TEMPORARY, given)}


def _build_parser(wanted: Sequence[str], *, allow_abbrev: bool) -> argparse.ArgumentParser:
    parser = _ArgumentParser(add_help=False, allow_abbrev=allow_abbrev)
    parser.add_argument(
        "--job-bookmark-option", choices=_BOOKMARK_OPTIONS, default="job-bookmark-disable"
    )
    for name in (*_HYPHENATED, *_UNDERSCORED, "RedshiftTempDir"):
        parser.add_argument(f"--{name}")
    for name in dict.fromkeys(("TempDir", *wanted)):
        parser.add_argument(f"--{name}", required=name in wanted)
    return parser


def _check_bookmark_range(resolved: dict[str, Any]) -> None:
    ends = [resolved["job_bookmark_from"], resolved["job_bookmark_to"]]
    if ends == [None, None]:
        return
    if resolved["job_bookmark_option"] != "job-bookmark-pause" or None in ends:
        raise GlueArgumentError(
            "--job-bookmark-from and --job-bookmark-to are given together, "
            "with --job-bookmark-option job-bookmark-pause"
        )
