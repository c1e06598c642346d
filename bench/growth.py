"""Measures how the cost of works grows with the number of objects, and adds it to the page.

python bench/growth.py                          1,000 to 1,000,000 objects: some ten minutes
python bench/growth.py --largest 10000000 --only list --only verify
                                                ten million besides, on a quiet machine
python bench/growth.py --largest 100000 --rounds 1 --out build/bench     a trial
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import measure
import null_server
import run
from results import Growth, Results
from tools import Place, rolerunner_command
from works import SMALL, Work, problem

KINDS = ("list", "delete", "copy", "mirror", "verify")
SMALLEST, LARGEST = 1_000, 1_000_000


def main() -> None:
    options = _options()
    kept = options.out / "benchmarks.json"
    results = Results.load(kept if kept.exists() else run.ROOT / "docs/benchmarks.json")
    for each in measure_growth(options.only or KINDS, options.largest, options.rounds):
        results.add_growth(each)
        results.save(kept)  # whatever becomes of the rest
    run.write(results, options.out, kept)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", action="append", choices=KINDS, help="measure only this work; repeatable"
    )
    parser.add_argument(
        "--largest", type=int, default=LARGEST, metavar="N", help="objects at most; 1,000,000"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each; 3")
    parser.add_argument(
        "--out", type=Path, default=run.ROOT / "docs", metavar="DIR", help="folder of the page"
    )
    return parser.parse_args()


def measure_growth(kinds: list[str] | tuple[str, ...], largest: int, rounds: int) -> list[Growth]:
    """Returns the costs of works with one object, and with ten times as many again and again."""
    cache = run.ROOT / "build/bench"
    cache.mkdir(parents=True, exist_ok=True)
    null_server.build(cache)
    counts = [1]
    while (count := max(counts[-1] * 10, SMALLEST)) <= largest:
        counts.append(count)
    found = {kind: Growth(kind, Work(kind, kind, 1, SMALL).noun) for kind in kinds}
    with (
        null_server.serving(cache, null_server.HTTP) as server,
        tempfile.TemporaryDirectory(prefix="rolerunner-growth-") as folder,
    ):
        for count in counts:
            for number in range(rounds):
                for kind, growth in found.items():
                    work = Work(kind, kind, count, SMALL)
                    cost = _measure_work(work, server, Path(folder))
                    growth.add(count, cost)
                    told = f"{cost.wall:8.2f} s {cost.cpu:8.2f} CPU {cost.peak:6.0f} MiB"
                    print(f"{growth.title}, {count:,}, round {number + 1}: {told}", flush=True)
    return list(found.values())


def _measure_work(work: Work, server: null_server.Server, folder: Path) -> measure.Cost:
    place = Place(server, folder, folder / "target", folder)
    command, more = rolerunner_command("fast")(work, place)
    server.counts()
    cost = measure.cost_of(command, {**place.environment, **more}, folder)
    wrong = problem(work, server.counts(), place.target)
    if wrong:
        raise SystemExit(f"{work.title} left work undone: {wrong}")
    return cost


if __name__ == "__main__":
    main()
