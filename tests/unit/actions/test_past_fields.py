"""Fields that read objects as they were: moments, versions, and what excludes them."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.past_fields import PastFields, check_past_fields
from rolerunner.model import S3Uri
from rolerunner.storage.protocol import ObjectInfo

PREFIX, OBJECT = S3Uri("box", "in/"), S3Uri("box", "in/a")
EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        (" 2026-01-31T06:30:00Z ", "2026-01-31T06:30:00Z"),
        ("2026-01-31T06:30:00+02:00", "2026-01-31T04:30:00Z"),
        (date(2026, 1, 31), "2026-01-31T00:00:00Z"),
        (datetime(2026, 1, 31, 6, tzinfo=EAST), "2026-01-31T04:00:00Z"),
    ],
)
def test_a_moment_is_in_the_format_of_listings(value: Any, moment: str) -> None:
    assert PastFields(as_of=value).as_of == moment


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("yesterday", "must be a moment such as 2026-01-31T00:00:00Z, or a date, not 'yesterday'"),
        ("2026-01-31T06:30:00", "add its time zone, such as Z"),
        (5, "valid string"),
    ],
)
def test_what_is_no_moment(value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PastFields(as_of=value)


@pytest.mark.parametrize(
    ("fields", "actions"),
    [
        ({}, ("s3:ListBucket", "s3:GetObject")),
        ({"version": "v1"}, ("s3:ListBucket", "s3:GetObjectVersion")),
        ({"as_of": "2026-01-31"}, ("s3:ListBucketVersions", "s3:GetObjectVersion")),
    ],
)
def test_versions_need_other_permissions(fields: dict[str, Any], actions: tuple[str, str]) -> None:
    step = PastFields.model_validate(fields)
    assert (step.list_action(), step.past_action("s3:GetObject")) == actions
    assert step.past_action("s3:Unknown") == "s3:Unknown"


def test_all_versions_are_kept_without_a_moment() -> None:
    versions = [ObjectInfo("in/a", 1, version="v2"), ObjectInfo("in/a", 1, version="v1")]
    assert list(PastFields().select_past(versions, PREFIX)) == versions


def test_of_each_object_the_last_version_before_the_moment_is_kept() -> None:
    versions = [
        ObjectInfo("in/a", 1, modified="2026-02-02T00:00:00Z", version="v3"),
        ObjectInfo("in/a", 1, modified="2026-01-30T00:00:00Z", version="v2"),
        ObjectInfo("in/a", 1, modified="2026-01-29T00:00:00Z", version="v1"),
    ]
    kept = PastFields(as_of="2026-01-31").select_past(versions, PREFIX)
    assert [each.version for each in kept] == ["v2"]


@pytest.mark.parametrize(
    ("fields", "move", "message"),
    [
        ({"version": "v", "source": PREFIX}, False, "'version' requires a 'source' that is one"),
        ({"version": "v", "source": None}, False, "'version' requires a 'source' that is one"),
        ({"as_of": "x", "source": None}, False, "'as_of' requires a 'source'"),
        ({"as_of": "x", "version": "v", "source": OBJECT}, False, "exclude each other"),
        ({"version": "v", "source": OBJECT}, True, "'move' cannot delete what 'version' names"),
        ({"as_of": "x", "source": PREFIX}, True, "'move' cannot delete what 'as_of' names"),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, Any], move: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_past_fields(SimpleNamespace(**fields), move=move)


@pytest.mark.parametrize(
    "fields", [{"version": "v", "source": OBJECT}, {"as_of": "x", "source": PREFIX}, {}]
)
def test_fields_that_do(fields: dict[str, Any]) -> None:
    check_past_fields(SimpleNamespace(**fields))
    check_past_fields(SimpleNamespace(source=PREFIX), move=True)
