"""Renders the page docs/benchmarks.md from the measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from growth_page import growth_section, growth_verdicts
from measure import table
from results import AWS, LIMIT, OURS, PEERS, Results, Series, ratio
from targets import target_section

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRODUCTION = """# Benchmarks

`make bench` generates this page. Each figure is the median of {rounds} run{s} of a whole command,
from its start to its end. For rolerunner, that is `rolerunner run` with a spec of one step:
imports, AssumeRole, verification of checksums and the result file are included.

* The tools take turns, so other load on the machine affects all of them.
* Client and server share the same cores. The server ([bench/s3null.c](../bench/s3null.c)) responds
  at almost no cost: it verifies no signatures and stores nothing. It counts the work that was done,
  so a tool that leaves work out is not measured.
* Read the ratios, not the seconds: against S3, the network determines the rest. CPU time matters
  most for a Glue job with a quarter of a core.

Measured {when} on {machine}.{quick}
"""
QUICK = (
    " **These are small sizes, which only test the benchmark: the start takes most of the time, so "
    "the ratios mean little.**"
)


RATIOS = """## Compared with other tools

The columns with a colon are ratios of wall time and CPU time: the better of s5cmd and rclone
("peers") divided by rolerunner, and the better of aws-cli 1 and 2 divided by rolerunner. Above 1,
rolerunner is faster.
s5cmd and rclone verify no checksums of downloads here; rolerunner verifies every byte.

"limit" is what moving the bytes costs on this machine, whatever the client: a C program
([bench/yardstick.c](../bench/yardstick.c)) that reads or sends one large object over 4 connections
and computes its CRC32, divided by rolerunner. At 0.80, four fifths of rolerunner's time are the
kernel's, OpenSSL's and the checksum's.
"""
NOTES = {
    "suite": """The workloads of
[awslabs/aws-crt-s3-benchmarks](https://github.com/awslabs/aws-crt-s3-benchmarks) by number and
size of their objects, against the server of this page instead of S3. `5GiB-10x` is scaled to 10
objects of 512 MiB, since 50 GiB do not fit here. `Caltech256` has the 30,607 objects of that data
set and their mean of 38 KiB, in sizes of a log-normal distribution instead of the images' own. The
suite's runners are not used: every tool has the settings that are listed below. Both versions of
aws-cli use their classic transfer client: the CRT's client of Debian's aws-cli 2 accepts no
endpoint with a port.
""",
}
"""Maps settings to what their tables need to be understood."""


LIMITED = """In settings with a limit, each tool had that share of a CPU: the smallest Python Shell
of AWS Glue has a quarter of one, and 1 GiB of memory. The limit is a control group's `cpu.max` or,
where none can be written, the processes of the tool were stopped for the rest of each 100 ms in
which they had had their time. The server has no limit.
"""


def page(results: Results, pictures: list[str], growth_picture: str = "") -> str:
    """Returns the page; the pictures are names of files in the same folder."""
    plural, quick = "" if results.rounds == 1 else "s", QUICK if results.quick else ""
    parts = [
        INTRODUCTION.format(
            rounds=results.rounds, s=plural, when=results.when, machine=results.machine, quick=quick
        ),
        *_list_earlier(results),
        *(f"![Bar chart of the seconds for each command]({name})\n" for name in pictures),
        RATIOS,
        _ratios(results),
        *target_section(results),
        *([LIMITED] if any("limited" in each.setting_title for each in results.series) else []),
        *_details(results),
        *growth_section(results, growth_picture),
        "## The tools\n",
        table(
            ["tool", "version", "settings"],
            ([name, each["version"], each["settings"]] for name, each in results.tools.items()),
        ),
        *(f"## {title}\n\n{text}" for title, text in results.sections.items()),
    ]
    return "\n".join(parts)


def _list_earlier(results: Results) -> Iterator[str]:
    """Yields a paragraph for each earlier measurement, since machines differ."""
    now = f"{results.when} on {results.machine}"
    earlier: dict[str, dict[str, list[str]]] = {}
    for each in results.series:
        if each.tool == OURS and each.costs and each.measured not in ("", now):
            works = earlier.setdefault(each.measured, {})
            works.setdefault(each.title, []).append(each.setting_title)
    for when, works in earlier.items():
        yield f"Measured {when}, so that their seconds do not compare with the others:\n"
        yield "\n".join(f"* {title}: {'; '.join(settings)}" for title, settings in works.items())
        yield ""


def _ratios(results: Results) -> str:
    head = [
        "work",
        "setting",
        "seconds",
        "CPU seconds",
        "peak MiB",
        "wall: peers",
        "CPU: peers",
        "wall: aws-cli",
        "CPU: aws-cli",
        "wall: limit",
        "CPU: limit",
    ]
    rows = []
    for work, setting in results.pairs():
        found = results.of(work, setting)
        if OURS in found:
            series = found[OURS]
            cost = series.median
            ratios = (
                ratio(found, others, what)
                for others in (PEERS, AWS, (LIMIT,))
                for what in ("wall", "cpu")
            )
            rows.append([
                series.title, series.setting_title, f"{cost.wall:.2f}", f"{cost.cpu:.2f}",
                f"{cost.peak:.0f}", *(_times(each) for each in ratios),
            ])  # fmt: skip
    return table(head, rows)


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _details(results: Results) -> Iterator[str]:
    for setting in dict.fromkeys(setting for _, setting in results.pairs()):
        mine = [each for each in results.series if each.setting == setting]
        names = [
            name for name in results.tools if any(each.tool == name and each.costs for each in mine)
        ]
        title = f"{mine[0].setting_title[0].upper()}{mine[0].setting_title[1:]}"
        yield (
            f"## {title}\n\nWall seconds / CPU seconds / peak MiB of all processes of the tool.\n"
        )
        if setting in NOTES:
            yield NOTES[setting]
        works = dict.fromkeys(each.work for each in mine)
        rows = [
            [found[next(iter(found))].title, *(_cell(found.get(name), results) for name in names)]
            for found in (results.of(w, setting) for w in works)
            if found
        ]
        yield table(["work", *names], rows)
        notes = list(
            dict.fromkeys(f"* {each.tool}, {each.title}: {each.why}" for each in mine if each.why)
        )
        if notes:
            yield "\n".join(notes) + "\n"


def _cell(series: Series | None, results: Results) -> str:
    if series is None:
        return ""
    cost = series.median
    fewer = (
        f" ({len(series.costs)} run{'s' if len(series.costs) > 1 else ''})"
        if len(series.costs) < results.rounds
        else ""
    )
    return f"{cost.wall:.2f} / {cost.cpu:.2f} / {cost.peak:.0f}{fewer}"


def verdicts(results: Results) -> Iterator[str]:
    """Yields a line for the console for each target, and what was reached."""
    yield from growth_verdicts(results)
    for work, setting in results.pairs():
        found = results.of(work, setting)
        if OURS in found:
            series = found[OURS]
            for who, others, wanted in (
                ("peers", PEERS, series.peers),
                ("aws-cli", AWS, series.aws),
            ):
                reached = ratio(found, others, "wall")
                if reached is not None and wanted:
                    told = "ok  " if reached >= wanted else "LESS"
                    yield (
                        f"{told} {series.title}, {series.setting_title}: "
                        f"{reached:.2f} x {who}, wanted {wanted:g}"
                    )
