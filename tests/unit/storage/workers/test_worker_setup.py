"""The way in which workers of a cluster open S3."""

from __future__ import annotations

from typing import Any

import pytest

from rolerunner.storage.workers.worker_setup import MAX_JITTER, WorkerSetup


@pytest.mark.parametrize(("slots", "jitter"), [(1, 0.01), (100, 1.0), (10_000, MAX_JITTER)])
def test_jitter_grows_with_the_workers(slots: int, jitter: float) -> None:
    identity: Any = None
    setup = WorkerSetup(print, identity, "workers")  # type: ignore[arg-type]
    assert setup.with_jitter(slots).jitter == pytest.approx(jitter)
