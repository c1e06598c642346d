"""Renders how costs grow with the number of objects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from at_scale import scale_section
from measure import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from results import Growth, Results

WANTED_EXPONENT, WANTED_PEAK = 1.02, 250

GROWTH = """Each work on more and more objects, plain HTTP: CPU seconds of the whole command /
peak MiB of all its processes; the smallest CPU time of {rounds} run{s}. The exponent is the slope
of CPU time, less that of a start (one object), over the number of objects, both as logarithms: 1
is linear. At most {exponent:g} is wanted, and less than {peak} MiB at any number.
"""


def growth_section(results: Results, picture: str) -> Iterator[str]:
    """Yields the parts of the page on growth, if it was measured."""
    if not results.growth:
        return
    counts = sorted({count for each in results.growth for count in each.counts})
    rounds = max(len(costs) for each in results.growth for costs in each.costs.values())
    yield "## How cost grows\n"
    yield GROWTH.format(
        rounds=rounds, s="" if rounds == 1 else "s", exponent=WANTED_EXPONENT, peak=WANTED_PEAK
    )
    head = ["work", "a start", *(f"{count:,}" for count in counts), "µs an object", "exponent"]
    yield table(head, (_growth_row(each, counts) for each in results.growth))
    if picture:
        yield f"![CPU seconds over the number of objects]({picture})\n"
    yield from scale_section(results)


def growth_verdicts(results: Results) -> Iterator[str]:
    """Yields a line for the console for each exponent and peak that is larger than wanted."""
    for each in results.growth:
        peak = max(cost.peak for costs in each.costs.values() for cost in costs)
        good = not each.exponent > WANTED_EXPONENT and peak < WANTED_PEAK
        yield (
            f"{'ok  ' if good else 'MORE'} {each.title}: exponent {each.exponent:.3f}, "
            f"{peak:.0f} MiB at most, wanted {WANTED_EXPONENT} and {WANTED_PEAK}"
        )


def _growth_row(growth: Growth, counts: Sequence[int]) -> list[str]:
    cells = [
        f"{min(cost.cpu for cost in growth.costs[count]):.2f} / {growth.median(count).peak:.0f}"
        if count in growth.costs
        else ""
        for count in (1, *counts)
    ]
    exponent = "" if math.isnan(growth.exponent) else f"{growth.exponent:.2f}"
    return [growth.title, *cells, f"{growth.per_object * 1e6:.1f}", exponent]
