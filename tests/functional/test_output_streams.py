"""A closed or failing stdout or stderr affects neither steps, result nor exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.memory_aws import Store

SPEC = """
version: 1
name: streams
on_failure: finish
roles: {reader: "arn:aws:iam::444455556666:role/reader"}
steps:
  - {id: euro, action: s3.download, role: reader, source: "s3://landing/p/€😀.csv", target: "out/"}
  - {id: half, action: s3.read, role: reader, source: "s3://landing/half.json"}
  - {id: say, action: python.call, function: "job.py:say"}
  - {id: absent, action: s3.read, role: reader, source: "s3://landing/nothing-€.csv"}
"""
JOB = """
def say(context):
    context.log("é€😀 \\udc80", value=float("nan"), other={"€"})
"""


@pytest.fixture
def folder(tmp_path: Path, memory_aws: Store) -> Path:
    memory_aws.put("landing", "p/€😀.csv", "a")
    memory_aws.put("landing", "half.json", '{"a": "\\ud83d"}')
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    (tmp_path / "job.py").write_text(JOB, encoding="utf-8")
    return tmp_path


def run_in_shell(folder: Path, line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A line of bash in which ``$rr`` is the command."""
    rr = f"{sys.executable} -m rolerunner"
    return subprocess.run(
        ["bash", "-c", line],
        check=False,
        capture_output=True,
        cwd=folder,
        timeout=60,
        env={**os.environ, "rr": rr, "TMPDIR": str(folder), **environment},
    )


def steps(folder: Path) -> dict[str, str]:
    return {
        each["id"]: each["status"]
        for each in json.loads((folder / "r.json").read_text(encoding="utf-8"))["steps"]
    }


EXPECTED = {"euro": "succeeded", "half": "succeeded", "say": "succeeded", "absent": "failed"}


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("coding", ["latin-1", "ascii", "cp1252", "cp437", "utf-8"])
def test_an_encoding_of_stdout_costs_no_line(folder: Path, form: str, coding: str) -> None:
    completed = run_in_shell(
        folder,
        f"$rr run spec.yaml --log-format {form} --result r.json --report r.html",
        PYTHONIOENCODING=coding,
    )
    text = completed.stdout.decode(coding)
    assert completed.returncode == 4
    assert steps(folder) == EXPECTED
    assert (folder / "r.html").exists()
    assert "s3://landing/nothing-" in text
    assert b"Traceback" not in completed.stderr
    if form == "json":
        lines = [json.loads(line) for line in text.splitlines()]
        assert "é€😀 \ufffd" in {line["event"] for line in lines}
        assert lines[-1]["status"] == "failed"


@pytest.mark.parametrize("coding", ["latin-1", "ascii"])
@pytest.mark.parametrize(
    "command", ["plan spec.yaml", "plan spec.yaml --json", "validate spec.yaml", "graph spec.yaml"]
)
def test_an_encoding_of_stdout_costs_no_command(folder: Path, command: str, coding: str) -> None:
    completed = run_in_shell(folder, f"$rr {command}", PYTHONIOENCODING=coding)
    assert completed.returncode == 0, completed.stderr
    assert b"Traceback" not in completed.stderr
    if command.endswith("--json"):
        fields = [
            step["fields"]
            for step in json.loads(
                completed.stdout.decode("utf-8" if coding == "ascii" else coding)
            )["steps"]
        ]  # click writes UTF-8 where it sees ASCII
        assert fields[0]["source"] == "s3://landing/p/€😀.csv"


def test_mistakes_in_a_spec_are_reported_in_any_encoding(folder: Path) -> None:
    (folder / "bad.yaml").write_text(SPEC.replace("s3.download", "s3.€"), encoding="utf-8")
    completed = run_in_shell(folder, "$rr validate bad.yaml", PYTHONIOENCODING="ascii")
    assert completed.returncode == 2
    assert b"bad.yaml:7:" in completed.stderr


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "streams",
    [
        ">&-",
        "2>&-",
        ">&- 2>&-",
        "<&- >&- 2>&-",
        ">/dev/full",
        "2>/dev/full",
        ">/dev/full 2>&1",
        "| true",
    ],
    ids=lambda text: text.replace("/", "-"),
)
def test_a_stream_that_takes_nothing_costs_no_result(folder: Path, form: str, streams: str) -> None:
    completed = run_in_shell(
        folder,
        f"$rr run spec.yaml --log-format {form} --result r.json {streams}; exit ${{PIPESTATUS[0]}}",
    )
    assert completed.returncode == 4
    assert steps(folder) == EXPECTED
    assert (folder / "out" / "€😀.csv").read_text() == "a"
    assert b"Traceback" not in completed.stderr


@pytest.mark.parametrize(
    "streams", [">&-", "2>&-", ">/dev/full", "| true"], ids=lambda text: text.replace("/", "-")
)
@pytest.mark.parametrize("command", ["plan spec.yaml", "schema"])
def test_a_stream_that_takes_nothing_costs_no_command(
    folder: Path, command: str, streams: str
) -> None:
    completed = run_in_shell(folder, f"$rr {command} {streams}; exit ${{PIPESTATUS[0]}}")
    assert completed.returncode == 0
    assert b"Traceback" not in completed.stderr


def test_a_file_does_not_take_the_place_of_a_closed_stdout(folder: Path) -> None:
    run_in_shell(
        folder, "$rr run spec.yaml --log-format json --result r.json --report r.html >&- 2>&-"
    )
    assert (folder / "out" / "€😀.csv").read_text() == "a"
    assert steps(folder) == EXPECTED


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    "line", ["sys.stdout.close(); sys.stderr.close()", "sys.stdout = sys.stderr = None"]
)
def test_a_function_that_closes_the_streams_costs_no_result(
    folder: Path, line: str, fails: bool
) -> None:
    code = f"import sys\ndef say(context):\n    {line}\n" + "    raise ValueError\n" * fails
    (folder / "job.py").write_text(code)
    done = run_in_shell(folder, "$rr run spec.yaml --result r.json --only say")
    assert (done.returncode, b"Traceback" in done.stderr) == (4 if fails else 0, False)
    assert steps(folder)["say"] == ("failed" if fails else "succeeded")


@pytest.mark.slow
def test_a_reader_that_stalls_does_not_hold_a_stopped_run(folder: Path) -> None:
    (folder / "job.py").write_text(
        "import time\n"
        "def say(context):\n"
        "    for _ in range(500):\n"
        "        context.log('x' * 1000)\n"
        "    time.sleep(60)\n"
    )
    line = (
        "exec 3< <(exec $rr run spec.yaml --log-format json --result r.json & echo $! > pid; "
        "wait); sleep 3; kill -TERM $(cat pid); sleep 7; kill -0 $(cat pid)"
    )
    completed = run_in_shell(folder, line)
    assert completed.returncode != 0  # there is no such process any more
    assert json.loads((folder / "r.json").read_text(encoding="utf-8"))["status"] == "stopped"
