"""The place of a step with ``distribute: auto``, and what the log says about it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rolerunner.actions import placement as chosen
from rolerunner.actions.placement import MeasuredWork, choose_distribution
from rolerunner.errors import StepError
from rolerunner.storage.latency import LatencyMeter
from rolerunner.storage.workers.placement import BOTO_REQUEST, COPY, START_SECONDS, Work
from tests.unit.actions.context import Recorded, make_context

if TYPE_CHECKING:
    from pathlib import Path

MUCH = Work(BOTO_REQUEST, 100_000)


class Cluster:
    """A cluster with so many cores; it fails to start with none."""

    def __init__(self, slots: int, error: str = "NoSpark") -> None:
        self.pool = SimpleNamespace(slots=lambda: slots)
        self.opened = 0
        self._slots, self._error = slots, error

    def open(self) -> Any:
        self.opened += 1
        if not self._slots:
            raise StepError("Java is missing", type=self._error)
        return self


@pytest.fixture(autouse=True)
def latency(monkeypatch: pytest.MonkeyPatch) -> LatencyMeter:
    meter = LatencyMeter()
    monkeypatch.setattr(chosen, "LATENCY", meter)
    return meter


@pytest.mark.parametrize(
    ("distribute", "work", "slots", "place", "opened"),
    [
        (None, MUCH, 8, None, 0),
        ("spark", MUCH, 8, None, 0),  # it is there already
        ("auto", MUCH, 8, "spark", 1),
        ("auto", MUCH, 1, None, 1),
        ("auto", MUCH, 0, None, 1),
        ("auto", Work(BOTO_REQUEST, 10), 8, None, 0),
    ],
)
def test_auto_alone_chooses_and_opens_a_cluster_for_much_work_alone(
    distribute: str, work: Work, slots: int, place: str, opened: int, tmp_path: Path
) -> None:
    cluster, recorded = Cluster(slots), Recorded()
    context = make_context(tmp_path, recorded, open_cluster=cluster.open)
    assert choose_distribution(distribute, work, context) == place
    assert cluster.opened == opened
    assert len(recorded.notes) == (distribute == "auto")


def test_the_latency_that_was_seen_decides(latency: LatencyMeter, tmp_path: Path) -> None:
    cluster = Cluster(8)
    context = make_context(tmp_path, open_cluster=cluster.open)
    work = Work(COPY, 12_000)  # 2.8 s at 30 ms, which is assumed, and 9 s at 100 ms
    assert choose_distribution("auto", work, context) is None
    latency.add(0.1)
    assert choose_distribution("auto", work, context) == "spark"


def test_another_failure_of_the_cluster_fails_the_step(tmp_path: Path) -> None:
    context = make_context(tmp_path, open_cluster=Cluster(0, "AccessDenied").open)
    with pytest.raises(StepError, match="Java is missing"):
        choose_distribution("auto", MUCH, context)


def test_without_a_cluster_nothing_is_chosen(tmp_path: Path) -> None:
    assert choose_distribution("auto", MUCH, make_context(tmp_path)) is None


@pytest.mark.parametrize(
    ("distribute", "seconds", "slots", "goes"),
    [
        ("auto", START_SECONDS - 0.1, 8, False),
        ("auto", START_SECONDS + 0.1, 8, True),
        ("auto", START_SECONDS + 0.1, 1, False),
        ("auto", START_SECONDS + 0.1, 0, False),
        (None, START_SECONDS + 0.1, 8, False),
    ],
)
def test_measured_work_is_decided_once_after_the_time_that_a_job_costs(
    distribute: str,
    seconds: float,
    slots: int,
    goes: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded = Recorded()
    context = make_context(tmp_path, recorded, open_cluster=Cluster(slots).open)
    now = [0.0]
    monkeypatch.setattr("rolerunner.actions.placement.time.monotonic", lambda: now[0])
    measured = MeasuredWork(distribute, 1000, context, began=0.0)
    now[0] = seconds
    assert (measured.choose_cluster(100) is not None) == goes
    assert measured.choose_cluster(101) is None
    decided = distribute == "auto" and seconds > START_SECONDS
    assert len(recorded.notes) == decided
    measured.report_end(1000)
    assert len(recorded.notes) == (distribute == "auto")
