"""The libraries of gzip: those of the extra ``fast`` where they are installed."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING

import pytest

from rolerunner.storage.codecs import find_deflater, find_inflater

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _forget_modules() -> Iterator[None]:
    find_deflater.cache_clear()
    find_inflater.cache_clear()
    yield
    find_deflater.cache_clear()
    find_inflater.cache_clear()


@pytest.mark.parametrize(
    ("level", "module"),
    [
        (0, "zlib"),
        (1, "isal.isal_zlib"),
        (2, "isal.isal_zlib"),
        (3, "zlib_ng.zlib_ng"),
        (6, "zlib_ng.zlib_ng"),
        (9, "zlib_ng.zlib_ng"),
    ],
)
def test_each_level_has_the_fastest_library(level: int, module: str) -> None:
    pytest.importorskip(module.partition(".")[0])
    assert find_deflater(level).__name__ == module


def test_zlib_does_what_missing_libraries_would(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("isal", "isal.isal_zlib", "zlib_ng", "zlib_ng.zlib_ng"):
        monkeypatch.setitem(sys.modules, name, None)
    assert {find_deflater(level) for level in range(10)} == {zlib}
    assert find_inflater() is zlib
