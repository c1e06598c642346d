"""The fields for what a step keeps of what it overwrites or deletes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

from pydantic import model_validator

from rolerunner.actions.backups import Backups
from rolerunner.actions.base import Field, StepContext
from rolerunner.actions.permissions import list_permission, object_permission
from rolerunner.actions.shared_fields import RequestFields
from rolerunner.model import Permission, S3Uri
from rolerunner.selection.overlap import are_kept_apart, shared_folder
from rolerunner.spec.action_schema import FieldConflictError
from rolerunner.spec.field_types import S3Location, Text
from rolerunner.storage.pacing import Pacer


class BackupFields(RequestFields):
    """The fields for what is kept."""

    backup: Optional[S3Location] = Field(
        None,
        description=(
            "A prefix: what the step overwrites or deletes is copied below it first, by the role "
            "that writes; if that fails, the object is left as it is."
        ),
        examples=["s3://archive/replaced/${{ run.id }}/"],
    )
    backup_suffix: Optional[Text] = Field(
        None,
        description=(
            "Is added to the name of what is kept, below 'backup'; without that, it is kept beside"
            " the object."
        ),
        examples=[".${{ run.id }}"],
    )

    @model_validator(mode="after")
    def _backup_is_a_folder(self) -> Any:
        if isinstance(self.backup, S3Uri) and not self.backup.is_prefix:
            raise ValueError(f"'backup' must be a prefix that ends with '/', not '{self.backup}'")
        if self.keeps_backups and getattr(self, "distribute", None) is not None:
            raise ValueError("'backup' cannot be combined with 'distribute'")
        suffix = self.backup_suffix
        if isinstance(suffix, str) and (not suffix or "/" in suffix):
            raise ValueError("'backup_suffix' is the end of a name: some text without '/'")
        deletes_extra = getattr(self, "delete_extra", False) is not False
        if suffix is not None and self.backup is None and deletes_extra:
            raise ValueError(
                "'backup_suffix' needs 'backup' together with 'delete_extra': beside the objects,"
                " the next run would delete what this one kept"
            )
        return self

    @property
    def keeps_backups(self) -> bool:
        """True if what is overwritten or deleted is kept."""
        return self.backup is not None or self.backup_suffix is not None

    def _place_backups(self, place: S3Uri) -> S3Uri:
        """Returns where the objects of a place are kept: a prefix, or the one object."""
        if self.backup is not None:
            return self.backup
        return place if place.is_prefix else S3Uri(place.bucket, f"{place.key}{self.backup_suffix}")

    def backup_permissions(self, place: S3Uri, *, deletes: bool = False) -> list[Permission]:
        """Returns what copying from a place to the backup needs."""
        if not self.keeps_backups:
            return []
        kept = self._place_backups(place)
        looked_up = [] if deletes else [list_permission(place)]
        of_place = ("s3:GetObject", "s3:GetObjectTagging", "s3:GetObjectAnnotation")
        of_backup = (
            "s3:PutObject",
            "s3:PutObjectTagging",
            "s3:PutObjectAnnotation",
            "s3:AbortMultipartUpload",
            "s3:GetObject",
        )
        return [
            *looked_up,
            list_permission(kept),
            *(object_permission(action, place) for action in of_place),
            *(object_permission(action, kept, "backup") for action in of_backup),
        ]

    def open_backups(
        self, context: StepContext, role_field: str, within: S3Uri, pacer: Optional[Pacer] = None
    ) -> Optional[Backups]:
        """Returns where objects below ``within`` are kept; None without a backup.

        ``pacer`` is that of the step, whose limits hold for backups too.
        """
        if not self.keeps_backups:
            return None
        place = self.backup or S3Uri(within.bucket, within.key[: within.key.rfind("/") + 1])
        access = replace(self.access(), source_bucket_owner=self.expected_bucket_owner or "")
        storage = context.storage(role_field, access, pacer)
        return Backups(place, within, storage, context, self.backup_suffix or "")


def check_backup(
    backup: Any, place: Any, name: str, include: Sequence[Any] = (), exclude: Sequence[Any] = ()
) -> None:
    """Raises FieldConflictError if a backup and another place of the step overlap.

    Values with expressions are compared when the step starts.
    """
    if not (isinstance(backup, S3Uri) and isinstance(place, S3Uri)):
        return
    if not place.is_prefix:
        if backup == S3Uri(place.bucket, place.key[: len(place.key) - len(place.name)]):
            raise FieldConflictError(f"'backup' {backup} is the folder of '{name}' {place}")
        return
    shared = shared_folder(place, backup)
    if shared is None:
        return
    is_inside = len(backup.key) > len(place.key)
    globs = [each for each in (*include, *exclude) if not isinstance(each, str)]
    if is_inside and (globs or (shared and are_kept_apart(include, exclude, shared))):
        return
    one, other = ("'backup'", f"'{name}'") if is_inside else (f"'{name}'", "'backup'")
    raise FieldConflictError(
        f"{one} lies inside {other}: {backup} and {place}",
        "keep backups apart from what the step works on",
    )


def check_backup_suffix(
    suffix: Any, source: Any, target: Any, globs: tuple[list[Any], list[Any]]
) -> None:
    """Raises FieldConflictError if copies beside the target would be objects of the source."""
    if suffix is None or not (isinstance(source, S3Uri) and isinstance(target, S3Uri)):
        return
    shared = shared_folder(source, target) if source.is_prefix else None
    if shared is not None and not (shared and are_kept_apart(globs[0], globs[1], shared)):
        raise FieldConflictError(
            f"'backup_suffix' would keep copies inside 'source' {source}",
            "name a prefix apart from the source as 'backup'",
        )
