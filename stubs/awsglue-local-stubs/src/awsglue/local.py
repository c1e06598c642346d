"""What exists only on your own machine: the error of what needs Glue, and the record of jobs.

Glue's own ``awsglue`` has no module of this name, so importing it tells the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["JobEvent", "LocalGlueError", "clear_job_events", "job_events", "refuse"]


class LocalGlueError(RuntimeError):
    """Something that works in Glue alone, or a call that cannot be carried out here."""


@dataclass(frozen=True)
class JobEvent:
    """A call of ``Job.init`` (with the job's name and arguments) or of ``Job.commit``."""

    call: str
    job_name: str
    args: Mapping[str, str] = field(default_factory=dict)


_EVENTS: list[JobEvent] = []


def job_events() -> tuple[JobEvent, ...]:
    """Returns the calls of ``Job.init`` and ``Job.commit`` in this process, in their order."""
    return tuple(_EVENTS)


def clear_job_events() -> None:
    """Forgets all recorded calls, as between two tests."""
    _EVENTS.clear()


def record_job_event(event: JobEvent) -> None:
    """Appends a call to the record."""
    _EVENTS.append(event)


def refuse(feature: str, instead: str = "run it in Glue") -> NoReturn:
    """Raises LocalGlueError for a feature that only Glue has."""
    raise LocalGlueError(f"{feature} is not available in the local awsglue: {instead}")


def refuse_catalog(call: str, database: object, table_name: object) -> NoReturn:
    """Raises LocalGlueError for a call that needs the Data Catalog."""
    refuse(
        f"{call}(database={database!r}, table_name={table_name!r}) needs the Glue Data Catalog and",
        "use from_options with the path of the files, or DynamicFrame.fromDF",
    )
