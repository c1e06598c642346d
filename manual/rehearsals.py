"""Rehearses two jobs on every runtime and writes the table of docs/glue.md: `make rehearsals`.

Each cell is of a run; seconds and memory are of the main job, on the machine that runs this.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolerunner.glue.launch.runtime import RUNTIMES
from rolerunner.glue.rehearsal.package_lists import list_packages

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "glue.md"
TABLE = re.compile(
    r"(?<=<!-- from runs: rehearsals \(make rehearsals\) -->\n).*?(?=<!-- end -->)", re.DOTALL
)
HEADINGS = (
    "runtime",
    "Python",
    "starts offline",
    "boto3",
    "starts in",
    "memory",
    "main job",
    "roles on Spark",
)
_MAIN_JOB = "configs/blog_cross_role.yaml"
_SPARK_JOB = "manual/spark_roles.yaml"
"""Executors and S3A under two roles."""


def main() -> None:
    """Writes the table; a runtime that fails says so in its row."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *map(list_cells, RUNTIMES)]
    table = "\n".join([name_lists(), "", *(f"| {' | '.join(row)} |" for row in rows)])
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub(lambda _: f"\n{table}\n\n", text), encoding="utf-8")


def name_lists() -> str:
    """Returns a comment that names the package lists; a table with another one is out of date."""
    named = ", ".join(f"{name} {list_packages(each).hash}" for name, each in RUNTIMES.items())
    return f"<!-- package lists: {named} -->"


def list_cells(runtime: str) -> Iterable[str]:
    """Returns the row of a runtime."""
    main_job = rehearse(_MAIN_JOB, runtime)
    spark_job = rehearse(_SPARK_JOB, runtime) if RUNTIMES[runtime].is_spark else None
    shipped = "" if main_job["boto3_is_provided"] else " (shipped)"
    started = main_job["starts"]
    return (
        f"`{runtime}`",
        main_job["python"],
        "yes" if started else "no",
        f"{main_job['boto3']}{shipped}" if started else "",
        f"{main_job['start_seconds']:.1f} s" if started else "",
        f"{main_job['memory_mb']:.0f} MB" if started else "",
        describe_end(main_job),
        "has no Spark" if spark_job is None else describe_end(spark_job),
    )


def describe_end(rehearsal: dict[str, Any]) -> str:
    """Returns the cell for how a job ended."""
    return "succeeds" if rehearsal["succeeded"] else "fails"


def rehearse(spec: str, runtime: str) -> dict[str, Any]:
    """Returns the outcome of one rehearsal; ends the program if there is none."""
    command = [sys.executable, "-m", "rolerunner", "rehearse", spec, "--runtime", runtime]
    ended = subprocess.run(  # noqa: S603
        [*command, "--format", "json"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    if not ended.stdout:
        sys.exit(ended.returncode)
    (found,) = json.loads(ended.stdout)
    if found["reason"]:
        sys.stderr.write(f"{runtime}: {found['reason']}\n")
    outcome: dict[str, Any] = found
    return outcome


if __name__ == "__main__":
    main()
