"""An object at the target is kept if it is the same, and is an error otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from rolerunner.actions.existing_objects import require_same
from rolerunner.errors import StepError
from rolerunner.model import S3Uri


def test_the_same_is_kept() -> None:
    assert require_same(lambda: True, Path("/tmp/a"))


def test_what_differs_is_an_error() -> None:
    with pytest.raises(StepError, match=r"s3://b/k: already exists and differs") as raised:
        require_same(lambda: False, S3Uri("b", "k"))
    assert raised.value.type == "AlreadyThere"
