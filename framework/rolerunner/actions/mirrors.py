"""Fields of steps that delete what their target has and their source does not."""

from typing import Any, ClassVar, Optional

from pydantic import model_validator

from rolerunner.actions.base import Field
from rolerunner.actions.deletion_limits import DeletionLimits, DeletionSizeFields
from rolerunner.actions.shared_fields import MaxDelete
from rolerunner.model import S3Uri
from rolerunner.spec.field_types import Flag


class MirrorFields(DeletionSizeFields):
    """Fields that make a target the mirror of its source."""

    extra_noun: ClassVar[str] = "object"
    """The noun for an item of the target: object or file."""

    delete_extra: Flag = Field(
        False,
        description=(
            "Delete what target has and the source does not; needs max_delete. Filters make nothing"
            " extra that the source has."
        ),
        examples=[True],
    )
    max_delete: Optional[MaxDelete] = Field(
        None,
        description="Maximum number of deletions; if there are more, nothing is deleted.",
        examples=[100],
    )

    @model_validator(mode="after")
    def _is_bounded(self) -> Any:
        if self.delete_extra is True and self.max_delete is None:
            raise ValueError(
                "'delete_extra' needs 'max_delete', the maximum number of"
                f" {self.extra_noun}s to delete"
            )
        if self.delete_extra is False and self.max_delete_size is not None:
            raise ValueError("'max_delete_size' goes with 'delete_extra'")
        return self

    def deletion_limits(self) -> DeletionLimits:
        """Returns the limits of what is extra."""
        return DeletionLimits(self.max_delete or 0, self.max_delete_size)


def check_copy_mirror(source: Any, target: Any, *, move: bool) -> None:
    """Raises ValueError unless it is clear what a copy's source has and what is extra.

    Source and target may be templates; the source is None for a copy of listed objects.
    """
    if source is None or (isinstance(source, S3Uri) and not source.is_prefix):
        raise ValueError(
            "'delete_extra' needs a 'source' that ends with '/':"
            " one object, or a list, does not tell what is extra at the target"
        )
    if move:
        raise ValueError(
            "'move' and 'delete_extra' exclude each other:"
            " a move empties its source, so the next run would delete what this one moved"
        )
    if _is_bucket(target) and not _is_bucket(source):
        raise ValueError(
            "'delete_extra' cannot be used on a whole bucket, unless the source is a whole"
            " bucket too; name a prefix"
        )


def _is_bucket(value: Any) -> bool:
    return isinstance(value, S3Uri) and not value.key
