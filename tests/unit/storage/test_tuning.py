"""The meaning of `memory`: how much may be in flight, whatever else the process holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolerunner import api, wiring
from rolerunner.storage.tuning import DEFAULT_MEMORY, MIB, RUNNER_MEMORY, WORKER_MEMORY, Tuning


@given(st.integers(112 * MIB, 64 << 30), st.integers(1, 64), st.integers(1, 4))
def test_what_is_in_flight_fits_into_what_is_left(whole: int, at_once: int, processes: int) -> None:
    tuning = Tuning.for_memory(whole, at_once, processes)
    assert tuning.memory * at_once <= max(
        whole - RUNNER_MEMORY - max(processes - 2, 0) * WORKER_MEMORY, 8 * MIB * at_once
    )
    assert tuning.processes == processes
    assert tuning.part >= 5 * MIB, "S3 takes no smaller ones"
    assert tuning.large >= tuning.part


def test_without_a_word_it_is_large_and_fast() -> None:
    tuning = Tuning.for_memory(DEFAULT_MEMORY)
    assert (tuning.connections, tuning.part, tuning.parts_at_once) == (128, 16 * MIB, 8)


@given(st.integers(0, 5 << 40))
def test_a_range_is_no_smaller_than_a_part_and_cheap_to_fetch_again(size: int) -> None:
    tuning = Tuning.for_memory(DEFAULT_MEMORY)
    assert tuning.part <= tuning.choose_range_size(size) <= 128 * MIB
    assert (
        tuning.choose_range_size(size) == tuning.part
        or size // tuning.choose_range_size(size) >= tuning.parts_at_once * 4
    ), "and all threads have some"


STEP = "{id: %s, action: s3.list, role: job, source: 's3://bucket/%s'}"


@pytest.mark.parametrize(
    ("steps", "at_once"),
    [
        ((STEP % ("a", ""), STEP % ("b", "")), 1),
        ((STEP % ("a", ""), STEP % ("b, needs: []", "")), 2),
        ((STEP % ("a, for_each: {items: [x, y], max_parallel: 3}", "${{ item }}"),), 3),
    ],
)
def test_steps_that_run_at_once_share_it(
    steps: tuple[str, ...], at_once: int, tmp_path: Any
) -> None:
    (tmp_path / "job.yaml").write_text(
        "version: 1\nname: t\nsteps:\n" + "".join(f"  - {step}\n" for step in steps)
    )
    assert wiring.count_concurrent_transfers(api.load(tmp_path / "job.yaml")) == at_once
