"""The folders on ``sys.path`` while functions of users are loaded and called."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from rolerunner.actions.import_path import extend_import_path

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_last_of_overlapping_blocks_removes_the_folders(tmp_path: Path) -> None:
    before = list(sys.path)
    first, second = extend_import_path(tmp_path), extend_import_path(tmp_path)
    with first:
        second.__enter__()
    assert str(tmp_path) in sys.path
    second.__exit__(None, None, None)
    assert sys.path == before


def test_side_by_side_blocks_leave_nothing_behind(tmp_path: Path) -> None:
    before = list(sys.path)
    missing: list[bool] = []

    def enter_often() -> None:
        for _ in range(300):
            with extend_import_path(tmp_path):
                missing.append(str(tmp_path) not in sys.path)

    threads = [threading.Thread(target=enter_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(missing) == 2400
    assert not any(missing)
    assert sys.path == before


def test_what_stood_on_the_path_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    with extend_import_path(tmp_path):
        pass
    assert str(tmp_path) in sys.path
