"""The limit of the bytes that a step transfers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolerunner.actions.object_plans import ObjectPlan
from rolerunner.actions.transfer_size import TransferSizeFields
from rolerunner.errors import StepError

if TYPE_CHECKING:
    from rolerunner.actions.object_plans import Report


def plan(report: Report) -> None:
    report(ObjectPlan("send", "a", "", size=700))
    report(ObjectPlan("skip", "b", "", size=5000))
    report(ObjectPlan("send", "c", "", size=500))


def test_only_what_would_be_sent_counts() -> None:
    TransferSizeFields(max_transfer=1200).check_transfer_size(plan)
    with pytest.raises(StepError) as caught:
        TransferSizeFields(max_transfer=1199).check_transfer_size(plan)
    assert str(caught.value) == (
        "2 objects of 1,200 bytes would be transferred, but 'max_transfer' is 1,199 bytes;"
        " nothing was transferred"
    )
    assert caught.value.type == "MaxTransfer"


def test_without_a_limit_nothing_is_looked_up() -> None:
    TransferSizeFields().check_transfer_size(lambda _: pytest.fail("looked up"))
