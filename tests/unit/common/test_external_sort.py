"""Values come sorted and as they were, however many fit into memory."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from rolerunner.common import external_sort
from rolerunner.common.external_sort import sort_values
from rolerunner.errors import LocalFileFailed

VALUES: list[tuple[int, bytes, dict[str, Any]]] = [
    ((number * 7) % 20, b"%d\n\xff" % number, {"text": "\ud800", "none": None})
    for number in range(1000)
]


@pytest.mark.parametrize("at_once", [1, 300, 999, 1000, 1001])
@pytest.mark.parametrize("descending", [False, True])
def test_equal_values_keep_their_order(
    at_once: int, descending: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external_sort, "SORTED_AT_ONCE", at_once)
    found = list(sort_values(VALUES, lambda each: each[0], descending=descending))
    assert found == sorted(VALUES, key=lambda each: each[0], reverse=descending)


def test_one_file_is_open_for_any_number_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_sort, "SORTED_AT_ONCE", 10)
    before = len(os.listdir("/proc/self/fd"))
    found = sort_values(range(1000))
    next(found)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del found
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_full_disk_is_an_error_of_the_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(external_sort, "SORTED_AT_ONCE", 10)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(LocalFileFailed, match="missing"):
        sort_values(range(20))
