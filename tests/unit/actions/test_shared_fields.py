"""Fields that actions share: requests, limits of failures."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.shared_fields import (
    RequestFields,
    TransferFields,
)
from rolerunner.storage.protocol import Access


@pytest.mark.parametrize(
    ("said", "total", "most"),
    [
        (0, 100, 0),
        (3, 100, 3),
        (3, 1, 3),
        ("0%", 100, 0),
        ("1%", 99, 0),
        ("1%", 100, 1),
        ("5 %", 50, 2),
        ("100%", 7, 7),
    ],
)
def test_so_many_may_fail(said: Any, total: int, most: int) -> None:
    assert TransferFields(max_failures=said).may_fail(total) == most


@pytest.mark.parametrize("said", ["5", "%", "101%", "-1%", "1.5%", "x%"])
def test_other_texts_are_no_percentage(said: str) -> None:
    with pytest.raises(ValidationError, match="must be a number or a percentage such as 5%"):
        TransferFields(max_failures=said)


def test_no_more_than_the_limits_is_sent() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        TransferFields(max_requests_per_second=0)


def test_options_of_requests() -> None:
    assert RequestFields().access() == Access()
    fields = RequestFields(request_payer=True, expected_bucket_owner="111122223333")
    assert fields.access() == Access(request_payer=True, bucket_owner="111122223333")
    assert fields.access(owner="444455556666").bucket_owner == "444455556666"
    assert fields.access(customer_key="sK3-customer-key").customer_key == "sK3-customer-key"
