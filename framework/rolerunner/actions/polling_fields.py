"""Fields of actions that call a service in a region, and wait for what it does."""

from typing import Any, Optional

from rolerunner.actions.base import Field
from rolerunner.spec.field_types import StrictModel, Text


class RegionFields(StrictModel):
    """The field for the region of a service."""

    region: Optional[Text] = Field(
        None, description="The region, if not that of the role.", examples=["us-east-1"]
    )


def interval_field(default: float, between: str, *, example: str = "30s") -> Any:
    """Returns the field for the seconds between two polls, such as 'two listings'."""
    description = f"Time between {between}, plus or minus 20 percent."
    return Field(default, description=description, examples=[example])


def growing_interval_field(default: float, polled: str, *, example: str = "30s") -> Any:
    """Returns the field for the longest time between two polls, which are more often at first."""
    description = f"Longest time between two looks at {polled}, plus or minus 20 percent."
    return Field(default, description=description, examples=[example])


def max_wait_field(default: float, *, then: str = "the step fails", example: str = "2h") -> Any:
    """Returns the field for the seconds after which an action waits no longer."""
    description = f"Maximum time to wait; then {then}."
    return Field(default, description=description, examples=[example])
