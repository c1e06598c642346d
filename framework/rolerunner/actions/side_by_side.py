"""Walks two sorted sides together, holding one entry of each in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Optional, TypeVar

from rolerunner.errors import ServiceFailed

One = TypeVar("One")
Other = TypeVar("Other")


def merge_sides(
    ours: Iterable[tuple[str, One]], theirs: Iterable[tuple[str, Other]]
) -> Iterator[tuple[str, Optional[One], Optional[Other]]]:
    """Yields each name with what either side has of it; None where a side lacks it.

    Names must ascend by code points, which is the order of their UTF-8. Raises ServiceFailed for a
    side that is out of order: what it holds would be reported as missing.
    """
    left, right = iter(_check_order(ours)), iter(_check_order(theirs))
    one, other = next(left, None), next(right, None)
    while one is not None and other is not None:
        if one[0] == other[0]:
            yield one[0], one[1], other[1]
            one, other = next(left, None), next(right, None)
        elif one[0] < other[0]:
            yield one[0], one[1], None
            one = next(left, None)
        else:
            yield other[0], None, other[1]
            other = next(right, None)
    while one is not None:
        yield one[0], one[1], None
        one = next(left, None)
    while other is not None:
        yield other[0], None, other[1]
        other = next(right, None)


def _check_order(entries: Iterable[tuple[str, One]]) -> Iterator[tuple[str, One]]:
    last = None
    for entry in entries:
        name = entry[0]
        if last is not None and name <= last:
            reason = f"'{name}' is there twice" if name == last else f"'{name}' follows '{last}'"
            raise ServiceFailed(
                f"a side of the comparison is not in the order of keys: {reason}",
                hint="two objects of a list must not have one name, and the server must list keys"
                " in their order",
                type="OutOfOrder",
            )
        last = name
        yield entry
