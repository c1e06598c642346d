"""``s3.read``: text and JSON, errors of content, permissions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rolerunner.actions.builtin.s3_read import S3Read
from rolerunner.errors import StepError
from tests.unit.actions.builtin.fake import FakeStorage, make_step


def read(folder: Path, body: bytes, key: str = "a.txt", **fields: Any) -> Any:
    step = make_step(folder, FakeStorage({key: body}))
    action = S3Read.model_validate({"source": f"s3://box/{key}", **fields})
    return action.run(step)


@pytest.mark.parametrize(
    ("key", "fields", "body", "outputs"),
    [
        ("a.txt", {}, b"", {"text": "", "json": None, "bytes": 0}),
        ("a.txt", {}, b"\xef\xbb\xbf\xc3\xa9", {"text": "\xe9", "json": None, "bytes": 5}),
        ("a.json", {}, b"[1]", {"text": "[1]", "json": [1], "bytes": 3}),
        ("a.json", {"format": "text"}, b"[1]", {"text": "[1]", "json": None, "bytes": 3}),
        ("a.txt", {"format": "json"}, b"null", {"text": "null", "json": None, "bytes": 4}),
        ("a.jsonl", {}, b"{", {"text": "{", "json": None, "bytes": 1}),
    ],
)
def test_outputs(
    tmp_path: Path, key: str, fields: dict[str, Any], body: bytes, outputs: dict[str, Any]
) -> None:
    assert read(tmp_path, body, key, **fields) == outputs


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"ab\xff", "NotText", "s3://box/a.json: not UTF-8 text (at byte 2)"),
        (b"{", "NotJson", "s3://box/a.json: not JSON: "),
        (b"NaN", "NotJson", "s3://box/a.json: not JSON: "),
        (b"", "NotJson", "s3://box/a.json: not JSON: "),
    ],
)
def test_other_content_is_an_error(tmp_path: Path, body: bytes, kind: str, message: str) -> None:
    with pytest.raises(StepError) as caught:
        read(tmp_path, body, "a.json")
    assert caught.value.type == kind
    assert str(caught.value).startswith(message)


def test_one_request_with_the_limit_and_the_version(tmp_path: Path) -> None:
    storage = FakeStorage({"a": b"x"})
    fields = {"source": "s3://box/a", "max_bytes": "2KiB", "version": "v1"}
    S3Read.model_validate(fields).run(make_step(tmp_path, storage))
    (_, (name, uri, most, version)) = storage.sent
    assert (name, str(uri), most, version) == ("read", "s3://box/a", 2048, "v1")


@pytest.mark.parametrize(
    ("fields", "actions"),
    [
        ({}, ["s3:ListBucket", "s3:GetObject"]),
        ({"version": "v"}, ["s3:ListBucket", "s3:GetObjectVersion"]),
    ],
)
def test_permissions(fields: dict[str, Any], actions: list[str]) -> None:
    action = S3Read.model_validate({"source": "s3://box/a", **fields})
    found = action.permissions()["role"]
    assert [each.action for each in found] == actions
    assert [each.resource for each in found] == ["arn:aws:s3:::box", "arn:aws:s3:::box/a"]
