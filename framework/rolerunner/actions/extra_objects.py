"""The objects under a target that the source of an upload does not have."""

from collections.abc import Iterable, Mapping

from rolerunner.actions.base import StepContext
from rolerunner.actions.upload_items import target_object
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.selection.manifest import ObjectList
from rolerunner.selection.names import name_digest
from rolerunner.selection.source_files import SourceFile
from rolerunner.storage.protocol import ObjectInfo, Storage


class SourceKeys:
    """The keys of a source's files; below an unreadable folder any key may be one."""

    def __init__(self, files: Iterable[SourceFile], place: S3Uri) -> None:
        self._keys: set[bytes] = set()
        self._unreadable: set[str] = set()
        for file in files:
            self._keys.add(name_digest(target_object(place, file.relative).key))
            if file.problem is not None:
                self._unreadable.add(file.relative)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def has(self, key: str, relative: str) -> bool:
        """Returns True unless the source has no such file for certain."""
        if name_digest(key) in self._keys or "" in self._unreadable:
            return True
        return bool(self._unreadable) and any(
            relative[:at] in self._unreadable for at, each in enumerate(relative) if each == "/"
        )


def delete_extra_objects(
    extra: Mapping[str, ObjectInfo], stored: ObjectList, storage: Storage, context: StepContext
) -> int:
    """Deletes extra objects, except those stored meanwhile, and returns their number.

    Raises StepError if some could not be deleted.
    """
    if not extra:
        return 0
    own = {info.key for info in stored if info.key in extra}
    doomed = [info for key, info in extra.items() if key not in own]
    outcomes = list(storage.delete(doomed, stored.prefix.bucket, context.cancel))
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    if failed:
        first = failed[0]
        raise StepError(
            f"{len(failed):,} of {len(doomed):,} extra objects were not deleted: {first.message}",
            hint=first.hint,
            type=first.type,
        )
    return len(doomed)
