"""Runs all benchmarks in turns, and writes docs/benchmarks.md and its picture.

Installs the peers and starts the null server first.

python bench/run.py                          everything: some hours, most of them for aws-cli
python bench/run.py --quick                  small sizes, one round: minutes; writes to build/bench
python bench/run.py --only download-small --only list --rounds 3 --tool rolerunner --tool rclone
python bench/run.py --only delete --add      this work again; the page keeps the other figures
python bench/run.py --setting suite --add   the workloads of AWS's benchmark suite
python bench/run.py --only list --setting tls --cpu 0.25 --memory 1024 --add
                                             as in the smallest Python Shell of AWS Glue
python bench/run.py --sections --add         the sections at the end of the page again, no work
python bench/run.py --sections spark --add   this section again
python bench/run.py --page-only              the page again, without measuring
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import growth_picture
import measure
import null_server
import page
import picture
from results import Results, Series
from tools import Place, Tool, chosen_tools
from works import Work, make_source, problem, works

ROOT = Path(__file__).parents[1]
OTHERS = {
    "Start-up": "startup.py",
    "Where the CPU time goes": "profiles.py",
    "Overhead of the runner": "runner.py",
    "A copy between roles, in DPU-seconds": "cost.py",
    "Roles": "roles.py",
    "Validation of a spec": "validate.py",
    "Spark": "spark.py",
}
"""Maps titles to the scripts that print the sections."""
PICTURED = "tls"


@dataclass(frozen=True)
class Bench:
    """The tools, the folder of files, the patience in seconds, and the results."""

    tools: list[Tool]
    folder: Path
    patience: float
    results: Results
    limits: measure.Limits


def main() -> None:
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # the server is stopped, and files are removed, then too
    options = _options()
    out: Path = options.out or (ROOT / "build/bench" if options.quick else ROOT / "docs")
    cache = Path(options.cache)
    cache.mkdir(parents=True, exist_ok=True)
    kept = out / "benchmarks.json"
    if options.page_only:
        write(Results.load(kept), out, kept)
        return
    null_server.build(cache)
    found = chosen_tools(cache, options.tool)
    chosen = [
        work
        for work in works(quick=options.quick)
        if (not options.only or work.name in options.only) and options.sections is None
    ]
    results = Results(
        f"{datetime.now(timezone.utc):%Y-%m-%d}", measure.machine(), options.rounds, options.quick,
        {tool.name: {"version": tool.version, "settings": tool.settings} for tool in found},
    )  # fmt: skip
    with _workplace(options.workdir) as folder:
        limits = measure.Limits(options.cpu, options.memory)
        bench = Bench(found, folder, options.patience, results, limits)
        for work in chosen:
            for setting in work.settings:
                if not options.setting or setting.name in options.setting:
                    with null_server.serving(cache, setting) as server:
                        _in_turns(work, setting.with_limits(limits), server, bench)
                    results.save(out / "measured.json")  # whatever becomes of the rest
            shutil.rmtree(folder / "sources", ignore_errors=True)
    if not options.only and not options.setting:
        results.sections = {
            title: _section(script)
            for title, script in OTHERS.items()
            if not options.sections or Path(script).stem in options.sections
        }
    if options.add:
        results = results.added_to(Results.load(kept))
        places = {
            (work.name, setting.name): place
            for place, (work, setting) in enumerate(
                (w, s) for w in works(quick=False) for s in w.settings
            )
        }
        results.series.sort(key=lambda each: places[each.work, each.setting.split(",")[0]])
    write(results, out, kept)
    (out / "measured.json").unlink(missing_ok=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small sizes, to test the benchmark; one round by default",
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="runs of each tool for each work; 5 by default"
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="WORK",
        choices=[work.name for work in works(quick=False)],
        help="run only this work; repeatable",
    )
    parser.add_argument(
        "--setting",
        action="append",
        choices=["http", "tls", "late", "pages", "suite"],
        help="run only this setting of the server; repeatable",
    )
    parser.add_argument(
        "--tool",
        action="append",
        metavar="TOOL",
        help="run only this tool, such as rolerunner, s5cmd or rclone; repeatable",
    )
    parser.add_argument(
        "--cpu",
        type=float,
        default=0,
        metavar="N",
        help="CPUs that each tool may use, such as 0.25; they are a setting of their own",
    )
    parser.add_argument(
        "--memory",
        type=int,
        default=0,
        metavar="MIB",
        help="memory of all processes of a tool, above which its work counts as failed",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=180,
        metavar="S",
        help="seconds of a work after which a tool gets no more rounds; 180 by default",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the page; docs by default, build/bench with --quick",
    )
    parser.add_argument(
        "--workdir",
        metavar="DIR",
        help="folder for files; by default a tmpfs with 8 GiB free, so that no disk is measured",
    )
    parser.add_argument(
        "--cache",
        default=str(ROOT / "build/bench"),
        metavar="DIR",
        help="folder of the peers' environment and the server; build/bench by default",
    )
    parser.add_argument(
        "--add",
        action="store_true",
        help="keep the figures of other works, settings and tools in benchmarks.json of --out",
    )
    parser.add_argument(
        "--sections",
        nargs="*",
        choices=[Path(script).stem for script in OTHERS.values()],
        metavar="NAME",
        help="measure no work, only these sections, such as startup or spark, or all of them",
    )
    parser.add_argument(
        "--page-only",
        action="store_true",
        help="render the page from benchmarks.json in --out, without measuring",
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    return options


@contextlib.contextmanager
def _workplace(wanted: str | None) -> Iterator[Path]:
    roomy = os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > 8 << 30
    with tempfile.TemporaryDirectory(
        prefix="rolerunner-bench-", dir=wanted or ("/dev/shm" if roomy else None)
    ) as name:
        yield Path(name)


def _in_turns(
    work: Work, setting: null_server.Setting, server: null_server.Server, bench: Bench
) -> None:
    """Runs every tool once, then again, so that other load on the machine affects all of them."""
    source = make_source(work, bench.folder / "sources")
    series = {
        tool.name: Series(
            work.name, work.title, setting.name, setting.title, tool.name, work.peers, work.aws
        )
        for tool in bench.tools
    }
    bench.results.series += series.values()
    server.prepare(work.bucket)
    for number in range(bench.results.rounds):
        for tool in bench.tools:
            mine = series[tool.name]
            if (mine.why and not mine.costs) or sum(
                cost.wall for cost in mine.costs
            ) > bench.patience:
                continue
            _once(
                work,
                tool,
                Place(server, source, bench.folder / "target", bench.folder / "scratch"),
                mine,
                bench.limits,
            )
            told = (
                f"{mine.costs[-1].wall:8.2f} s {mine.costs[-1].cpu:8.2f} CPU"
                if mine.costs
                else mine.why or "does not do this"
            )
            print(
                f"{work.title}, {setting.title}, round {number + 1}: {tool.name:<20} {told}",
                flush=True,
            )


def _once(work: Work, tool: Tool, place: Place, series: Series, limits: measure.Limits) -> None:
    for folder in (place.target, place.scratch):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    command, more = tool.command(work, place) or ([], {})
    if not command:
        return
    place.server.counts()
    try:
        cost = measure.cost_of(command, {**place.environment, **more}, place.scratch, limits)
    except measure.Failed as error:
        series.why = f"failed: {str(error).splitlines()[-1][:200]}"
        print(
            error,
            *(path.read_text() for path in place.scratch.glob("result.json")),
            file=sys.stderr,
        )
        return
    wrong = problem(work, place.server.counts(), place.target)
    if wrong:
        series.why = f"left work undone: {wrong}"
        return
    series.costs.append(cost)


def _section(script: str) -> str:
    """Returns the output of another benchmark, run in a plain environment."""
    print(f"{script} ...", flush=True)
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / script)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=measure.environment_of(),
        cwd=ROOT,
    )
    return done.stdout


def write(results: Results, out: Path, kept: Path) -> None:
    """Writes the page, its pictures and the results that they were made of."""
    results.save(kept)
    drawn = picture.svg(results, PICTURED)
    if drawn:
        (out / "benchmarks.svg").write_text(drawn)
    grown = growth_picture.growth_svg(results)
    if grown:
        (out / "growth.svg").write_text(grown)
    pictures = ["benchmarks.svg"] if drawn else []
    text = page.page(results, pictures, "growth.svg" if grown else "")
    (out / "benchmarks.md").write_text(text)
    print(*page.verdicts(results), sep="\n")
    print(f"written: {out / 'benchmarks.md'}")


if __name__ == "__main__":
    main()
