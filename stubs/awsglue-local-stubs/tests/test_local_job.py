from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from awsglue.job import Job
from awsglue.local import JobEvent, LocalGlueError, clear_job_events, job_events

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTEXT: Any = None


@pytest.fixture(autouse=True)
def no_events() -> Iterator[None]:
    clear_job_events()
    yield
    clear_job_events()


def test_a_job_is_recorded() -> None:
    job = Job(CONTEXT)
    assert not job.isInitialized()
    job.init("orders", {"day": "2026-01-31"})
    assert job.isInitialized()
    job.commit()
    assert job_events() == (
        JobEvent("init", "orders", {"day": "2026-01-31"}),
        JobEvent("commit", "orders"),
    )


def test_a_job_that_did_not_begin_cannot_be_committed() -> None:
    with pytest.raises(LocalGlueError, match=r"call job\.init"):
        Job(CONTEXT).commit()
    assert job_events() == ()


def test_the_record_keeps_the_arguments_as_they_were() -> None:
    arguments = {"day": "1"}
    Job(CONTEXT).init("orders", arguments)
    arguments["day"] = "2"
    assert job_events()[0].args == {"day": "1"}
