"""What spread work needs of a cluster, whatever the cluster is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rolerunner.common.cancellation import Cancel


class TaskRunner(Protocol):
    """Workers on other machines."""

    def slots(self) -> int:
        """How many parts can run at once now."""

    def run(
        self, waves: Iterable[Sequence[bytes]], cancel: Cancel, what: str
    ) -> Iterator[list[Any]]:
        """Each wave's results, in the order of its parts, as waves end; waves are drawn as places get free. A wave may be empty.

        A part is a pickled ``Part``; ``what`` is said of the work where the cluster shows it. A part whose worker died is begun
        again elsewhere. Raises StepError: what a part raised, or what the pool met.
        """
