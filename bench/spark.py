"""Measures objects per second over 1, 2 and 4 executor processes.

Copies within S3 with delayed responses, so that the executors and not this machine decide.

python bench/spark.py [--objects 6000]     some three minutes, and once three more for pyspark
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import null_server

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.spark_venv import python_with_spark

WARM = 1000
"""Objects copied first, so that workers are up when it counts."""
SPEC = """version: 1
name: bench
steps:
  - {{id: warm, action: s3.copy, source: "s3://b-{warm}-16384/", target: s3://warm-bucket/in/,
      role: job, distribute: spark}}
  - {{id: copy, action: s3.copy, source: "s3://b-{objects}-16384/", target: s3://target-bucket/in/,
      role: job, {distribute}}}
"""


def measured(python: Path, server: str, executors: int, objects: int) -> float:
    """Objects a second; no executors: the plain run, without Spark."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = SPEC.format(
            warm=WARM,
            objects=objects,
            distribute="distribute: spark" if executors else "description: plain",
        )
        lines = [line for line in spec.splitlines() if executors or "id: warm" not in line]
        (folder / "job.yaml").write_text("\n".join(lines) + "\n")
        settings = (
            f"--master local-cluster[{executors},1,1024] --conf spark.ui.enabled=false "
            "--conf spark.executor.memory=512m pyspark-shell"
        )
        environment = {
            **os.environ, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": server,
            "AWS_EC2_METADATA_DISABLED": "true", "TMPDIR": name, "PYSPARK_PYTHON": str(python),
            "PYSPARK_SUBMIT_ARGS": settings,
            "SPARK_LOCAL_IP": "127.0.0.1",
        }  # fmt: skip
        command = [
            str(python),
            "-m",
            "rolerunner",
            "run",
            "job.yaml",
            "--result",
            "r.json",
            "--log-format",
            "json",
        ]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
        step = json.loads((folder / "r.json").read_text())["steps"][-1]
        assert step["outputs"]["count"] == objects, step
        return float(objects / step["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=6000)
    parser.add_argument(
        "--delays", type=int, nargs="+", default=[20, 100], help="ms before each answer"
    )
    options = parser.parse_args()
    python = python_with_spark()
    if python is None:
        raise SystemExit("Python 3.11 and Java are needed")
    with tempfile.TemporaryDirectory() as name:
        null_server.build(Path(name))
        print(
            f"{options.objects:,} objects copied within S3, objects a second; {os.cpu_count()} "
            "cores for all\n"
        )
        names = [f"{count} executor{'s' if count > 1 else ''}" for count in (1, 2, 4)]
        print(f"| ms an answer | no Spark | {' | '.join(names)} |")
        print("|---|---|---|---|---|")
        for delay in options.delays:
            with null_server.serving(Path(name), replace(null_server.HTTP, delay=delay)) as server:
                rates = [
                    measured(python, server.url, count, options.objects) for count in (0, 1, 2, 4)
                ]
            print(f"| {delay} | {' | '.join(f'{rate:,.0f}' for rate in rates)} |", flush=True)


if __name__ == "__main__":
    main()
