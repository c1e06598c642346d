"""Selects the objects that a bucket with versions had at an earlier moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo

_UNVERSIONED = ("", "null")
"""Versions of objects that were stored while their bucket kept no versions."""


def select_past_objects(
    versions: Iterable[ObjectInfo], moment: str, prefix: S3Uri
) -> Iterator[ObjectInfo]:
    """Yields the version of each key that was current at a moment, in the order of the keys.

    ``versions`` are in the order of their keys, the newest of a key first; ``moment`` has the
    format of S3's listings. Raises StepError if what was current was not kept: for an object that
    was overwritten without a version since, and, after the last object, for a bucket that keeps no
    versions.
    """
    count = kept = 0
    for key, group in groupby(versions, key=lambda info: info.key):
        current = None
        for info in group:
            count += 1
            kept += info.version not in _UNVERSIONED
            if info.modified <= moment:
                current = current or info
            elif info.version in _UNVERSIONED:
                raise _no_version_error(S3Uri(prefix.bucket, key), info, moment)
        if current is not None and not current.deleted:
            yield current
    if count and not kept:
        raise StepError(
            f"{prefix}: no object here has a version, so what was here at {moment} is not known",
            hint="'as_of' needs a bucket that keeps versions; without it, current objects are read",
            type="NoVersions",
        )


def _no_version_error(uri: S3Uri, info: ObjectInfo, moment: str) -> StepError:
    what = "deleted" if info.deleted else "written"
    return StepError(
        f"{uri} was {what} at {info.modified} without a version, so what it was at {moment} is not"
        " known",
        hint="'as_of' needs a bucket that kept versions all the time since",
        type="NoVersions",
    )
