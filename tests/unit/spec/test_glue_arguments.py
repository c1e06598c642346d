"""Arguments of Glue jobs: which are Glue's own, and values as text."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.spec.glue_arguments import (
    format_argument,
    is_for_glue,
    is_glue_argument,
    normalize_arguments,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (1, "1"),
        ("a", "a"),
        (["a", 1], '["a", 1]'),
        ({"a": None}, '{"a": null}'),
        (None, "None"),
    ],
)
def test_a_param_as_an_argument(value: Any, text: str) -> None:
    assert format_argument(value) == text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("JOB_NAME", True),
        ("TempDir", True),
        ("enable-anything", True),
        ("extra-py-files", True),
        ("job_name", False),
        ("day", False),
        ("enable", False),
    ],
)
def test_arguments_of_glue(name: str, expected: bool) -> None:
    assert is_glue_argument(name) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("enable-metrics", True), ("some-new-thing", True), ("run-key", False), ("day", False)],
)
def test_an_unknown_argument_with_a_hyphen_is_for_glue(name: str, expected: bool) -> None:
    assert is_for_glue(name) is expected


def test_library_set_has_no_dashes() -> None:
    given = {"--library-set": "none", "--conf": "x"}
    assert normalize_arguments(given) == {"library-set": "none", "--conf": "x"}
