from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from rolerunner.sessions.timestamps import parse_timestamp

MOMENT = datetime(2026, 1, 31, 2, 3, 4, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T02:03:04Z", MOMENT),
        ("2026-01-31T02:03:04.567Z", MOMENT.replace(microsecond=567000)),
        ("2026-01-31T02:03:04.567891Z", MOMENT.replace(microsecond=567891)),
        ("Sat, 31 Jan 2026 02:03:04 GMT", MOMENT),
        ("2026-01-31T02:03:04+00:00", MOMENT),
        (MOMENT.timestamp(), MOMENT),
    ],
)
def test_every_form_of_a_timestamp_is_parsed(text: object, moment: datetime) -> None:
    assert parse_timestamp(text) == moment


@pytest.mark.parametrize("text", ["2026-13-31T02:03:04Z", "2026-01-31T02:03:xxZ"])
def test_a_moment_that_does_not_exist_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=text[:10]):
        parse_timestamp(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T02:03:04Z", MOMENT),
        ("2026-01-31T02:03:04.567Z", MOMENT.replace(microsecond=567000)),
    ],
)
def test_the_forms_of_listings_are_parsed_without_botocore(
    text: str, moment: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.utils.parse_timestamp", None)
    assert parse_timestamp(text) == moment


def test_an_offset_is_no_fraction_of_a_second() -> None:
    assert parse_timestamp("2026-01-31T02:03:04+0100") == MOMENT - timedelta(hours=1)
