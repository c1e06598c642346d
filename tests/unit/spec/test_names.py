"""Names of steps, roles and params."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import TypeAdapter

from rolerunner.spec.names import Name, check_name


@pytest.mark.parametrize("name", ["a", "Z", "a-b_c9", "a" * 64])
def test_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "9a", "-a", "_a", "a b", "a.b", "\xe9", "a\n", "a" * 65])
def test_other_texts_are_no_names(name: str) -> None:
    with pytest.raises(ValueError, match="is not a name: a letter, then up to 63 letters"):
        check_name(name)
    pattern = TypeAdapter(Name).json_schema()["pattern"]
    assert name == "a\n" or not re.search(pattern, name), "the schema refuses it too"


@pytest.mark.parametrize("value", [None, 1, ["a"]])
def test_values_of_other_types_are_for_pydantic(value: Any) -> None:
    assert check_name(value) == value
