"""Decides about objects and files that exist at a target, as ``if_exists`` says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Union

from rolerunner.errors import StepError
from rolerunner.model import S3Uri

LOOKS = ("skip", "skip_same", "fail_different")
"""Values of ``if_exists`` by which targets are looked up."""
COMPARES = ("skip_same", "fail_different")
"""Values by which a target is compared with its source."""
NEVER_OVERWRITES = ("fail", "fail_different")


def require_same(is_same: Callable[[], bool], target: Union[S3Uri, Path]) -> bool:
    """Returns True if the target is the same; raises StepError otherwise."""
    if is_same():
        return True
    raise StepError(
        f"{target}: already exists and differs ('if_exists: fail_different')", type="AlreadyThere"
    )
