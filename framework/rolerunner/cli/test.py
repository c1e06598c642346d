"""rolerunner test"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Optional

import click

from rolerunner import sandbox
from rolerunner.cli.common import SETTINGS, echo
from rolerunner.common.files import write_file
from rolerunner.common.wording import format_count
from rolerunner.errors import UsageError
from rolerunner.redaction.redact import redact
from rolerunner.spec_testing.junit import junit as junit_xml
from rolerunner.spec_testing.junit import mismatch_text
from rolerunner.spec_testing.load import SUFFIX, found, load
from rolerunner.spec_testing.suite import chosen, run_cases

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from rolerunner.spec_testing.run import Outcome
    from rolerunner.spec_testing.suite import Report

FAILED_CASE = 4
_SIGNALLED = 128
"""A process that a signal stops ends with 128 and the signal's number, as shells have it."""
_WIDTH = 100
_LOG_LINES = 20


@click.command(context_settings=SETTINGS)
@click.argument("paths", nargs=-1, metavar="[FILE|DIR]...")
@click.option(
    "-n",
    "at_once",
    type=click.IntRange(1, 64),
    metavar="N",
    help="How many cases at once; as many as there are processors by default.",
)
@click.option("-k", "wanted", metavar="TEXT", help="Only cases whose file or name holds this text.")
@click.option("-x", "--fail-fast", is_flag=True, help="Begin no other case after one has failed.")
@click.option("-v", "--verbose", is_flag=True, help="A line for each case instead of a dot.")
@click.option("--junit", metavar="FILE", help="Write a JUnit report there, for CI.")
def test(
    paths: Sequence[str],
    at_once: Optional[int],
    wanted: Optional[str],
    fail_fast: bool,
    verbose: bool,
    junit: Optional[str],
) -> None:
    """Run specs in the sandbox and hold them against what their test files expect.

    A test file, nightly.test.yaml, stands beside its spec; each of its cases runs in a fresh sandbox. Without FILE or DIR, all below this folder.

    \b
    rolerunner test
    rolerunner test nightly.test.yaml -k late -v
    rolerunner test jobs/ -n 4 --junit report.xml

    Exit status: 0 all passed, 2 a test file or the command line is wrong, 4 a case failed.
    """
    files = found(paths or ["."])
    if not files:
        raise UsageError(f"there is no test file: their names end with {SUFFIX}")
    sandbox.check_available()
    at_once = at_once or os.cpu_count() or 1
    signal.signal(signal.SIGTERM, _terminated)
    with tempfile.TemporaryDirectory(prefix="rolerunner-test-") as root:
        cases = chosen(load(files, Path(root)), wanted)
        if not cases:
            raise UsageError(f"no case has '{wanted}' in its file or name")
        files_of_cases = len({case.mark.file for case in cases})
        echo(
            f"{format_count(len(cases), 'case')} in {format_count(files_of_cases, 'file')}, {min(at_once, len(cases))} at once"
        )
        report = run_cases(cases, at_once, fail_fast=fail_fast, tell=_line if verbose else _dot())
    if not verbose:
        echo()
    echo(_summary(report))
    if junit is not None:
        write_file(Path(junit), junit_xml(report), private=True)
    if report.failed:
        sys.exit(FAILED_CASE)


def _terminated(number: int, frame: Optional[FrameType]) -> NoReturn:
    """CI that cancels a job leaves nothing behind."""
    del frame
    sys.exit(_SIGNALLED + number)


def _line(outcome: Outcome) -> None:
    word = click.style("PASSED", fg="green") if outcome.passed else click.style("FAILED", fg="red")
    echo(f"{word} {outcome.case.id} ({outcome.seconds:.2f} s)")


def _dot() -> Callable[[Outcome], None]:
    told = 0

    def tell(outcome: Outcome) -> None:
        nonlocal told
        told += 1
        echo(
            click.style(".", fg="green") if outcome.passed else click.style("F", fg="red"),
            nl=told % _WIDTH == 0,
        )
        sys.stdout.flush()

    return tell


def _summary(report: Report) -> str:
    counts = [
        (len(report.failed), "failed", "red"),
        (len(report.outcomes) - len(report.failed), "passed", "green"),
        (report.left, "not run", "yellow"),
    ]
    said = ", ".join(
        click.style(f"{count} {word}", fg=colour, bold=True)
        for count, word, colour in counts
        if count
    )
    return "\n".join(
        [*(_failure(outcome) for outcome in report.failed), f"{said} in {report.seconds:.2f} s"]
    )


def _failure(outcome: Outcome) -> str:
    case = outcome.case
    head = click.style(f"FAILED {case.id}", fg="red", bold=True)
    lines = [f"\n{head}", f"  {case.mark}"]
    for mismatch in outcome.mismatches:
        lines += [f"  {line}" for line in mismatch_text(mismatch).splitlines()]
    said = [str(redact(line)) for line in outcome.log[-_LOG_LINES:]]
    left_out = (
        [f"  ... {format_count(len(outcome.log) - _LOG_LINES, 'line')} before"]
        if len(outcome.log) > _LOG_LINES
        else []
    )
    return "\n".join(
        [*lines, "  the run's log", *left_out, *(f"    {_cut(line)}" for line in said), ""]
    )


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


_LONGEST = 300
