"""Progress as a person sees it: at a terminal, a dumb one, and in a file."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from rolerunner.events import StepProgress, StepStarted
from rolerunner.model import Step
from rolerunner.observers import log, terminal
from rolerunner.observers.terminal_progress import ProgressLines

if TYPE_CHECKING:
    from pathlib import Path

    from tests.memory_aws import Store

pytestmark = pytest.mark.once

COLUMNS = 80
MIB = 1 << 20
SIZE = 40 * MIB
LONG = "a-step-with-a-name-that-is-too-long-for-one-line"
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SPEC = f"""
version: 1
name: large
engine: ENGINE
roles:
  reader: arn:aws:iam::111122223333:role/reader
  writer: arn:aws:iam::444455556666:role/writer
steps:
  - {{id: store, action: s3.upload, role: reader, source: large, target: "s3://in/large",
      bandwidth: 40MiB}}
  - {{id: {LONG}, action: s3.copy, source_role: reader, target_role: writer,
      source: "s3://in/large", target: "s3://out/large", bandwidth: 40MiB}}
  - {{id: fetch, action: s3.download, role: writer, source: "s3://out/large", target: got/,
      bandwidth: 40MiB}}
  - id: group
    for_each: [north, south]
    steps:
      - {{id: get, action: s3.download, role: writer, source: "s3://out/large",
          target: "got/${{{{ item }}}}/", bandwidth: 40MiB}}
"""


def run_at_terminal(folder: Path, *arguments: str, **environment: str) -> str:
    """Runs the command at a terminal of 80 columns, and returns what it wrote."""
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    settings = {**os.environ, "TERM": "xterm-256color", **environment}
    with subprocess.Popen(
        [sys.executable, "-m", "rolerunner", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={name: value for name, value in settings.items() if value},
    ) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                data = os.read(ours, 1 << 16)
            except OSError:  # the last process has closed the terminal
                break
            if not data:
                break
            written += data
    os.close(ours)
    text = written.decode()
    assert process.returncode == 0, text
    return text


def list_amounts(text: str, name: str) -> list[float]:
    """Returns the amounts that the lines of a step showed, in MiB."""
    found = re.findall(rf" {re.escape(name)} [^\r\n]*? ([\d.]+) of 40\.0 MiB", ANSI.sub("", text))
    return [float(each) for each in found]


@pytest.mark.parametrize(
    ("engine", "no_color"), [("fast", ""), pytest.param("boto3", "1", marks=pytest.mark.slow)]
)
def test_progress_moves_within_a_large_object(
    engine: str, no_color: str, memory_aws: Store, tmp_path: Path
) -> None:
    memory_aws.put("out", "other", "")
    (tmp_path / "large").write_bytes(os.urandom(MIB) * 40)
    (tmp_path / "spec.yaml").write_text(SPEC.replace("ENGINE", engine))
    text = run_at_terminal(tmp_path, "run", "spec.yaml", NO_COLOR=no_color)
    cut = LONG[:25] + "…"
    for name in ("store", cut, "fetch", "group[north].get", "group[south].get"):
        amounts = list_amounts(text, name)
        assert amounts == sorted(amounts), name
        assert [each for each in amounts if 0 < each < 40], (name, text)
    plain = ANSI.sub("", text)
    assert re.search(r"of 40\.0 MiB, [\d.]+ MiB/s, \d+ s left", plain)
    assert re.search(r" group .* of 2 items", plain)
    drawn = [each for each in re.split(r"[\r\n]+", plain) if " of 40.0 MiB" in each]
    assert max(map(len, drawn)) < COLUMNS
    colors = re.findall(r"\x1b\[(?:\d;)?3\dm", text)
    assert not colors if no_color else colors


def test_a_dumb_terminal_gets_plain_lines(memory_aws: Store, tmp_path: Path) -> None:
    memory_aws.put("in", "a", "text")
    (tmp_path / "spec.yaml").write_text(
        "{version: 1, name: small, roles: {reader: 'arn:aws:iam::111122223333:role/reader'}, steps:"
        " [{id: a, action: s3.list, role: reader, source: 's3://in/'}]}"
    )
    text = run_at_terminal(tmp_path, "run", "spec.yaml", TERM="dumb")
    assert "\x1b" not in text
    assert "✓ a s3.list as reader" in text
    (tmp_path / "bad.yaml").write_text("version: 1\nname: small\nstps: []\n")
    with pytest.raises(AssertionError) as caught:
        run_at_terminal(tmp_path, "validate", "bad.yaml", TERM="xterm-256color", NO_COLOR="1")
    assert "bad.yaml:3:1" in str(caught.value)
    assert "\\x1b" not in str(caught.value)


class Clock:
    """A clock that the test advances."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def follow_step(observer: Any, clock: Clock, seconds: int) -> None:
    """Lets an observer see a step that moves 1 MiB a second."""
    observer.notify(StepStarted(Step("fetch", "s3.download", {}), ""))
    for second in range(1, seconds + 1):
        clock.now += 1
        observer.notify(StepProgress("fetch", 0, second * MIB, 1, 100 * MIB))


def test_a_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    observer = terminal.Terminal(Console(file=file, width=160))
    follow_step(observer, Clock(monkeypatch), 25)
    assert file.getvalue().splitlines() == [
        "  fetch: 10.0 of 100.0 MiB, 1.0 MiB/s, 1 min 30 s left",
        "  fetch: 20.0 of 100.0 MiB, 1.0 MiB/s, 1 min 20 s left",
    ]


def test_the_log_has_a_line_each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    follow_step(log.Log(stream), Clock(monkeypatch), 90)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    (line,) = [each for each in lines if each["event"] == "step_progress"]
    assert {name: line[name] for name in ("level", "step", "bytes", "total_bytes")} == {
        "level": "info",
        "step": "fetch",
        "bytes": 60 * MIB,
        "total_bytes": 100 * MIB,
    }
    assert (line["bytes_per_second"], line["seconds_left"]) == (MIB, 40)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_lines_fit_into_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    console = Console(file=io.StringIO(), width=width, height=8, force_terminal=True)
    lines = ProgressLines(console, has_unicode=False)
    for number in range(6):
        lines.add_step(f"{LONG}-{number}")
    clock.now += 10
    lines.update(StepProgress(f"{LONG}-0", 5, 3 * MIB, 1000, 100 * MIB))
    shown = lines._render().plain.splitlines()
    assert len(shown) == 4
    assert max(map(len, shown)) < width
    assert "and 3 more steps"[: width - 4] in shown[-1]
    if width >= 80:
        assert shown[0].endswith(" 5 min 30 s left")
