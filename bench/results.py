"""What was measured: kept as JSON, and asked for medians and ratios."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from measure import Cost, median

if TYPE_CHECKING:
    from pathlib import Path

OURS = "rolerunner"
PEERS = ("s5cmd", "rclone")
AWS = ("aws-cli",)
LIMIT = "yardstick"


@dataclass
class Series:
    """The runs of one tool at one work in one setting.

    ``why`` gives the reason if there are none, or fewer than of other tools.
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

    @property
    def median(self) -> Cost:
        return median(self.costs)


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
        """What was measured before, but for what was measured now, and this."""
        new = {(each.work, each.setting, each.tool): each for each in self.series}
        merged = [new.pop((each.work, each.setting, each.tool), each) for each in before.series]
        return replace(
            self, rounds=max(self.rounds, before.rounds), tools={**before.tools, **self.tools},
            series=[*merged, *new.values()],
            sections={**before.sections, **self.sections},
        )  # fmt: skip

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
        return cls(**read, series=series)


def ratio(found: dict[str, Series], others: tuple[str, ...], what: str) -> float | None:
    """Returns the ratio of the best of others to this one, in ``what`` (wall, cpu), if known."""
    costs = [getattr(found[name].median, what) for name in others if name in found]
    return min(costs) / getattr(found[OURS].median, what) if costs and OURS in found else None


def _plain(value: Any) -> Any:
    return value.as_json() if isinstance(value, Cost) else vars(value)
