"""Resolves targets without a trailing ``/``, alike for the work and for the permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from rolerunner.model import S3Uri


def resolve_target(target: S3Uri, *, to_folder: bool) -> S3Uri:
    """Returns the folder for several files or objects, or the single object of ``target``.

    A target with ``/`` at its end is a folder in any case.
    """
    return target.as_folder() if to_folder else target


def possible_targets(target: S3Uri, *, to_folder: Optional[bool]) -> tuple[S3Uri, ...]:
    """Returns the targets that permissions must cover.

    ``to_folder`` is None if only the run can tell whether the target is a folder.
    """
    if target.key.endswith("*"):  # stands for what is not known yet, and covers all below it
        return (target,)
    if to_folder is None:
        return tuple(dict.fromkeys((target, target.as_folder())))
    return (resolve_target(target, to_folder=to_folder),)
