"""Limits of what a step deletes: beyond them nothing is deleted."""

from typing import Optional

from rolerunner.actions.base import Field
from rolerunner.common.wording import format_count
from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.spec.field_types import Bytes, StrictModel


class DeletionSizeFields(StrictModel):
    """The field that limits the bytes of a deletion."""

    max_delete_size: Optional[Bytes] = Field(
        None,
        description="Maximum total size of what is deleted; if it is more, nothing is deleted.",
        examples=["10GB"],
    )


@dataclass(frozen=True)
class DeletionLimits:
    """The largest number of items, and their largest total size in bytes."""

    count: int
    size: Optional[int] = None

    def check(self, count: int, size: int, noun: str, where: str = "") -> None:
        """Raises StepError if there is more than the limits allow."""
        if count > self.count:
            raise _limit_error(
                f"{format_count(count, noun)}{where}", f"'max_delete' is {self.count:,}"
            )
        if self.size is not None and size > self.size:
            raise _limit_error(
                f"{format_count(count, noun)} of {size:,} bytes{where}",
                f"'max_delete_size' is {self.size:,} bytes",
            )


def _limit_error(what: str, limit: str) -> StepError:
    return StepError(f"{what} would be deleted, but {limit}; nothing was deleted", type="MaxDelete")
