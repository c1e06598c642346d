"""Repeated names among many."""

from __future__ import annotations

import pytest

from rolerunner.selection.list_files import duplicates
from rolerunner.selection.list_files.duplicates import find_repeated, is_marked


def test_names_without_repetition_have_no_bitmap() -> None:
    assert find_repeated([]) is None
    assert find_repeated(map(str, range(1000))) is None


@pytest.mark.parametrize("held", [3, 3 * 1024])
def test_every_later_occurrence_is_marked(monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(duplicates, "_HELD", held)
    names = [str(number % 700) for number in range(2000)]
    bitmap = find_repeated(names)
    assert bitmap is not None
    assert [is_marked(bitmap, number) for number in range(2000)] == [
        number >= 700 for number in range(2000)
    ]
