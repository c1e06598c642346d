"""Workers read zips again only when they change, and do not collect what modules hold."""

from __future__ import annotations

import gc
import importlib
import subprocess
import sys
import zipfile
import zipimport
from typing import TYPE_CHECKING

import pytest

from rolerunner.spark import worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if hasattr(zipimport.zipimporter, "invalidate_caches"):
        original = zipimport.zipimporter.invalidate_caches
        monkeypatch.setattr(zipimport.zipimporter, "invalidate_caches", original)
    monkeypatch.setattr(worker, "_FROZEN", worker._FrozenModules())
    yield
    gc.unfreeze()


def write_zip(path: Path, **modules: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in modules.items():
            archive.writestr(f"{name}.py", text)


@pytest.mark.skipif(sys.version_info < (3, 10), reason="zips are not read again before 3.10")
def test_a_zip_is_read_again_only_if_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.zip"
    write_zip(path, zipped_one="A = 1")
    monkeypatch.syspath_prepend(str(path))
    assert importlib.import_module("zipped_one").A == 1
    worker.spare_worker()
    importlib.invalidate_caches()  # the first time it is read
    reads: list[str] = []
    read = zipimport._read_directory  # type: ignore[attr-defined]

    def read_directory(archive: str) -> object:
        reads.append(archive)
        return read(archive)

    monkeypatch.setattr(zipimport, "_read_directory", read_directory)
    importlib.invalidate_caches()
    assert reads == []
    write_zip(path, zipped_one="A = 1", zipped_two="A = 2 + 0")
    importlib.invalidate_caches()
    assert importlib.import_module("zipped_two").A == 2
    assert reads.count(str(path)) == 1
    worker.spare_worker()  # again: nothing is wrapped twice
    importlib.invalidate_caches()
    assert reads.count(str(path)) == 1


def test_objects_of_modules_are_frozen_once() -> None:
    script = (
        "import gc, json, urllib.request\n"
        "from rolerunner.spark.worker import spare_worker\n"
        "spare_worker()\n"
        "first = gc.get_freeze_count()\n"
        "mine = [[] for _ in range(1000)]\n"
        "spare_worker()\n"
        "print(first > 1000, gc.get_freeze_count() <= first, sum(map(gc.is_tracked, mine)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "True", "1000"]
