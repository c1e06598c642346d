"""Draws the run that README.md shows, from a real run in the sandbox: `make picture`."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "run.svg"
COMMAND = "rolerunner run nightly.yaml --sandbox -p run_date=2026-01-31"
COLUMNS, ROWS = 122, 60
_SPEC = re.compile(r"^```yaml\n(# file: nightly\.yaml\n.*?)^```$", re.DOTALL | re.MULTILINE)
_CONTROL = re.compile(r"\x1b\[(\?25[lh]|\d*[AK])|([\r\n])")
_FONTS = re.compile(r"@font-face\s*\{.*?\}\s*", re.DOTALL)
_FONT = 'ui-monospace, "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace'


def run_in_terminal(command: list[str], folder: Path) -> str:
    """Returns what a command writes to a terminal, colours and cursor movements included."""
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(  # noqa: S603 - the command stands above
        command, stdin=inside, stdout=inside, stderr=inside, cwd=folder, env=environment
    )
    os.close(inside)
    output = b""
    while block := _read(terminal):
        output += block
    os.close(terminal)
    if process.wait():
        raise SystemExit(output.decode())
    return output.decode()


def settle(output: str) -> str:
    """Returns the lines that remain: progress bars redraw theirs and erase them at the end."""
    lines, row = [""], 0
    position = 0
    for found in _CONTROL.finditer(output):
        lines[row] += output[position : found.start()]
        position = found.end()
        control = found[0]
        if control == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif control.endswith("A"):
            row = max(0, row - int(control[2:-1] or 1))
        elif control.endswith("K"):
            lines[row] = ""
    lines[row] += output[position:]
    return "\n".join(lines).rstrip()


def draw(text: str) -> str:
    """Returns a terminal with this text as SVG, in fonts that every system has."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(text))
    drawn = console.export_svg(title="rolerunner", theme=MONOKAI, unique_id="run")
    return _FONTS.sub("", drawn).replace("Fira Code, monospace", _FONT).replace("Fira Code", _FONT)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the last process that had it open has ended
        return b""


def main() -> None:
    """Runs the spec of README.md and writes the picture."""
    found = _SPEC.search((ROOT / "README.md").read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit("README.md has no nightly.yaml")
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "nightly.yaml").write_text(found[1], encoding="utf-8")
        command = [sys.executable, "-m", *COMMAND.split()]
        output = settle(run_in_terminal(command, Path(name)))
    PICTURE.write_text(draw(f"$ \x1b[1m{COMMAND}\x1b[0m\n{output}"), encoding="utf-8")


if __name__ == "__main__":
    main()
