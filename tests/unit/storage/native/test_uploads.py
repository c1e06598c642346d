"""The memory that an upload takes while it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolerunner.storage.native.uploads import measure_memory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("size", "memory"), [(0, 0), (9, 9), (10, 0), (11, 0)])
def test_only_small_files_are_held_in_memory(size: int, memory: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    assert measure_memory(path, 10) == memory


def test_a_file_that_is_gone_takes_no_memory(tmp_path: Path) -> None:
    assert measure_memory(tmp_path / "none", 10) == 0
