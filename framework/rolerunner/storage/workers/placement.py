"""Decides whether work is done sooner on one machine or by a cluster.

The estimates are those of docs/spark.md ("auto"), which names the measurements behind the figures.
"""

from __future__ import annotations

from rolerunner.common.units import format_size
from rolerunner.common.wording import format_count
from rolerunner.lazy_dataclass import dataclass

START_SECONDS = 3.0
"""Seconds that a Spark job costs besides the work on objects."""
ASSUMED_LATENCY = 0.03
"""Seconds a request, before this process has sent any."""
MACHINE_RATE = 725e6
"""Bytes a second that one machine copies between two roles: 2 GiB in 2.96 s."""
CORE_RATE = 647e6
"""Bytes a second that a core of an executor copies: 2 GiB in 3.32 s of CPU time."""
_WHOLE_SECONDS = 10


@dataclass(frozen=True)
class WorkKind:
    """The costs of one object. Times are seconds of CPU time."""

    requests: float
    here: float
    """On one machine."""
    there: float
    """On a core of an executor, with its share of what Spark does for it in a task of seconds."""
    in_flight: int = 128
    """Requests that one process has in flight: the connections of the event loop."""


COPY = WorkKind(1, 0.00019, 0.00025)
"""``bench/spark.py``: 0.18 to 0.19 ms alone; with Spark 0.25 ms on cores that other processes used
(docs/spark.md, "Expected throughput") and 0.17 to 0.20 ms on free ones (docs/benchmarks.md)."""
RELAY = WorkKind(4, 0.0002, 0.00026)
"""Without the bytes, which count by themselves. Spark is taken to add as much as to a copy."""
DELETION = WorkKind(0.001, 0.000013, 0.000017)
"""From the same tables: 0.013 to 0.014 ms alone, 0.015 to 0.017 ms with Spark."""
BOTO_REQUEST = WorkKind(1, 0.0015, 0.00156, in_flight=16)
"""A request of boto3, which sends each from a thread. Spark is taken to add what a copy has."""


@dataclass(frozen=True)
class Work:
    """The objects that a step works on. ``size`` is in bytes, 0 if they do not pass through."""

    kind: WorkKind
    count: int
    size: int = 0


@dataclass(frozen=True)
class Placement:
    """A decision and the reason for it, as the log shows it."""

    is_distributed: bool
    reason: str


def estimate_here(work: Work, latency: float) -> float:
    """Returns the seconds that one machine takes."""
    kind = work.kind
    waiting = work.count * kind.requests * latency / kind.in_flight
    return max(waiting, work.count * kind.here, work.size / MACHINE_RATE)


def estimate_there(work: Work, latency: float, slots: int) -> float:
    """Returns the seconds that a cluster with so many cores takes."""
    kind = work.kind
    waiting = work.count * kind.requests * latency / kind.in_flight
    longest = max(waiting, work.count * kind.there, work.size / CORE_RATE)
    return START_SECONDS + longest / slots


def is_too_small(work: Work, latency: float) -> bool:
    """Returns True if no cluster can be quicker, however large it is."""
    return estimate_here(work, latency) <= START_SECONDS


def place_work(work: Work, latency: float, slots: int) -> Placement:
    """Returns where the work ends sooner: on a cluster only if it is quicker.

    ``slots`` is the number of the cluster's cores; 0 if the work is too small to ask for it.
    """
    here = estimate_here(work, latency)
    amount = describe_work(work)
    if not slots:
        took = f"about {_format_seconds(here)}"
        cost = f"a Spark job alone costs {_format_seconds(START_SECONDS)}"
        return Placement(False, f"stays on this machine: {amount}, {took}; {cost}")
    there = estimate_there(work, latency, slots)
    cores = format_count(slots, "core")
    estimates = f"about {_format_seconds(here)} here, {_format_seconds(there)} on {cores}"
    if there < here:
        return Placement(True, f"goes to the executors: {amount}, {estimates}")
    return Placement(False, f"stays on this machine: {amount}, {estimates}")


def place_rest(done: int, left: int, seconds: float, slots: int) -> Placement:
    """Returns where the rest of the work ends sooner, of which some took so many seconds here."""
    here = seconds * left / done
    there = START_SECONDS + here / slots
    estimates = (
        f"{format_count(left, 'object')} after {done:,} in {_format_seconds(seconds)}, "
        f"about {_format_seconds(here)} here, "
        f"{_format_seconds(there)} on {format_count(slots, 'core')}"
    )
    if there < here:
        return Placement(True, f"goes to the executors: {estimates}")
    return Placement(False, f"stays on this machine: {estimates}")


def explain_short_work(count: int, noun: str, seconds: float) -> str:
    """Returns why work that has ended on this machine was not distributed."""
    took = f"{format_count(count, noun)} in {_format_seconds(seconds)}"
    cost = f"a Spark job alone costs {_format_seconds(START_SECONDS)}"
    return f"stays on this machine: {took}; {cost}"


def describe_work(work: Work) -> str:
    """Returns the amount of work, such as ``300 objects, 2.0 MiB``."""
    count = format_count(work.count, "object")
    return f"{count}, {format_size(work.size)}" if work.size else count


def _format_seconds(seconds: float) -> str:
    if seconds == int(seconds) or seconds >= _WHOLE_SECONDS:
        return f"{seconds:,.0f} s"
    return f"{seconds:.1f} s"
