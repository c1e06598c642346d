"""Renders what was wanted of the works, what was reached, and what limits the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from growth_page import WANTED_EXPONENT, WANTED_PEAK
from measure import table
from results import LIMIT, OURS, PEERS, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from results import Results

INTRODUCTION = """## What was wanted, and what limits the rest

Ratios of wall time, as in the table above; above 1, rolerunner is faster. Those of Spark are the
time of a step on executors divided by that of the same step alone; below 1, Spark is cheaper.
"""
WANTED_START_CPU, WANTED_START_PEAK = 17.5, 36
"""An empty step: CPU time in starts of the interpreter (140 ms of 8 ms), and MiB."""
PAGE = "rolerunner run, one page of 1,000 keys under an assumed role"
_START = re.compile(
    r"^\| (?P<command>[^|]+) \| \d+ \| (?P<cpu>\d+) \| (?P<peak>\d+) \|$", re.MULTILINE
)


@dataclass(frozen=True)
class Target:
    """The ratio that was wanted of a work in a setting, beside the better of some tools."""

    work: str
    setting: str
    others: tuple[str, ...]
    wanted: float

    @property
    def is_of_bytes(self) -> bool:
        """True if moving the bytes limits the work, and not the start of the command."""
        return self.work.endswith("large")


TARGETS = (
    Target("download-large", "http", PEERS, 1.05),
    Target("download-large", "tls", PEERS, 1.05),
    Target("upload-large", "http", PEERS, 2.0),
    Target("upload-large", "tls", PEERS, 2.0),
    Target("delete-few", "http", ("s5cmd",), 0.8),
    Target("delete", "http", ("s5cmd",), 1.2),
    Target("delete-many", "http", ("s5cmd",), 2.5),
    Target("delete-most", "http", ("s5cmd",), 3.0),
)

SPARK_TARGETS = {"copy": 1.3, "list": 2.0, "delete": 2.0, "call": 2.0}
"""The multiple of its CPU time alone that a step may take with Spark, where S3 answers at once."""
_SPARK = re.compile(
    r"^\| (?P<delay>\d+) \| (?P<work>\w+) \| \d+ \|(?:[^|]+\|){7} (?P<cpu>[\d.]+) "
    r"\| (?P<wall>[\d.]+) \|$",
    re.MULTILINE,
)


def target_section(results: Results) -> Iterator[str]:
    """Yields the section on the targets, if one of its works was measured."""
    rows = [
        *_work_rows(results),
        *_start_rows(results),
        *_spark_rows(results),
        *_growth_rows(results),
    ]
    if rows:
        yield INTRODUCTION
        yield table(["work", "wanted", "reached", "what limits it"], rows)


def _work_rows(results: Results) -> Iterator[list[str]]:
    for target in TARGETS:
        found = results.of(target.work, target.setting)
        reached = ratio(found, target.others, "wall")
        if reached is None:
            continue
        better = "the better of " if len(target.others) > 1 else ""
        beside = f"beside {better}{' and '.join(target.others)}"
        yield [
            f"{found[OURS].title}, {found[OURS].setting_title}, {beside}",
            f"{target.wanted:g}",
            f"{reached:.2f}",
            "" if reached >= target.wanted else _explain_limit(results, target),
        ]


def _explain_limit(results: Results, target: Target) -> str:
    found = results.of(target.work, target.setting)
    if not target.is_of_bytes:
        cpu, _ = _read_starts(results).get(PAGE, (0, 0))
        other = found[target.others[0]].median
        return (
            f"the start: Python, botocore and pydantic take {cpu} ms of CPU before the first "
            f"request of an object, and {target.others[0]} ends after {other.wall * 1000:,.0f} ms"
        )
    if LIMIT not in found:
        return ""
    of_limit = min(found[name].median.wall for name in target.others if name in found)
    return (
        f"this machine: the C program that only moves the bytes and computes their CRC32 reaches "
        f"{of_limit / found[LIMIT].median.wall:.2f}"
    )


def _read_starts(results: Results) -> dict[str, tuple[int, int]]:
    """Maps the commands of the section on start-up to their CPU time in ms and peak in MiB."""
    rows = _START.finditer(results.sections.get("Start-up", ""))
    return {each["command"]: (int(each["cpu"]), int(each["peak"])) for each in rows}


def _start_rows(results: Results) -> Iterator[list[str]]:
    rows = _read_starts(results)
    bare = rows.get("python -c pass")
    empty = rows.get("rolerunner run, one step that does nothing")
    if bare and empty:
        is_reached = empty[0] / bare[0] <= WANTED_START_CPU and empty[1] <= WANTED_START_PEAK
        yield [
            "an empty step: CPU in starts of the interpreter; peak",
            f"{WANTED_START_CPU:g}; {WANTED_START_PEAK} MiB",
            f"{empty[0] / bare[0]:.1f}; {empty[1]} MiB",
            "" if is_reached else "pydantic, which checks the spec, takes a third of it",
        ]


def _growth_rows(results: Results) -> Iterator[list[str]]:
    for each in results.growth:
        peak = max(cost.peak for costs in each.costs.values() for cost in costs)
        is_reached = not each.exponent > WANTED_EXPONENT and peak < WANTED_PEAK
        yield [
            f"{each.title}, to {each.counts[-1]:,}: exponent; peak",
            f"{WANTED_EXPONENT:g}; {WANTED_PEAK} MiB",
            f"{each.exponent:.2f}; {peak:.0f} MiB",
            "" if is_reached else "measured in few rounds: the start varies more than the slope",
        ]


def _spark_rows(results: Results) -> Iterator[list[str]]:
    for row in _SPARK.finditer(results.sections.get("Spark", "")):
        work, cpu = row["work"], float(row["cpu"])
        if row["delay"] == "0" and work in SPARK_TARGETS:
            wanted = SPARK_TARGETS[work]
            yield [
                f"Spark: {work}, CPU",
                f"at most {wanted:g}",
                f"{cpu:.2f}",
                ""
                if cpu <= wanted
                else "a Spark job, which costs half a second of CPU, more than the calls",
            ]
        elif work == "copy":
            yield [
                f"Spark: copy, {row['delay']} ms a request, wall time",
                "less than 1",
                f"{float(row['wall']):.2f}",
                "" if float(row["wall"]) < 1 else "both have the same cores",
            ]
