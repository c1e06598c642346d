"""``s3.write``: the bytes and conditions of its request, and values without a form."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rolerunner.actions.builtin.s3_write import S3Write
from rolerunner.errors import StepError
from rolerunner.model import S3Uri
from rolerunner.selection.manifest import placeholder_list
from tests.unit.actions.builtin.fake import FakeStorage, make_step

TEXT = {"ContentType": "text/plain; charset=utf-8"}
JSON = {"ContentType": "application/json"}


def write(folder: Path, fields: dict[str, Any], **more: Any) -> tuple[Any, tuple[Any, ...]]:
    storage = FakeStorage({})
    action = S3Write.model_validate({"target": "s3://box/a", **fields})
    outputs = action.run(make_step(folder, storage, **more))
    return outputs, storage.sent[-1]


@pytest.mark.parametrize(
    ("fields", "body", "options"),
    [
        ({"text": ""}, b"", TEXT),
        ({"text": "\xe9"}, "\xe9".encode(), TEXT),
        ({"text": "x", "content_type": "text/csv"}, b"x", {"ContentType": "text/csv"}),
        ({"text": "x", "if_none_match": True}, b"x", {**TEXT, "IfNoneMatch": "*"}),
        ({"text": "x", "if_match": "abc"}, b"x", {**TEXT, "IfMatch": '"abc"'}),
        ({"json": None}, b"null\n", JSON),
        ({"json": {"a": [1, date(2026, 1, 2)]}}, None, JSON),
    ],
)
def test_one_request_has_the_bytes_and_the_conditions(
    tmp_path: Path, fields: dict[str, Any], body: bytes | None, options: dict[str, Any]
) -> None:
    outputs, (name, uri, sent, given, repeated) = write(tmp_path, fields)
    assert (name, uri, given, repeated) == ("write", S3Uri("box", "a"), options, False)
    assert body is None or sent == body
    assert outputs == {"object": "s3://box/a", "bytes": len(sent), "etag": "etag"}
    if body is None:
        assert b'"2026-01-02"' in sent


def test_a_list_of_objects_is_its_summary(tmp_path: Path) -> None:
    listed = placeholder_list(S3Uri("box", "in/"))
    _, (_, _, sent, *_) = write(tmp_path, {"json": {"found": listed}})
    assert b'"count": 0' in sent


def test_another_attempt_says_so(tmp_path: Path) -> None:
    assert write(tmp_path, {"text": "x"}, is_retry=True)[1][-1] is True


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"text": "a\ud83d"}, "NotText"),
        ({"json": float("nan")}, "NotJson"),
    ],
)
def test_values_without_a_form_are_errors(
    tmp_path: Path, fields: dict[str, Any], kind: str
) -> None:
    with pytest.raises(StepError, match="for s3://box/a has ") as caught:
        write(tmp_path, fields)
    assert caught.value.type == kind


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "'s3.write' takes either 'text' or 'json'"),
        ({"text": "x", "json": 1}, "'s3.write' takes either 'text' or 'json'"),
        (
            {"text": "x", "if_none_match": True, "if_match": "a"},
            "'if_none_match' and 'if_match' exclude each other",
        ),
    ],
)
def test_fields_that_exclude_each_other(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        S3Write.model_validate({"target": "s3://box/a", **fields})


def test_permissions_are_to_write_and_for_if_match_to_read() -> None:
    def actions(**fields: Any) -> list[str]:
        made = S3Write.model_validate({"target": "s3://box/a", "text": "x", **fields})
        return [each.action for each in made.permissions()["role"]]

    assert actions() == ["s3:PutObject"]
    assert actions(if_none_match=True) == ["s3:PutObject"]
    assert actions(if_match="e") == ["s3:PutObject", "s3:GetObject"]
