"""Garbage collection around runs, in a process of its own for each change that stays."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from rolerunner.common.gc_tuning import freeze_objects


def test_objects_are_frozen_in_the_block_alone() -> None:
    gc.unfreeze()
    with freeze_objects():
        assert gc.get_freeze_count() > 1000
    assert gc.get_freeze_count() == 0


def test_objects_are_released_after_an_error() -> None:
    def fail() -> None:
        with freeze_objects():
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert gc.get_freeze_count() == 0


SCRIPT = """
import gc
from rolerunner.common.gc_tuning import collect_garbage, freeze_objects, tune_for_one_run

class Cycle:
    ended = 0
    def __del__(self):
        Cycle.ended += 1

def leave():
    cycle = Cycle()
    cycle.itself = cycle

gc.disable()
leave()
collect_garbage()
assert Cycle.ended == 1, "a process that goes on collects"
tune_for_one_run()
assert gc.isenabled() and gc.get_threshold()[0] == 10_000
leave()
collect_garbage()
assert Cycle.ended == 1, "a process that ends does not"
with freeze_objects():
    pass
assert gc.get_freeze_count() > 1000, "and releases no objects"
gc.collect()
assert Cycle.ended == 1, "what was frozen is not collected"
"""


def test_a_process_of_one_run_keeps_its_objects() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
