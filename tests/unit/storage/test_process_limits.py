"""The share of a process's limits that each step gets."""

import resource

import pytest

from rolerunner.errors import UsageError
from rolerunner.storage import process_limits
from rolerunner.storage.process_limits import descriptors_per_step, limits_per_step
from rolerunner.storage.tuning import MIB, Limits, Tuning


def set_limits(
    monkeypatch: pytest.MonkeyPatch, *, files: tuple[int, int], space: int = resource.RLIM_INFINITY
) -> list[tuple[int, int]]:
    """Simulates the limits; returns the list of changes made to them."""
    changed: list[tuple[int, int]] = []
    values = {resource.RLIMIT_NOFILE: files, resource.RLIMIT_AS: (space, space)}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: values[kind])
    monkeypatch.setattr(resource, "setrlimit", lambda _, value: changed.append(value))
    monkeypatch.setattr(process_limits, "_count_open", lambda: 10)
    return changed


def test_usual_limits_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set_limits(monkeypatch, files=(1024, 4096)) == []
    assert Tuning().apply_limits(limits_per_step(1)) == Tuning()


def test_the_soft_limit_is_raised_as_far_as_the_hard_one_lets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed = set_limits(monkeypatch, files=(256, 4096))
    assert descriptors_per_step(4) == 800
    assert changed == [(34 + 4 * 800, 4096)]
    changed = set_limits(monkeypatch, files=(256, 512))
    assert descriptors_per_step(1) == 512 - 34
    assert changed == [(512, 512)]


def test_no_limit_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    infinite = resource.RLIM_INFINITY
    assert set_limits(monkeypatch, files=(infinite, infinite)) == []
    assert descriptors_per_step(3) == 800


def test_too_few_files_are_an_error_that_names_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    set_limits(monkeypatch, files=(64, 64))
    assert descriptors_per_step(1) == 30
    assert descriptors_per_step(2) == 15
    with pytest.raises(
        UsageError,
        match=r"64 open files are allowed \(ulimit -n\), and this job needs 70.*or lower "
        r"'max_parallel'",
    ):
        descriptors_per_step(3)


def test_little_address_space_means_few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    set_limits(monkeypatch, files=(1024, 1024), space=100_000 * MIB)
    assert limits_per_step(2).threads > 100
    set_limits(monkeypatch, files=(1024, 1024), space=1 * MIB)
    assert limits_per_step(2).threads == 1


@pytest.mark.parametrize("files", [12, 30, 64, 200, 990])
@pytest.mark.parametrize("threads", [0, 1, 8, 100])
def test_a_step_keeps_within_its_limits_and_does_something(files: int, threads: int) -> None:
    tuning = Tuning().apply_limits(Limits(files, threads))
    assert min(tuning.connections, tuning.workers, tuning.parts_at_once) >= 1
    assert tuning.connections == 1 or tuning.connections * 5 + tuning.parts_at_once * 4 <= files
    assert tuning.workers * 6 <= max(files, 6)
    assert not threads or tuning.workers + tuning.parts_at_once <= max(threads, 2)
