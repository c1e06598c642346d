"""The failure of a message that was not received, so that it may be sent again."""

from __future__ import annotations

from rolerunner.errors import StepError


class Undelivered(StepError):
    """The target did not take the message, for a reason that may pass."""
