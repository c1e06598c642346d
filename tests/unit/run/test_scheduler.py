"""The order of steps."""

from __future__ import annotations

import pytest

from rolerunner.model import Step
from rolerunner.run.scheduler import Scheduler, count_parallel_steps


def build(**needs: tuple[str, ...]) -> Scheduler:
    return Scheduler([Step(name, "s3.list", {}, needs=each) for name, each in needs.items()])


def drain(scheduler: Scheduler) -> list[str]:
    ready = []
    while scheduler.has_ready:
        ready.append(scheduler.next_ready().id)
    return ready


def test_independent_steps_are_ready_in_the_order_of_the_file() -> None:
    assert drain(build(c=(), a=(), b=())) == ["c", "a", "b"]


def test_a_step_waits_for_all_that_it_needs() -> None:
    scheduler = build(a=(), b=(), last=("a", "b"))
    assert drain(scheduler) == ["a", "b"]
    scheduler.mark_finished("b")
    assert not scheduler.has_ready
    scheduler.mark_finished("a")
    assert drain(scheduler) == ["last"]


def test_steps_that_become_ready_keep_the_order_of_the_file() -> None:
    scheduler = build(first=(), second=("first",), third=())
    assert scheduler.next_ready().id == "first"
    scheduler.mark_finished("first")
    assert drain(scheduler) == ["second", "third"]


def test_no_step_is_ready_in_an_empty_job() -> None:
    with pytest.raises(IndexError):
        Scheduler([]).next_ready()


def test_a_need_of_a_step_elsewhere_has_ended() -> None:
    assert drain(build(a=("elsewhere",))) == ["a"]


@pytest.mark.parametrize(
    ("needs", "limit", "expected"),
    [
        ([()], 4, 1),
        ([(), ("0",), ("1",)], 4, 1),
        ([(), ("0",), ("0",)], 4, 3),
        ([(), (), ("1",)], 2, 2),
        ([(), ()], 4, 2),
    ],
)
def test_steps_of_a_chain_run_one_at_a_time(
    needs: list[tuple[str, ...]], limit: int, expected: int
) -> None:
    steps = [Step(str(number), "s3.list", {}, needs=each) for number, each in enumerate(needs)]
    assert count_parallel_steps(steps, limit) == expected
