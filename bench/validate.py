"""How long checking a spec takes: a large one after the imports, and the whole command on a small one."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rolerunner.actions import registry
from rolerunner.spec.loader import load_text

STEPS = 500
RUNS = 5
CONFIG = Path(__file__).parents[1] / "configs" / "blog_cross_role.yaml"


def large() -> str:
    step = (
        "  - id: s{n}\n    action: s3.list\n    role: reader\n    source: s3://bucket/${{{{ params.day }}}}/{n}/\n"
        "    include: ['**/*.csv', '${{{{ run.id }}}}']\n"
    )
    read = "    when: ${{{{ steps.s{before}.count > 0 }}}}\n"
    steps = "".join(step.format(n=n) + (read.format(before=n - 1) if n else "") for n in range(STEPS))
    return f"version: 1\nname: large\nparams: {{day: {{default: x}}}}\nroles: {{reader: 'arn:aws:iam::111122223333:role/r'}}\nsteps:\n{steps}"


def seconds(work: object) -> float:
    began = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - began


def main() -> None:
    text = large()
    load_text(text, "large.yaml", registry(), {})
    loads = [seconds(lambda: load_text(text, "large.yaml", registry(), {})) for _ in range(RUNS)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "rolerunner", "validate", str(CONFIG)]
    whole = [seconds(lambda: subprocess.run(command, check=True, capture_output=True, env=environment)) for _ in range(RUNS + 1)][1:]
    print(f"Python {platform.python_version()}, medians of {RUNS}")
    print(f"{STEPS} steps, after imports: {statistics.median(loads):.3f} s")
    print(f"rolerunner validate, small spec, all in all: {statistics.median(whole):.3f} s")


if __name__ == "__main__":
    main()
