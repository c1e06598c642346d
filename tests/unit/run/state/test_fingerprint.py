"""Digests of inputs."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from rolerunner.run.state.fingerprint import fingerprint


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
