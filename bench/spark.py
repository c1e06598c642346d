"""Measures distributed steps beside the same steps without Spark, on the cores of this machine.

Each run has all works as steps: a list, a copy within S3 and one between two roles, a deletion,
python.call with objects, and a copy of one large object between two roles. The first step starts
the executors and is not counted. Wall time is that of the step; CPU time is that of all processes
of the run while the step runs: this process, the JVMs, and the workers.

python bench/spark.py [--objects 50000] [--large 4] [--delays 0 20] [--works copy list]
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
import threading
import time
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import null_server

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.spark_venv import python_with_spark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROLE = "arn:aws:iam::123456789012:role/r"
"""The role of which the null server returns sessions."""
BETWEEN = "source_role: reader, target_role: writer"
WORKS = {
    "list": "action: s3.list, source: 's3://l-{list}-16384/', role: job",
    "copy": "action: s3.copy, source: 's3://b-{objects}-16384/', role: job, "
    "target: 's3://target-bucket/copy/'",
    "relay": "action: s3.copy, source: 's3://b-{relay}-16384/', "
    f"{BETWEEN}, target: 's3://target-bucket/relay/'",
    "delete": "action: s3.delete, source: 's3://b-{objects}-16384/data/', role: job, "
    "max_delete: {objects}",
    "call": "action: python.call, function: 'own.py:measure', role: job, "
    "objects: '${{{{ steps.find.objects }}}}'",
    "large": "action: s3.copy, source: 's3://b-1-{large}/data/obj-00000000.bin', "
    f"{BETWEEN}, target: 's3://target-bucket/large.bin'",
}
WARM = (
    "action: s3.copy, source: 's3://b-1000-16384/', role: job, target: 's3://target-bucket/warm/'"
)
WARM_RELAY = (
    f"action: s3.copy, source: 's3://b-100-16384/', {BETWEEN}, target: 's3://target-bucket/warm/'"
)
WARM_CALL = (
    "action: python.call, function: 'own.py:measure_named', role: job, "
    "objects: ['s3://b-1-1/a', 's3://b-1-1/b', 's3://b-1-1/c', 's3://b-1-1/d'], batch: 1"
)
FIND = "action: s3.list, source: 's3://b-{objects}-16384/', role: job"
OWN = """
def measure(context, objects):
    return {"objects": len(objects), "bytes": sum(each["size"] for each in objects)}

def measure_named(context, objects):
    return {"objects": len(objects)}
"""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class StepCost:
    """Wall and CPU time of a step, in seconds; ``java`` is that part of the CPU time."""

    wall: float
    cpu: float
    java: float


def build_spec(works: Sequence[str], sizes: Mapping[str, int], distribute: str) -> str:
    """Returns a spec with the works as steps, one after the other."""
    lines = [
        "version: 1",
        "name: bench",
        "max_parallel: 1",
        f"roles: {{reader: '{ROLE}', writer: {{arn: '{ROLE}', session_name: writer}}}}",
        "steps:",
        f"  - {{id: warm, {WARM}{distribute}}}",
        f"  - {{id: warm2, {WARM_RELAY}{distribute}}}",
        f"  - {{id: find, {FIND.format(**sizes)}}}",
        f"  - {{id: warm3, {WARM_CALL}{distribute}}}",
    ]
    lines += [f"  - {{id: {work}, {WORKS[work].format(**sizes)}{distribute}}}" for work in works]
    return "\n".join(lines) + "\n"


def measure_run(
    python: Path, server: str, spec: str, executors: int, framework: str, counts: Mapping[str, int]
) -> dict[str, StepCost]:
    """Returns the costs of the steps of one run.

    Ends the program if the run fails, or if a step has another count than ``counts`` says.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "job.yaml").write_text(spec)
        (folder / "own.py").write_text(OWN)
        settings = (
            f"--master local-cluster[{executors},1,1024] --conf spark.ui.enabled=false "
            "--conf spark.executor.memory=512m pyspark-shell"
        )
        environment = {
            **os.environ, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": server,
            "AWS_EC2_METADATA_DISABLED": "true", "TMPDIR": name, "PYSPARK_PYTHON": str(python),
            "PYSPARK_SUBMIT_ARGS": settings, "SPARK_LOCAL_IP": "127.0.0.1",
            **({"PYTHONPATH": framework} if framework else {}),
        }  # fmt: skip
        command = [str(python), "-m", "rolerunner", "run", "job.yaml", "--log-format", "json"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
            meter = _SessionMeter(process.pid)
            try:
                status = process.wait()
            finally:
                meter.stop()
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        text = (folder / "log").read_text()
        if status:
            raise SystemExit(text[-3000:])
        return dict(_read_costs(text, meter, counts))


def _read_costs(
    log: str, meter: _SessionMeter, counts: Mapping[str, int]
) -> Iterator[tuple[str, StepCost]]:
    starts: dict[str, float] = {}
    for line in log.splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "step_started":
            starts[event["step"]] = _parse_time(event["timestamp"])
        elif event.get("event") == "step_finished":
            start, end = starts[event["step"]], _parse_time(event["timestamp"])
            outputs = event["outputs"]
            count = outputs.get("count", outputs.get("objects"))
            if count != counts.get(event["step"], count):
                raise SystemExit(f"{event['step']}: {outputs}")
            before, after = meter.cpu_at(start), meter.cpu_at(end)
            cost = StepCost(event["seconds"], after[0] - before[0], after[1] - before[1])
            yield event["step"], cost


def _parse_time(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class _SessionMeter(threading.Thread):
    """Samples the CPU time that the processes of a session have used so far."""

    def __init__(self, session: int) -> None:
        super().__init__(daemon=True)
        self._session = str(session)
        self._over = threading.Event()
        self._samples = [(0.0, (0.0, 0.0))]
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.1):
            self._samples.append((time.time(), self._read_total()))

    def stop(self) -> None:
        self._over.set()
        self.join()

    def cpu_at(self, moment: float) -> tuple[float, float]:
        """Returns the CPU seconds of the first sample after a moment: all, and those of Java."""
        return next((cpu for time_, cpu in self._samples if time_ >= moment), self._samples[-1][1])

    def _read_total(self) -> tuple[float, float]:
        """Returns the CPU time of all processes, and of those that they have waited for."""
        ticks = java = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = stat.read_text().rpartition(")")
            except OSError:
                continue
            fields = rest.split()
            if fields[3] == self._session:
                used = sum(map(int, fields[11:15]))
                ticks += used
                java += used if name.endswith("(java") else 0
        return ticks / _TICKS, java / _TICKS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=50_000)
    parser.add_argument("--list", type=int, default=500_000, help="keys to list")
    parser.add_argument("--large", type=float, default=4, help="GiB of the large object")
    parser.add_argument("--works", nargs="+", choices=list(WORKS), default=list(WORKS))
    parser.add_argument("--executors", type=int, nargs="+", default=[2])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--delays", type=int, nargs="+", default=[0, 20], help="ms an answer")
    parser.add_argument("--framework", default="", help="folder of another rolerunner to measure")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the run is ended, too
    python = python_with_spark()
    if python is None:
        raise SystemExit("Python 3.11 and Java are needed")
    sizes = {
        "objects": options.objects,
        "relay": options.objects // 5,
        "list": options.list,
        "large": int(options.large * (1 << 30)),
    }
    counts = {
        "list": options.list,
        "relay": sizes["relay"],
        "large": 1,
        **dict.fromkeys(("copy", "delete", "call"), options.objects),
    }
    print(f"{sizes}; {os.cpu_count()} cores for all\n")
    print("| ms | work | no Spark, s (CPU) | executors | Spark, s (CPU, Java's) | wall | CPU |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        null_server.build(Path(name))
        for delay in options.delays:
            setting = replace(null_server.HTTP, delay=delay)
            runs: dict[int, list[dict[str, StepCost]]] = {}
            with null_server.serving(Path(name), setting) as server:
                for count in (0, *options.executors) * options.rounds:
                    distribute = ", distribute: spark" if count else ""
                    spec = build_spec(options.works, sizes, distribute)
                    runs.setdefault(count, []).append(
                        measure_run(python, server.url, spec, count or 1, options.framework, counts)
                    )
            for work in options.works:
                plain = _find_median(runs[0], work)
                for count in options.executors:
                    print(_format_row(delay, work, plain, count, _find_median(runs[count], work)))


def _find_median(runs: Sequence[Mapping[str, StepCost]], work: str) -> StepCost:
    costs = [run[work] for run in runs]
    return StepCost(*(statistics.median(values) for values in zip(*map(astuple, costs))))


def _format_row(delay: int, work: str, plain: StepCost, count: int, spark: StepCost) -> str:
    ratios = spark.wall / max(plain.wall, 0.001), spark.cpu / max(plain.cpu, 0.01)
    return (
        f"| {delay} | {work} | {plain.wall:.2f} ({plain.cpu:.1f}) | {count} "
        f"| {spark.wall:.2f} ({spark.cpu:.1f}, {spark.java:.1f}) "
        f"| {ratios[0]:.2f} | {ratios[1]:.1f} |"
    )


if __name__ == "__main__":
    main()
