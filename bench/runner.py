"""Measures the overhead of the runner with 1,000 steps that do nothing."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from measure import median_seconds, table

from rolerunner import api

ROUNDS = 5
STEPS = 1000


def spec(folder: Path, count: int, *, wide: int = 0, state: bool = False) -> Path:
    path = folder / f"job-{count}-{wide}-{state}.yaml"
    lines = ["version: 1", "name: bench", f"max_parallel: {64 if wide else 1}"]
    lines += [f"state: {{location: {folder}/state}}"] if state else []
    lines += ["steps:"]
    for number in range(count):
        needs = f", needs: [{f's{number - wide}' if number >= wide else ''}]" if wide else ""
        lines.append(
            f"  - {{id: s{number}, action: python.call, function: 'bench_nothing:nothing'{needs}}}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def run(path: Path) -> None:
    result = api.run(api.load(path))
    assert result.status == "succeeded", result


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bench_nothing.py").write_text("def nothing(context):\n    return None\n")
        rows = {
            f"{STEPS} steps, one after another": spec(folder, STEPS),
            f"{STEPS} steps, state on disk": spec(folder, STEPS, state=True),
            f"{STEPS} steps, 100 wide, 64 at once": spec(folder, STEPS, wide=100),
            "50 steps, state on disk": spec(folder, 50, state=True),
        }
        run(spec(folder, 1))  # imports
        took = {title: median_seconds(partial(run, path), ROUNDS) for title, path in rows.items()}
        print(
            "Steps with a function that does nothing, including validation of the spec; medians "
            f"of {ROUNDS}.\n"
        )
        steps = {title: 50 if title.startswith("50") else STEPS for title in took}
        print(
            table(
                ["run", "seconds", "ms a step"],
                [
                    (title, f"{spent:.2f}", f"{spent / steps[title] * 1000:.2f}")
                    for title, spent in took.items()
                ],
            )
        )


if __name__ == "__main__":
    main()
