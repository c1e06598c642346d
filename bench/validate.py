"""Measures the validation of a large spec without imports, and of a small one with them."""

from __future__ import annotations

import sys
from pathlib import Path

from measure import cost_of, median, median_seconds, table

from rolerunner.actions import registry
from rolerunner.spec.loader import load_spec

STEPS = 500
RUNS = 5
CONFIG = Path(__file__).parents[1] / "configs" / "blog_cross_role.yaml"


def large() -> str:
    step = (
        "  - id: s{n}\n    action: s3.list\n    role: reader\n    source: s3://bucket/${{{{ "
        "params.day }}}}/{n}/\n"
        "    include: ['**/*.csv', '${{{{ run.id }}}}']\n"
    )
    read = "    when: ${{{{ steps.s{before}.count > 0 }}}}\n"
    steps = "".join(
        step.format(n=n) + (read.format(before=n - 1) if n else "") for n in range(STEPS)
    )
    roles = "roles: {reader: 'arn:aws:iam::111122223333:role/r'}"
    return f"version: 1\nname: large\nparams: {{day: {{default: x}}}}\n{roles}\nsteps:\n{steps}"


def main() -> None:
    text = large()
    load_spec(text, "large.yaml", registry(), {})
    loaded = median_seconds(lambda: load_spec(text, "large.yaml", registry(), {}), RUNS)
    command = [sys.executable, "-m", "rolerunner", "validate", str(CONFIG)]
    whole = median([cost_of(command) for _ in range(RUNS + 1)][1:])
    print(f"Medians of {RUNS}.\n")
    rows = [
        (f"a spec of {STEPS} steps, after imports", f"{loaded:.3f}"),
        ("`rolerunner validate` of a small spec, including start-up", f"{whole.wall:.3f}"),
    ]
    print(table(["check", "seconds"], rows))


if __name__ == "__main__":
    main()
