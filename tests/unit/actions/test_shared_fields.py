"""Fields that actions share: filters, requests, limits of failures."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.shared_fields import (
    FilterFields,
    RequestFields,
    TransferFields,
    read_globs,
)
from rolerunner.selection import filters
from rolerunner.spec.expressions import parse_template
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


def test_an_empty_filter_selects_everything() -> None:
    assert FilterFields().selection() == filters.Selection()
    assert FilterFields().selection().selects_everything


def test_ages_count_from_now() -> None:
    before = datetime.now(timezone.utc)
    chosen = FilterFields(min_age=3600.0, max_age=7200.0).selection()
    limits = [
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        for text in (chosen.before, chosen.after)
    ]
    assert [round((before - each).total_seconds() / 60) for each in limits] == [60, 120]


@pytest.mark.parametrize("glob", ["[a-", "{a", "**/{1..99999}"])
def test_globs_are_checked(glob: str) -> None:
    with pytest.raises(ValidationError):
        FilterFields(include=[glob])
    with pytest.raises(ValidationError):
        FilterFields(exclude=[glob])


def test_globs_are_read_from_fields_with_mistakes() -> None:
    template = parse_template("${{ params.x }}")
    assert read_globs({}) == ([], [])
    assert read_globs({"include": ["a", 1, template], "exclude": "b"}) == (["a", template], ["b"])
    assert read_globs({"include": {"a": 1}, "exclude": None}) == ([], [])
