"""What was measured: kept as JSON, and asked for medians and ratios."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from measure import Cost, median

if TYPE_CHECKING:
    from pathlib import Path

OURS = "rolerunner"
PEERS = ("s5cmd", "rclone")
AWS = ("aws-cli", "aws-cli 2")
LIMIT = "yardstick"


@dataclass
class Series:
    """The runs of one tool at one work in one setting.

    ``why`` gives the reason if there are none, or fewer than of other tools. ``measured`` is empty
    for those of the results as a whole, else the date and machine of an earlier measurement.
    """

    work: str
    title: str
    setting: str
    setting_title: str
    tool: str
    peers: float
    aws: float
    costs: list[Cost] = field(default_factory=list)
    why: str = ""
    measured: str = ""

    @property
    def median(self) -> Cost:
        return median(self.costs)


@dataclass
class Growth:
    """The costs of one work for several numbers of objects, and of its start: one object."""

    work: str
    title: str
    costs: dict[int, list[Cost]] = field(default_factory=dict)

    def add(self, count: int, cost: Cost) -> None:
        self.costs.setdefault(count, []).append(cost)

    @property
    def counts(self) -> list[int]:
        """The numbers of objects, without the start."""
        return sorted(count for count in self.costs if count > 1)

    def median(self, count: int) -> Cost:
        return median(self.costs[count])

    def net(self, count: int) -> float:
        """Returns the CPU seconds of so many objects without those of the start."""
        smallest = min(cost.cpu for cost in self.costs[count])
        return smallest - min(cost.cpu for cost in self.costs[1])

    @property
    def per_object(self) -> float:
        """CPU seconds of an object, from the largest number that was measured."""
        return self.net(self.counts[-1]) / self.counts[-1]

    @property
    def exponent(self) -> float:
        """The slope of CPU time over the number of objects, both as logarithms; 1 is linear.

        Of works that take less than half of the start, the start's noise would decide.
        """
        start = min(cost.cpu for cost in self.costs[1])
        known = [count for count in self.counts if self.net(count) >= start / 2]
        if len(known) < 2:
            return math.nan
        xs, ys = [math.log(n) for n in known], [math.log(self.net(n)) for n in known]
        middle_x, middle_y = statistics.fmean(xs), statistics.fmean(ys)
        return sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys)) / sum(
            (x - middle_x) ** 2 for x in xs
        )


@dataclass
class Results:
    when: str
    machine: str
    rounds: int
    quick: bool
    tools: dict[str, dict[str, str]]
    """Name -> version, settings."""
    series: list[Series] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)
    """What the other benchmarks print: title -> Markdown."""
    growth: list[Growth] = field(default_factory=list)

    def of(self, work: str, setting: str) -> dict[str, Series]:
        """Tool -> its series, of those that were measured."""
        return {
            each.tool: each
            for each in self.series
            if (each.work, each.setting) == (work, setting) and each.costs
        }

    def pairs(self) -> list[tuple[str, str]]:
        """Each work and setting, in the order they were measured."""
        return list(dict.fromkeys((each.work, each.setting) for each in self.series))

    def added_to(self, before: Results) -> Results:
        """Returns the earlier results with these in the place of those that they repeat."""
        new = {(each.work, each.setting, each.tool): each for each in self.series}
        when = f"{before.when} on {before.machine}"
        kept = [replace(each, measured=each.measured or when) for each in before.series]
        merged = [new.pop((each.work, each.setting, each.tool), each) for each in kept]
        return replace(
            self, rounds=max(self.rounds, before.rounds), tools={**before.tools, **self.tools},
            series=[*merged, *new.values()],
            sections={**before.sections, **self.sections}, growth=self.growth or before.growth,
        )  # fmt: skip

    def add_growth(self, new: Growth) -> None:
        """Adds a growth in place of an earlier one of the same work."""
        if any(each.work == new.work for each in self.growth):
            self.growth = [new if each.work == new.work else each for each in self.growth]
        else:
            self.growth.append(new)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self, default=_plain, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        read = json.loads(path.read_text())
        series = [
            Series(**{**each, "costs": [Cost(**cost) for cost in each["costs"]]})
            for each in read.pop("series")
        ]
        growth = [
            Growth(
                each["work"],
                each["title"],
                {int(n): [Cost(**cost) for cost in costs] for n, costs in each["costs"].items()},
            )
            for each in read.pop("growth", ())
        ]
        return cls(**read, series=series, growth=growth)


def ratio(found: dict[str, Series], others: tuple[str, ...], what: str) -> float | None:
    """Returns the ratio of the best of others to this one, in ``what`` (wall, cpu), if known."""
    costs = [getattr(found[name].median, what) for name in others if name in found]
    return min(costs) / getattr(found[OURS].median, what) if costs and OURS in found else None


def _plain(value: Any) -> Any:
    return value.as_json() if isinstance(value, Cost) else vars(value)
