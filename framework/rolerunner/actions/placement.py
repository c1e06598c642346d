"""Decides for ``distribute: auto`` where a step works, and says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import field
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.errors import StepError
from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.latency import LATENCY
from rolerunner.storage.workers import placement
from rolerunner.storage.workers.placement import Placement, Work

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Union

    from rolerunner.actions.base import StepContext
    from rolerunner.model import S3Uri
    from rolerunner.storage.object_lines import ListedBlock
    from rolerunner.storage.protocol import ObjectInfo, Storage
    from rolerunner.storage.workers.distributed import Distribution

NO_SPARK = "NoSpark"
"""Type of the error where Spark does not start."""


def choose_distribution(
    distribute: Optional[str], work: Work, context: StepContext
) -> Optional[str]:
    """Returns ``spark`` if the step says ``auto`` and a cluster does the rest of it sooner.

    The choice and its reason are in the log. None leaves the step where it is.
    """
    if distribute != "auto" or context.open_cluster is None:
        return None
    choice = _place(work, context)
    context.note("info", choice.reason, {})
    return "spark" if choice.is_distributed else None


def _place(work: Work, context: StepContext) -> Placement:
    latency = LATENCY.seconds
    seconds = placement.ASSUMED_LATENCY if latency is None else latency
    if placement.is_too_small(work, seconds):
        return placement.place_work(work, seconds, 0)
    try:
        slots = count_slots(context)
    except StepError as error:
        if error.type != NO_SPARK:
            raise
        amount = placement.describe_work(work)
        return Placement(False, f"stays on this machine: {amount}; {error.message}")
    return placement.place_work(work, seconds, slots)


def count_slots(context: StepContext) -> int:
    """Returns the cores of the cluster, which is opened for it. Raises StepError."""
    cluster = context.open_distribution("spark")
    return cluster.pool.slots() if cluster is not None else 0


_CHECKED_KEYS = 1000
"""Keys after which the clock is read."""


def list_until_slow(
    here: Storage,
    open_there: Callable[[], Storage],
    source: S3Uri,
    context: StepContext,
    *,
    versions: bool,
) -> Iterator[Union[ObjectInfo, ListedBlock]]:
    """Lists on this machine for as long as a Spark job costs, and the rest over the executors.

    How many keys there are is known at the end alone. So a listing takes twice the time that the
    better choice would have taken, at most.
    """
    from rolerunner.storage.workers.distributed import DistributedStorage  # noqa: PLC0415

    began = time.monotonic()
    count, last = 0, ""
    may_leave, is_due = not source.in_directory_bucket, False
    there: Optional[Storage] = None
    with closing(_list_here(here, source, context, versions=versions)) as infos:
        for info in infos:
            if is_due and info.key != last:
                is_due = may_leave = False
                there = _open_if_larger(open_there, context)
                if there is not None:
                    break
            count, last = count + 1, info.key
            if may_leave and count % _CHECKED_KEYS == 0:
                is_due = time.monotonic() - began >= placement.START_SECONDS
            yield info
    seconds = time.monotonic() - began
    if not isinstance(there, DistributedStorage):
        if may_leave:
            context.note("info", placement.explain_short_work(count, "key", seconds), {})
        return
    reason = f"goes to the executors: {count:,} keys in {seconds:.1f} s, and more follow"
    context.note("info", reason, {})
    yield from there.list_blocks(
        source, after=last, versions=versions, cancel=context.cancel, seconds_before=seconds
    )


def _list_here(
    here: Storage, source: S3Uri, context: StepContext, *, versions: bool
) -> Generator[ObjectInfo, None, None]:
    yield from here.list(source, versions=versions, cancel=context.cancel)


def _open_if_larger(open_there: Callable[[], Storage], context: StepContext) -> Optional[Storage]:
    """Returns the storage of a cluster with several cores; None, and a note, if there is none."""
    reason = "the cluster has one core"
    try:
        if count_slots(context) > 1:
            return open_there()
    except StepError as error:
        if error.type != NO_SPARK:
            raise
        reason = error.message
    context.note("info", f"stays on this machine: {reason}", {})
    return None


@dataclass
class MeasuredWork:
    """Work on this machine whose speed shows whether a cluster does the rest of it sooner."""

    distribute: Optional[str]
    total: int
    context: StepContext
    began: float = field(default_factory=time.monotonic)
    is_decided: bool = False

    def choose_cluster(self, done: int) -> Optional[Distribution]:
        """Returns the cluster for the rest, once the work takes as long as a Spark job costs.

        ``done`` is the number of objects so far.
        """
        seconds = time.monotonic() - self.began
        context, left = self.context, self.total - done
        if self.distribute != "auto" or self.is_decided or seconds < placement.START_SECONDS:
            return None
        self.is_decided = True
        if context.open_cluster is None or left <= 0:
            return None
        try:
            cluster: Any = context.open_distribution("spark")
            choice = placement.place_rest(done, left, seconds, cluster.pool.slots())
        except StepError as error:
            if error.type != NO_SPARK:
                raise
            choice = Placement(False, f"stays on this machine: {error.message}")
        context.note("info", choice.reason, {})
        return cluster if choice.is_distributed else None

    def report_end(self, done: int) -> None:
        """Tells why short work stayed here."""
        if self.distribute == "auto" and not self.is_decided and self.context.open_cluster:
            seconds = time.monotonic() - self.began
            self.context.note("info", placement.explain_short_work(done, "object", seconds), {})
