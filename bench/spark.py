"""Measures distributed steps beside the same steps without Spark, on the cores of this machine.

Each run has all works as steps: a list, a copy within S3 and one between two roles, a deletion,
python.call with objects, and a copy of one large object between two roles. Each work is done with
a few and with many objects: the difference is the cost of an object, the rest the cost of a step.
Before that each work is done once, which starts Spark, the executors and their workers, and has
Java compile what Spark runs; that is a row of its own. CPU time is that of all processes of a run:
this process, the JVMs, and the Python workers.

python bench/spark.py [--objects 5000 20000] [--large 1 4] [--delays 0 20] [--works copy list]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import null_server
from session_meter import Cost, SessionMeter

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.spark_venv import python_with_spark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROLE = "arn:aws:iam::123456789012:role/r"
"""The role of which the null server returns sessions."""
BETWEEN = "source_role: reader, target_role: writer"
WORKS = {
    "list": "action: s3.list, source: 's3://l-{count}-16384/', role: job",
    "copy": "action: s3.copy, source: 's3://b-{count}-16384/', role: job, "
    "target: 's3://target-bucket/copy/'",
    "relay": "action: s3.copy, source: 's3://b-{count}-16384/', "
    f"{BETWEEN}, target: 's3://target-bucket/relay/'",
    "delete": "action: s3.delete, source: 's3://b-{count}-16384/data/', role: job, "
    "max_delete: {count}",
    "call": "action: python.call, function: 'own.py:measure', role: job, "
    "objects: '${{{{ steps.find_{count}.objects }}}}'",
    "large": "action: s3.copy, source: 's3://b-1-{count}/data/obj-00000000.bin', "
    f"{BETWEEN}, target: 's3://target-bucket/large.bin'",
}
"""The step of each work, for a number of objects; for the bytes of a large one."""
FIND = "action: s3.list, source: 's3://b-{count}-16384/', role: job"
SCALE = {"list": 20, "copy": 1, "relay": 0.2, "delete": 5, "call": 5}
"""The objects of a work for each of ``--objects``: a cheap work needs more to be measured."""
FIRST = {
    "list": 60_000, "copy": 2_000, "relay": 200, "delete": 4_000, "call": 4_000, "large": 300 << 20
}  # fmt: skip
"""The objects of the first step of a work."""
OWN = """
def measure(context, objects):
    return {"objects": len(objects), "bytes": sum(each["size"] for each in objects)}
"""


INTRODUCTION = """Steps with `distribute: spark` beside the same steps alone, without Spark, on the
same {cores} cores: CPU seconds of all processes, of a step and of 1,000 more objects (of one GiB of
a large one), less the start of Spark. The last four columns are those of {works}.
"""


@dataclass(frozen=True)
class Run:
    """The cost of all of a run, and those of its steps by their ids."""

    whole: Cost
    steps: Mapping[str, Cost]

    def cost_of_start(self) -> Cost:
        """Returns the cost of all but the steps that are measured."""
        return self.whole - sum(
            (cost for id_, cost in self.steps.items() if id_.startswith(("few-", "many-"))), Cost()
        )


@dataclass(frozen=True)
class Line:
    """The median costs of a work with few and with many objects, and the difference of these."""

    few: Cost
    many: Cost
    count: int
    more: int

    @classmethod
    def of(cls, runs: Sequence[Run], work: str, counts: Sequence[int]) -> Line:
        few, many = (
            find_median([run.steps[f"{size}-{work}"] for run in runs]) for size in ("few", "many")
        )
        return cls(few, many, counts[0], counts[1] - counts[0])

    @property
    def each(self) -> float:
        """CPU seconds of one more object; of one more byte of a large one."""
        return (self.many.cpu - self.few.cpu) / self.more

    @property
    def fixed(self) -> float:
        """CPU seconds of the step whatever the number of its objects."""
        return self.few.cpu - self.each * self.count


def find_median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(values) for values in zip(*map(astuple, costs))))


def build_spec(works: Mapping[str, Sequence[int]], distribute: str) -> str:
    """Returns a spec with the works as steps, one after the other."""
    lines = [
        "version: 1",
        "name: bench",
        "max_parallel: 1",
        f"roles: {{reader: '{ROLE}', writer: {{arn: '{ROLE}', session_name: writer}}}}",
        "steps:",
    ]
    if "call" in works:
        finds = (FIRST["call"], *works["call"])
        lines += [f"  - {{id: find_{count}, {FIND.format(count=count)}}}" for count in finds]
    for number, size in enumerate(("first", "few", "many")):
        for work, counts in works.items():
            step = WORKS[work].format(count=(FIRST[work], *counts)[number])
            lines.append(f"  - {{id: {size}-{work}, {step}{distribute}}}")
    return "\n".join(lines) + "\n"


def measure_run(
    python: Path, server: str, spec: str, executors: int, options: argparse.Namespace
) -> Run:
    """Runs the spec. Ends the program if it fails, or if a step has another count than it says."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "job.yaml").write_text(spec)
        (folder / "own.py").write_text(OWN)
        settings = (
            f"--master local-cluster[{executors},1,1024] --conf spark.ui.enabled=false "
            f"--conf spark.executor.memory=512m --driver-java-options '{options.java}' "
            f"--conf spark.executor.extraJavaOptions='{options.java}' pyspark-shell"
        )
        environment = {
            **os.environ, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": server,
            "AWS_EC2_METADATA_DISABLED": "true", "TMPDIR": name, "PYSPARK_PYTHON": str(python),
            "PYSPARK_SUBMIT_ARGS": settings, "SPARK_LOCAL_IP": "127.0.0.1",
            **({"PYTHONPATH": options.framework} if options.framework else {}),
        }  # fmt: skip
        command = [str(python), "-m", "rolerunner", "run", "job.yaml", "--log-format", "json"]
        with (folder / "log").open("wb") as log:
            started_at = time.time()
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
            meter = SessionMeter(process.pid)
            try:
                status = process.wait()
            finally:
                meter.stop()
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        text = (folder / "log").read_text()
        if status:
            raise SystemExit(text[-3000:])
        return Run(meter.measure(started_at, time.time()), dict(_read_costs(text, meter)))


def _read_costs(log: str, meter: SessionMeter) -> Iterator[tuple[str, Cost]]:
    starts: dict[str, float] = {}
    for line in log.splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "step_started":
            starts[event["step"]] = _parse_time(event["timestamp"])
        elif event.get("event") == "step_finished":
            step, outputs = event["step"], event["outputs"]
            _COUNTS.setdefault(step, set()).add(outputs.get("count", outputs.get("objects")))
            cost = meter.measure(starts[step], _parse_time(event["timestamp"]))
            yield step, replace(cost, wall=event["seconds"])


_COUNTS: dict[str, set[int]] = {}
"""The counts of objects that the steps of all runs have had."""


def check_counts(works: Mapping[str, Sequence[int]]) -> None:
    """Ends the program if a step had another count of objects than its work."""
    for work, counts in works.items():
        for size, count in zip(("few", "many"), (1, 1) if work == "large" else counts):
            if _COUNTS[f"{size}-{work}"] != {count}:
                raise SystemExit(f"{size}-{work}: {_COUNTS[f'{size}-{work}']}")


def _parse_time(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def choose_counts(options: argparse.Namespace) -> dict[str, tuple[int, int]]:
    """Returns few and many objects for each work."""
    few, many = (
        {
            work: int(large * (1 << 30)) if work == "large" else int(count * SCALE[work])
            for work in options.works
        }
        for count, large in zip(options.objects, options.large)
    )
    return {work: (few[work], many[work]) for work in few}


def _describe_works(works: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(
        f"{work} {many >> 30} GiB" if work == "large" else f"{work} {many:,}"
        for work, (_, many) in works.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, nargs=2, default=[5_000, 20_000])
    parser.add_argument("--large", type=float, nargs=2, default=[1, 4], help="GiB")
    parser.add_argument("--works", nargs="+", choices=list(WORKS), default=list(WORKS))
    parser.add_argument("--executors", type=int, nargs="+", default=[2])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--delays", type=int, nargs="+", default=[0, 20], help="ms an answer")
    parser.add_argument("--framework", default="", help="folder of another rolerunner to measure")
    parser.add_argument("--java", default="-Drolerunner=bench", help="options of all JVMs")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the run is ended, too
    python = python_with_spark()
    if python is None:
        print("Not measured: Python 3.11 and Java are needed.")
        return
    works = choose_counts(options)
    print(INTRODUCTION.format(cores=os.cpu_count(), works=_describe_works(works)))
    print(
        "| delay, ms | work | executors | alone: step | alone: + 1,000 | Spark: step "
        "| Spark: + 1,000 | ratio of + 1,000 | alone | Spark (JVMs, workers) | ratio "
        "| ratio of wall |"
    )
    print(f"|{'---|' * 12}")
    with tempfile.TemporaryDirectory() as name:
        null_server.build(Path(name))
        for delay in options.delays:
            setting = replace(null_server.HTTP, delay=delay)
            runs: dict[int, list[Run]] = {}
            with null_server.serving(Path(name), setting) as server:
                for count in (0, *options.executors) * options.rounds:
                    spec = build_spec(works, ", distribute: spark" if count else "")
                    runs.setdefault(count, []).append(
                        measure_run(python, server.url, spec, count or 1, options)
                    )
            check_counts(works)
            for work, counts in works.items():
                plain = Line.of(runs[0], work, counts)
                for count in options.executors:
                    print(
                        _format_row(delay, work, count, plain, Line.of(runs[count], work, counts))
                    )
            for count, ended in runs.items():
                start = find_median([run.cost_of_start() for run in ended])
                print(f"\nStart and first steps with {count} executors: {_format_cost(start)}")


def _format_row(delay: int, work: str, executors: int, plain: Line, spark: Line) -> str:
    unit = 1 << 30 if work == "large" else 1000
    wall = spark.many.wall / max(plain.many.wall, 0.001)
    return (
        f"| {delay} | {work} | {executors} | {plain.fixed:.2f} | {plain.each * unit:.4f} "
        f"| {spark.fixed:.2f} | {spark.each * unit:.4f} | {spark.each / plain.each:.2f} "
        f"| {plain.many.cpu:.2f} | {_format_cost(spark.many)} "
        f"| {spark.many.cpu / plain.many.cpu:.2f} | {wall:.2f} |"
    )


def _format_cost(cost: Cost) -> str:
    return f"{cost.cpu:.2f} ({cost.java:.2f}, {cost.workers:.2f})"


if __name__ == "__main__":
    main()
