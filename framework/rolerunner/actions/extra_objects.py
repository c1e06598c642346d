"""The objects under a target that the source of a step does not have."""

from collections.abc import Callable
from typing import Optional

from rolerunner.actions.backups import Backups
from rolerunner.actions.base import StepContext
from rolerunner.actions.deletion_limits import DeletionLimits
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.selection.filters import Selection
from rolerunner.selection.manifest import ObjectList
from rolerunner.selection.names import NameSet
from rolerunner.selection.source_files import SourceFile
from rolerunner.storage.protocol import Storage

IsKept = Callable[[str, str], bool]
"""Returns True if the source has the object of a key, which is also given relative to the target.
"""
_CANCEL_EVERY = 1000


class SourceKeys:
    """The keys of a source's files; below an unreadable folder any key may be one."""

    def __init__(self) -> None:
        self._keys = NameSet()
        self._unreadable: set[str] = set()

    def add_file(self, file: SourceFile, key: str) -> None:
        """Adds a file, which would be stored under ``key``."""
        self._keys.add(key)
        if file.problem is not None:
            self._unreadable.add(file.relative)

    def keep_all(self) -> None:
        """Keeps every object, because a file's key cannot be told."""
        self._unreadable.add("")

    def __bool__(self) -> bool:
        return bool(self._keys)

    def has(self, key: str, relative: str) -> bool:
        """Returns True unless the source has no such file for certain."""
        if key in self._keys or "" in self._unreadable:
            return True
        return bool(self._unreadable) and any(
            relative[:at] in self._unreadable for at, each in enumerate(relative) if each == "/"
        )


def find_extra_objects(
    place: S3Uri,
    is_kept: IsKept,
    selection: Selection,
    limits: DeletionLimits,
    storage: Storage,
    context: StepContext,
) -> ObjectList:
    """Lists to disk what ``place`` has and the source does not.

    Objects whose names the globs leave out are kept, and so is the marker of the folder itself.
    Raises StepError if there are more than ``limits`` allow.
    """
    with context.manifest(".extra") as manifest:
        listed = storage.list(place, cancel=context.cancel) if place.is_prefix else ()
        for number, info in enumerate(listed, 1):
            relative = info.key[len(place.key) :]
            if relative and selection.matches_name(relative) and not is_kept(info.key, relative):
                manifest.add_object(info)
                where = f" or more under {place}"
                limits.check(manifest.count, manifest.bytes, "object", where)
            if number % _CANCEL_EVERY == 0:
                context.cancel.stop_if_set()
    return manifest.objects(place)


def delete_extra_objects(
    extra: ObjectList,
    storage: Storage,
    context: StepContext,
    stored: Optional[ObjectList] = None,
    backups: Optional[Backups] = None,
) -> int:
    """Deletes extra objects, except those ``stored`` meanwhile, and returns their number.

    With ``backups`` each is kept there first.

    Raises StepError if some could not be deleted.
    """
    if not extra.count:
        return 0
    own = _find_common_keys(extra, stored) if stored is not None else frozenset()
    doomed = (info for info in extra if info.key not in own)
    count = failed = 0
    first: Optional[StepError] = None
    bucket = extra.prefix.bucket
    outcomes = (
        storage.delete(doomed, bucket, context.cancel)
        if backups is None
        else backups.delete(doomed, bucket, extra.relative)
    )
    for outcome in outcomes:
        count += 1
        if outcome.error is not None:
            failed += 1
            first = first or outcome.error
    if first is not None:
        raise StepError(
            f"{failed:,} of {count:,} extra objects were not deleted: {first.message}",
            hint=first.hint,
            type=first.type,
        )
    context.cancel.stop_if_set()
    return count


def _find_common_keys(extra: ObjectList, stored: ObjectList) -> frozenset[str]:
    names = NameSet()
    for info in extra:
        names.add(info.key)
    return frozenset(info.key for info in stored if info.key in names)
