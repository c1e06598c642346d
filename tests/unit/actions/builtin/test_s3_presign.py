"""``s3.presign``: fields of each method, limits, permissions, and the end of a session."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.builtin.s3_presign import S3Presign, _seal_url
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.redaction.secrets import SecretValue
from tests.unit.actions.builtin.fake import FakeStorage, make_step
from tests.unit.actions.context import Recorded

if TYPE_CHECKING:
    from pathlib import Path

OBJECT = "s3://box/a"


def create(**fields: Any) -> S3Presign:
    return S3Presign.model_validate({"source": OBJECT, **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"expires": "8d"}, "less than or equal to"),
        ({"expires": 0}, "greater than or equal to"),
        ({"limit": 1001}, "less than or equal to 1000"),
        ({"response_headers": {"etag": "x"}}, "has 'etag', and S3 takes cache_control"),
        ({"content_type": "text/csv"}, "'content_type' does not apply to 'method: GET'"),
        ({"method": "PUT", "version": "v"}, "'version' does not apply to 'method: PUT'"),
        (
            {"method": "PUT", "response_headers": {"content_type": "x"}},
            "'response_headers' does not apply to 'method: PUT'",
        ),
        (
            {"source": None, "objects": [OBJECT], "version": "v"},
            "'version' applies to 'source' only",
        ),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        create(**fields)


@pytest.mark.parametrize(
    ("fields", "actions"),
    [
        ({}, ["s3:ListBucket", "s3:GetObject"]),
        ({"version": "v"}, ["s3:ListBucket", "s3:GetObject", "s3:GetObjectVersion"]),
        ({"method": "PUT"}, ["s3:PutObject"]),
        ({"source": None, "objects": [OBJECT]}, ["s3:GetObject", "s3:GetObjectVersion"]),
    ],
)
def test_what_the_urls_use_is_needed(fields: dict[str, Any], actions: list[str]) -> None:
    assert [each.action for each in create(**fields).permissions()["role"]] == actions


def test_a_key_is_needed_to_store_under_it() -> None:
    encryption = {"type": "aws:kms", "key": "alias/orders"}
    needed = create(method="PUT", encryption=encryption).permissions()["role"]
    assert "kms:GenerateDataKey" in {each.action for each in needed}


def test_objects_to_store_need_not_exist(tmp_path: Path) -> None:
    action = create(method="PUT", source=None, objects=["s3://box/a", "s3://box/b"])
    assert action.list_read_fields() == ()
    assert action.survey(make_step(tmp_path, FakeStorage({}))) == {"count": 2}


def test_more_objects_than_the_limit_are_an_error(tmp_path: Path) -> None:
    action = create(method="PUT", source=None, objects=["s3://box/a", "s3://box/b"], limit=1)
    with pytest.raises(StepError, match="2 URLs would be made, but 'limit' is 1") as caught:
        action.survey(make_step(tmp_path, FakeStorage({})))
    assert (caught.value.type, "up to 1,000" in caught.value.hint) == ("Limit", True)


@pytest.mark.parametrize("path", [("url",), ("urls",), ("urls", "0")])
def test_urls_are_secret_outputs(path: tuple[str, ...]) -> None:
    assert S3Presign.is_secret_output({}, path)
    assert not S3Presign.is_secret_output({}, ("uris",))


def find_end(
    folder: Path, seconds: float | None, recorded: Recorded, **fields: Any
) -> tuple[float, float]:
    """Returns how long the URLs are valid, and how long was wanted, for a session so long."""
    expiry = None if seconds is None else time.time() + seconds
    sessions: Any = SimpleNamespace(assume=lambda _: None, find_expiry=lambda _: expiry)
    context = make_step(folder, FakeStorage({}), recorded, sessions=sessions)
    action = create(**fields)
    end = action._find_end(context, context.roles["role"])
    return end - time.time(), action.expires


def test_urls_end_when_they_should_in_a_longer_session(tmp_path: Path) -> None:
    recorded = Recorded()
    for seconds in (None, 3600.0):
        left, wanted = find_end(tmp_path, seconds, recorded, expires="30m")
        assert left == pytest.approx(wanted, abs=5)
    assert recorded.notes == []


def test_urls_end_with_their_session(tmp_path: Path) -> None:
    recorded = Recorded()
    with pytest.raises(StepError) as caught:
        find_end(tmp_path, 600.0, recorded, expires="30m")
    assert caught.value.type == "ShortSession"
    assert "lower 'expires'" in caught.value.hint
    left, _ = find_end(tmp_path, 600.0, recorded, expires="30m", on_short_session="warn")
    assert left == pytest.approx(600, abs=5)
    ((level, message, _),) = recorded.notes
    assert (level, "before 'expires' (1800 s)" in message) == ("warning", True)


def test_the_end_of_the_jobs_own_session_is_not_known(tmp_path: Path) -> None:
    recorded = Recorded()
    find_end(tmp_path, None, recorded, expires="2h")
    ((level, message, _),) = recorded.notes
    assert (level, "whose end is not known here" in message) == ("warning", True)


URL = "https://box.s3.amazonaws.com/a?X-Amz-Signature=0123456789abcdef01&X-Amz-SignedHeaders="


def test_a_url_is_a_secret() -> None:
    sealed = _seal_url(f"{URL}content-type%3Bhost", {"content-type": "x"}, S3Uri("box", "a"))
    assert isinstance(sealed, SecretValue)


@pytest.mark.parametrize(
    "url", [f"{URL}host%3Bx-amz-other", "https://box.s3.amazonaws.com/a?X-Amz-SignedHeaders=host"]
)
def test_a_header_that_nobody_knows_of_is_an_error(url: str) -> None:
    with pytest.raises(StepError) as caught:
        _seal_url(url, {}, S3Uri("box", "a"))
    assert caught.value.type == "UnexpectedSignature"
    assert "0123456789" not in str(caught.value)
