"""Digests of inputs."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from rolerunner.model import S3Uri
from rolerunner.redaction.secrets import register_secret
from rolerunner.run.state.fingerprint import fingerprint
from rolerunner.selection.manifest import ObjectList
from rolerunner.spec.object_templates import ObjectTemplate


@pytest.mark.parametrize(
    ("one", "other"), [({"a": 1, "b": 2}, {"b": 2, "a": 1}), ((1, 2), [1, 2])], ids=str
)
def test_equal_inputs_have_one_digest(one: Any, other: Any) -> None:
    assert fingerprint({"x": one}) == fingerprint({"x": other})


@pytest.mark.parametrize(
    ("one", "other"), [(1, "1"), ([1, 2], [2, 1]), (date(2026, 1, 1), date(2026, 1, 2))], ids=str
)
def test_different_inputs_differ(one: Any, other: Any) -> None:
    assert fingerprint({"x": one}) != fingerprint({"x": other})


def test_a_digest_has_32_hexadecimal_characters() -> None:
    (digest,) = fingerprint({"x": 1}).values()
    assert len(digest) == 32
    assert int(digest, 16)


def test_a_secret_counts_as_its_mask() -> None:
    """The digest of a short secret could be guessed, so a changed secret changes nothing."""
    secret = fingerprint({"x": register_secret("secret-of-test-fingerprint")})
    assert secret == fingerprint({"x": "[redacted]"})
    assert secret == fingerprint({"x": register_secret("another-of-test-fingerprint")})


@pytest.mark.parametrize(
    ("old", "new", "is_equal"),
    [
        ('"size": 1', '"size":  1', True),
        ('"key": "in/a"', '"key": "in/b"', False),
        ('"size": 1', '"size": 2', False),
        ('"etag": "e"', '"etag": "f"', False),
        ('"version": ""', '"version": "v"', False),
    ],
)
def test_a_list_counts_by_its_objects(old: str, new: str, is_equal: bool, tmp_path: Path) -> None:
    line = '{"key": "in/a", "size": 1, "etag": "e", "modified": "", "version": ""}\n'
    lists = []
    for name, text in (("one", line), ("two", line.replace(old, new))):
        (tmp_path / name).write_text(text)
        lists.append(ObjectList(tmp_path / name, S3Uri("b", "in/"), 1, 1))
    one, two = (fingerprint({"x": {"objects": each}}) for each in lists)
    assert (one == two) is is_equal


def test_templates_of_objects_count_by_their_text_and_inputs() -> None:
    templates = [
        ObjectTemplate((text,), {"params.n": number}, {}) for text in ("a", "b") for number in "12"
    ]
    digests = {fingerprint({"x": each})["x"] for each in templates}
    assert len(digests) == 4
    assert fingerprint({"x": ["a", {"params.n": "1"}]})["x"] in digests


def test_another_value_counts_by_its_text() -> None:
    assert fingerprint({"x": Path("a")}) == fingerprint({"x": "a"})


def test_lists_of_other_prefixes_differ(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("")
    one, two = (ObjectList(tmp_path / "list", S3Uri("b", key), 0, 0) for key in ("in/", "out/"))
    assert fingerprint({"x": one}) != fingerprint({"x": two})
