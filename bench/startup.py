"""Measures the start of commands that do almost nothing, and the time of their imports."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import null_server
from measure import cost_of, environment_of, median, rolerunner, table
from tools import ACCOUNT, KEYS

ROUNDS = 7
BUILD = Path(__file__).parents[1] / "build/bench"
EMPTY = """\
version: 1
name: empty
steps: [{id: nothing, action: python.call, function: "bench_nothing:nothing"}]
"""
PAGE = (
    f"version: 1\nname: page\nroles: {{reader: 'arn:aws:iam::{ACCOUNT}:role/reader/r'}}\n"
    "steps: [{id: found, action: s3.list, role: reader, source: 's3://b-1000-16384/data/'}]\n"
)
LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +([\w.]+)")


def main() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    null_server.build(BUILD)
    with (
        tempfile.TemporaryDirectory() as name,
        null_server.serving(BUILD, null_server.HTTP) as server,
    ):
        folder, environment = Path(name), {**KEYS, "AWS_ENDPOINT_URL": server.url, "TMPDIR": name}
        (folder / "bench_nothing.py").write_text("def nothing(context):\n    return None\n")
        (folder / "empty.yaml").write_text(EMPTY)
        (folder / "page.yaml").write_text(PAGE)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "rolerunner --help": [rolerunner(), "--help"],
            "rolerunner validate, one step": [rolerunner(), "validate", "page.yaml"],
            "rolerunner run, one step that does nothing": [rolerunner(), "run", "empty.yaml"],
            "rolerunner run, one page of 1,000 keys under an assumed role": [
                rolerunner(),
                "run",
                "page.yaml",
            ],
        }
        rows = []
        for title, command in commands.items():
            cost = median([cost_of(command, environment, folder) for _ in range(ROUNDS + 1)][1:])
            rows.append(
                [title, f"{cost.wall * 1000:.0f}", f"{cost.cpu * 1000:.0f}", f"{cost.peak:.0f}"]
            )
        print(f"Medians of {ROUNDS} runs of the whole command.\n")
        print(table(["command", "ms", "CPU ms", "peak MiB"], rows))
        print(
            "Import times of the last command, by `python -X importtime`: milliseconds in the "
            "modules of each package, from 3 ms.\n"
        )
        took = _imports(folder / "page.yaml", environment_of(environment))
        print(
            table(
                ["package", "ms"],
                [(name, f"{us / 1000:.0f}") for name, us in took.most_common() if us >= 3000],
            )
        )


def _imports(spec: Path, environment: dict[str, str]) -> Counter[str]:
    """Maps packages to the microseconds in their own modules."""
    command = [sys.executable, "-X", "importtime", "-m", "rolerunner", "run", str(spec)]
    told = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    ).stderr
    took: Counter[str] = Counter()
    for spent, module in LINE.findall(told):
        took[module.partition(".")[0]] += int(spent)
    return took


if __name__ == "__main__":
    main()
