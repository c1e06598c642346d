"""Holds the share of lines and of branches that the tests execute: `make coverage`.

Reads what `coverage run` measured in all processes: pytest's, the command's, forked workers. Tests
marked `long` count, slow ones do not, so what only executors of Spark run is missing: some 70 lines
in `spark/` (the session, the task that a worker unpickles, the query). pyproject.toml says which
files are left out. coverage's own threshold is one figure for both.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

from coverage import Coverage

MINIMUM = {"lines": 97.5, "branches": 94.5}
"""Percent that must be executed: a little less than what was measured, and raised with it."""
ROOT = Path(__file__).parents[1]
REPORT = ROOT / "build/coverage/report.json"
_MAX_FILES = 15
_SLACK = 1.0
"""Percent above a minimum from which the output says to raise it."""


def write_report() -> dict[str, dict[str, int]]:
    """Combines the data of all processes; returns the summary of each file and of the total."""
    measured = Coverage(config_file=str(ROOT / "pyproject.toml"))
    measured.combine()
    measured.save()
    measured.json_report(outfile=str(REPORT))
    report = json.loads(REPORT.read_text(encoding="utf-8"))
    files = {name: each["summary"] for name, each in report["files"].items()}
    return {**files, "total": report["totals"]}


def percent(executed: int, count: int) -> float:
    """Returns the share that was executed; all of nothing is 100 percent."""
    return 100.0 * executed / count if count else 100.0


def shares(summary: dict[str, int]) -> dict[str, float]:
    """Returns the executed share of lines and of branches, in percent."""
    return {
        "lines": percent(summary["covered_lines"], summary["num_statements"]),
        "branches": percent(summary["covered_branches"], summary["num_branches"]),
    }


def count_missing(summary: dict[str, int]) -> int:
    """Returns how many lines and branches were not executed."""
    return summary["missing_lines"] + summary["missing_branches"]


def main() -> int:
    """Prints the shares; returns 1 and lists the files with most gaps if one is too low."""
    summaries = write_report()
    measured = shares(summaries.pop("total"))
    too_low = [name for name, minimum in MINIMUM.items() if measured[name] < minimum]
    if too_low:
        worst = sorted(summaries, key=lambda name: -count_missing(summaries[name]))[:_MAX_FILES]
        for name in worst:
            lines, branches = shares(summaries[name]).values()
            missing = count_missing(summaries[name])
            sys.stdout.write(f"{lines:6.1f} {branches:6.1f} {missing:5} missing  {name}\n")
    for name, minimum in MINIMUM.items():
        verdict = "below" if name in too_low else "at least"
        sys.stdout.write(f"{measured[name]:.2f} % of {name} executed, {verdict} {minimum:g} %\n")
        if measured[name] >= minimum + _SLACK:
            sys.stdout.write(f"raise the minimum of {name} to {math.floor(measured[name])}\n")
    if too_low:
        sys.stdout.write("all gaps: coverage report --show-missing --skip-covered\n")
    return int(bool(too_low))


if __name__ == "__main__":
    sys.exit(main())
