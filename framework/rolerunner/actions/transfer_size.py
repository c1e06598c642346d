"""A limit of the bytes that a step transfers: beyond it nothing is transferred."""

from collections.abc import Callable
from typing import Optional

from rolerunner.actions.base import Field
from rolerunner.actions.object_plans import ObjectPlan, Report
from rolerunner.common.wording import format_count
from rolerunner.errors import StepError
from rolerunner.spec.field_types import Bytes, StrictModel


class TransferSizeFields(StrictModel):
    """The field that limits the bytes of a step."""

    max_transfer: Optional[Bytes] = Field(
        None,
        description=(
            "Maximum total size of what is transferred; if it is more, nothing is. What"
            " 'if_exists' skips does not count, and is looked up once more for that."
        ),
        examples=["500GB"],
    )

    def check_transfer_size(self, plan: Callable[[Report], None]) -> None:
        """Raises StepError if ``plan`` reports that more would be sent than the limit allows."""
        if self.max_transfer is None:
            return
        count = size = 0

        def add(each: ObjectPlan) -> None:
            nonlocal count, size
            if each.does == "send":
                count, size = count + 1, size + (each.size or 0)

        plan(add)
        if size > self.max_transfer:
            raise StepError(
                f"{format_count(count, 'object')} of {size:,} bytes would be transferred, but"
                f" 'max_transfer' is {self.max_transfer:,} bytes; nothing was transferred",
                hint="raise 'max_transfer' if so much is intended, or narrow the selection",
                type="MaxTransfer",
            )
