"""Estimates of where work is done sooner, and the amounts at which the decision changes."""

from __future__ import annotations

import pytest

from rolerunner.storage.workers.placement import (
    BOTO_REQUEST,
    COPY,
    DELETION,
    MACHINE_RATE,
    RELAY,
    START_SECONDS,
    Placement,
    Work,
    WorkKind,
    estimate_here,
    estimate_there,
    explain_short_work,
    is_too_small,
    place_rest,
    place_work,
)

NEAR = 0.001
GIB = 1 << 30


def test_the_slowest_of_waiting_computing_and_moving_bytes_counts() -> None:
    kind = WorkKind(requests=2, here=0.001, there=0.002, in_flight=10)
    assert estimate_here(Work(kind, 1000), 0.01) == pytest.approx(2.0)  # 2000 x 10 ms / 10
    assert estimate_here(Work(kind, 1000), NEAR) == pytest.approx(1.0)  # 1000 x 1 ms
    assert estimate_here(Work(kind, 1000, int(4 * MACHINE_RATE)), NEAR) == pytest.approx(4.0)
    assert estimate_there(Work(kind, 1000), 0.02, 4) == pytest.approx(START_SECONDS + 4 / 4)
    assert estimate_there(Work(kind, 1000), NEAR, 4) == pytest.approx(START_SECONDS + 2 / 4)
    assert estimate_there(Work(kind, 1, 647_000_000 * 8), NEAR, 4) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("work", "latency"),
    [
        (Work(COPY, 15_789), NEAR),  # 0.19 ms each
        (Work(RELAY, 15_000), NEAR),  # 0.2 ms each
        (Work(RELAY, 1, 2_175_000_000), NEAR),  # 725 MB a second
        (Work(DELETION, 230_769), NEAR),  # 13 us each
        (Work(BOTO_REQUEST, 2_000), NEAR),  # 1.5 ms each
        (Work(COPY, 3_840), 0.1),  # 1,280 a second in flight
        (Work(RELAY, 960), 0.1),  # four requests each
    ],
)
def test_work_of_three_seconds_is_the_largest_that_asks_for_no_cluster(
    work: Work, latency: float
) -> None:
    assert is_too_small(work, latency)
    more = Work(work.kind, work.count + 1, work.size + 1 if work.size else 0)
    assert not is_too_small(more, latency)


@pytest.mark.parametrize(
    ("work", "latency", "slots", "bound"),
    [
        # count at which both take the same: 3 s / (here - there / slots)
        (COPY, NEAR, 8, 18_897),  # 3 / (0.19 - 0.03125) ms
        (DELETION, NEAR, 16, 251_308),  # 3 / (13 - 1.0625) us
        (COPY, 0.1, 2, 7_680),  # 3 / (1/1280 - 1/2560) s
    ],
)
def test_the_cluster_is_chosen_from_where_it_is_quicker(
    work: WorkKind, latency: float, slots: int, bound: int
) -> None:
    assert not place_work(Work(work, bound), latency, slots).is_distributed
    assert place_work(Work(work, bound + 1), latency, slots).is_distributed


def test_a_cluster_whose_cores_are_slower_than_this_machine_is_never_chosen() -> None:
    # 0.25 ms on one core is more than 0.19 ms, and half of it is less
    assert not place_work(Work(COPY, 10**9), NEAR, 1).is_distributed
    assert place_work(Work(COPY, 10**9), NEAR, 2).is_distributed


def test_the_reason_has_the_figures() -> None:
    small = place_work(Work(RELAY, 300, 2 << 20), 0.03, 0)
    assert small == Placement(
        False,
        "stays on this machine: 300 objects, 2.0 MiB, about 0.3 s; a Spark job alone costs 3 s",
    )
    large = place_work(Work(RELAY, 1_000_000, 30 * GIB), 0.03, 36)
    assert large == Placement(
        True,
        "goes to the executors: 1,000,000 objects, 30.0 GiB, about 938 s here, 29 s on 36 cores",
    )
    slow = place_work(Work(COPY, 32_000), NEAR, 1)
    assert slow.reason == (
        "stays on this machine: 32,000 objects, about 6.1 s here, 11 s on 1 core"
    )
    assert explain_short_work(1, "key", 0.42) == (
        "stays on this machine: 1 key in 0.4 s; a Spark job alone costs 3 s"
    )


def test_the_rest_goes_to_the_cluster_if_it_saves_more_than_the_start() -> None:
    # 100 in 3 s: the rest takes 3 s for each 100 here, and half of that on two cores
    assert not place_rest(100, 200, 3.0, 2).is_distributed
    assert place_rest(100, 201, 3.0, 2).is_distributed
    assert not place_rest(100, 10**6, 3.0, 1).is_distributed
    assert place_rest(100, 900, 3.0, 4).reason == (
        "goes to the executors: 900 objects after 100 in 3 s, about 27 s here, 9.8 s on 4 cores"
    )
