"""Plans how objects become one: which ranges S3 copies itself, and which pass through here.

S3 takes parts of 5 MiB at least, except the last one, and 10,000 parts at most (S3 user guide,
multipart limits). A part that S3 copies is a range of one object; what is smaller is read and sent
together with what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional

from rolerunner.lazy_dataclass import dataclass
from rolerunner.storage.tuning import MAX_PARTS, MIB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolerunner.model import S3Uri
    from rolerunner.storage.protocol import ObjectInfo

MIN_PART = 5 * MIB
"""Bytes of a part, unless it is the last one."""
MAX_COPIED = 256 * MIB
"""Bytes of a part that S3 copies: several at once are faster than one of 5 GB."""


@dataclass(frozen=True)
class Segment:
    """A range of an object, or bytes of the spec; ``start`` is within either."""

    start: int
    length: int
    uri: Optional[S3Uri] = None
    info: Optional[ObjectInfo] = None
    data: bytes = b""

    def split(self, length: int) -> tuple[Segment, Optional[Segment]]:
        """Returns the first ``length`` bytes, and the rest unless it is empty."""
        if length >= self.length:
            return self, None
        rest = replace(self, start=self.start + length, length=self.length - length)
        return replace(self, length=length), rest


@dataclass(frozen=True)
class PlannedPart:
    """A part of the target: segments that are read here, or one that S3 copies."""

    start: int
    segments: tuple[Segment, ...]
    is_copied: bool

    @property
    def length(self) -> int:
        """Number of bytes."""
        return sum(segment.length for segment in self.segments)


@dataclass(frozen=True)
class Concatenation:
    """One object to make of many.

    ``segments`` returns them in order, again for each attempt; ``size`` is their sum.
    """

    target: S3Uri
    segments: Callable[[], Iterable[Segment]]
    size: int
    options: Mapping[str, Any]
    within_s3: bool
    """True if one role reads the sources and writes the target, so that S3 may copy."""
    repeated: bool = False


def plan_parts(item: Concatenation) -> Iterator[PlannedPart]:
    """Yields the parts of the target in order; all but the last have at least 5 MiB."""
    least = max(MIN_PART, -(-item.size // (MAX_PARTS - 1)))
    wanted = least if item.within_s3 else max(least, 16 * MIB)
    start, held = 0, 0
    pending: list[Segment] = []
    for whole in item.segments():
        rest: Optional[Segment] = whole if whole.length else None
        while rest is not None:
            is_copied = item.within_s3 and not pending and rest.info is not None
            is_copied = is_copied and rest.length >= least
            take = max(MAX_COPIED, least) if is_copied else wanted - held
            segment, rest = rest.split(take)
            pending.append(segment)
            held += segment.length
            if is_copied or held == wanted:
                yield PlannedPart(start, tuple(pending), is_copied)
                start, held, pending = start + held, 0, []
    if pending:
        alone = len(pending) == 1 and pending[0].info is not None
        yield PlannedPart(start, tuple(pending), item.within_s3 and alone)
