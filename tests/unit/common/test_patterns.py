from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from rolerunner.common.patterns import compile_on_use


def test_a_pattern_is_compiled_once_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    compile_now = re.compile

    def compile_and_note(*arguments: Any) -> Any:
        compiled.append(arguments)
        return compile_now(*arguments)

    monkeypatch.setattr(re, "compile", compile_and_note)
    pattern = compile_on_use("a(b)", re.IGNORECASE)
    assert compiled == []
    found = [pattern.search(text) for text in ("xAB", "AB", "c")]
    assert [match and match.group(1) for match in found] == ["B", "B", None]
    assert compiled == [("a(b)", re.IGNORECASE)]
    assert compile_on_use(rb"a+").sub(b"", b"aab") == b"b"


def test_a_pattern_has_the_attributes_of_the_compiled_one() -> None:
    pattern = compile_on_use("a(?P<rest>b)")
    assert (pattern.pattern, pattern.groups, dict(pattern.groupindex)) == (
        "a(?P<rest>b)",
        1,
        {"rest": 1},
    )
    assert copy.copy(pattern).fullmatch("ab")
    with pytest.raises(AttributeError):
        pattern.none  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(re.error):
        compile_on_use("(").match("")
