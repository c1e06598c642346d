"""Resolves targets without a trailing ``/``, alike for the work and for the permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from rolerunner.model import S3Uri


def resolve_target(target: S3Uri, *, to_folder: bool) -> S3Uri:
    """The folder that several files or objects go below, with ``/`` at its end; else the one object that ``target`` names.

    A target with ``/`` at its end is a folder in any case.
    """
    return target.as_folder() if to_folder else target


def possible_targets(target: S3Uri, *, to_folder: Optional[bool]) -> tuple[S3Uri, ...]:
    """The places that permissions must cover. None: whether it is a folder shows only when the step runs."""
    if target.key.endswith("*"):  # stands for what is not known yet, and covers all below it
        return (target,)
    if to_folder is None:
        return tuple(dict.fromkeys((target, target.as_folder())))
    return (resolve_target(target, to_folder=to_folder),)
