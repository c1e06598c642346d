"""The names of the first pass over a step's objects, kept for later passes."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.actions.name_store import NameStore
from rolerunner.actions.object_names import ObjectNamer
from rolerunner.errors import UnsafeKey
from rolerunner.spec.expressions import parse_template
from rolerunner.spec.object_templates import bind_template


class CountingNamer(ObjectNamer):
    """Counts the names that it works out."""

    def __init__(self, text: str) -> None:
        super().__init__(bind_template(parse_template(text), {}), flatten=False)
        self.worked_out = 0

    def name(self, *values: Any) -> str:
        self.worked_out += 1
        return super().name(*values)


def names_of(store: NameStore, *relatives: str) -> list[str]:
    name_of = store.begin_pass()
    return [name_of(f"in/{each}", each, 1, "", number) for number, each in enumerate(relatives, 1)]


def test_names_are_worked_out_once() -> None:
    namer = CountingNamer("${{ object.stem }}-${{ object.number }}")
    store = NameStore(namer)
    origins = ["a.csv", "x/é.csv", "x/b\udcff", "c"]
    expected = ["a-1", "é-2", "b\udcff-3", "c-4"]
    assert [names_of(store, *origins) for _ in range(3)] == [expected] * 3
    assert namer.worked_out == 4


def test_names_with_line_ends_are_worked_out_again() -> None:
    store = NameStore(CountingNamer("${{ object.name }}-${{ object.number }}"))
    origins = ["a\nb", "c\rd", "e"]
    assert [names_of(store, *origins) for _ in range(2)] == [["a\nb-1", "c\rd-2", "e-3"]] * 2


def test_an_object_without_a_name_has_none_again() -> None:
    store = NameStore(CountingNamer("${{ object.name | replace('bad', '..') }}"))
    for _ in range(2):
        name_of = store.begin_pass()
        assert name_of("a", "a", 1, "", 1) == "a"
        with pytest.raises(UnsafeKey):
            name_of("bad", "bad", 1, "", 2)
        assert name_of("c", "c", 1, "", 3) == "c"


def test_what_comes_or_goes_between_two_passes_is_worked_out() -> None:
    store = NameStore(CountingNamer("_${{ object.relative }}"))
    assert names_of(store, "a", "c", "d") == ["_a", "_c", "_d"]
    assert names_of(store, "a", "b", "c", "d", "e") == ["_a", "_b", "_c", "_d", "_e"]


def test_a_pass_that_goes_on_during_the_next_works_out_its_names() -> None:
    store = NameStore(CountingNamer("${{ object.name }}-${{ object.number }}"))
    first = store.begin_pass()
    assert first("a", "a", 1, "", 1) == "a-1"
    second = store.begin_pass()
    assert first("b", "b", 1, "", 2) == "b-2"
    assert [second("a", "a", 1, "", 1), second("b", "b", 1, "", 2)] == ["a-1", "b-2"]
