"""Implements ``rolerunner test``."""

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
from rolerunner.common.files import check_writable, write_file
from rolerunner.common.wording import format_count
from rolerunner.errors import UsageError
from rolerunner.redaction.redact import redact
from rolerunner.spec_testing.junit import format_mismatch
from rolerunner.spec_testing.junit import render_junit as junit_xml
from rolerunner.spec_testing.load import SUFFIX, find_test_files, load_cases
from rolerunner.spec_testing.suite import run_cases, select_cases

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from rolerunner.spec_testing.run import CaseResult
    from rolerunner.spec_testing.suite import SuiteResult

FAILED_CASE = 4
_SIGNAL_BASE = 128
"""Added to a signal's number for the exit status, as shells do."""
_WIDTH = 100
_LOG_LINES = 20


@click.command(context_settings=SETTINGS)
@click.argument("paths", nargs=-1, metavar="[FILE|DIR]...")
@click.option(
    "-n",
    "max_parallel",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Number of parallel cases; defaults to the number of processors.",
)
@click.option(
    "-k",
    "text_filter",
    metavar="TEXT",
    help="Run only cases whose file or name contains this text.",
)
@click.option(
    "--env",
    default="",
    metavar="NAME",
    help="Environment of the specs, for cases that name none.",
)
@click.option("-x", "--fail-fast", is_flag=True, help="Start no further case after a failure.")
@click.option("-v", "--verbose", is_flag=True, help="Print a line per case instead of a dot.")
@click.option("--junit", metavar="FILE", help="Write a JUnit report to this file, for CI.")
def test(
    paths: Sequence[str],
    max_parallel: Optional[int],
    text_filter: Optional[str],
    env: str,
    fail_fast: bool,
    verbose: bool,
    junit: Optional[str],
) -> None:
    """Run test files: specs in the sandbox, compared with the expected outcome.

    A test file such as nightly.test.yaml is next to its spec. Each case runs in a fresh sandbox.
    Without FILE or DIR, all test files below the current folder run.

    \b
    rolerunner test
    rolerunner test nightly.test.yaml -k late -v
    rolerunner test nightly.test.yaml --env prod
    rolerunner test jobs/ -n 4 --junit report.xml

    Exit status: 0 all cases passed, 2 invalid test file or command line, 4 a case failed.
    """
    if junit is not None:
        check_writable(Path(junit))
    files = find_test_files(paths or ["."])
    if not files:
        raise UsageError(f"there is no test file: their names end with {SUFFIX}")
    sandbox.check_available()
    max_parallel = max_parallel or os.cpu_count() or 1
    signal.signal(signal.SIGTERM, _exit_on_signal)
    with tempfile.TemporaryDirectory(prefix="rolerunner-test-") as root:
        cases = select_cases(load_cases(files, Path(root), env), text_filter)
        if not cases:
            raise UsageError(f"no case has '{text_filter}' in its file or name")
        files_of_cases = len({case.mark.file for case in cases})
        echo(
            f"{format_count(len(cases), 'case')} in {format_count(files_of_cases, 'file')}, "
            f"{min(max_parallel, len(cases))} at once"
        )
        report = run_cases(
            cases,
            max_parallel,
            fail_fast=fail_fast,
            tell=_print_case_line if verbose else _make_dot_printer(),
        )
    if not verbose:
        echo()
    echo(_format_summary(report))
    if junit is not None:
        write_file(Path(junit), junit_xml(report), private=True)
    if report.failures:
        sys.exit(FAILED_CASE)


def _exit_on_signal(number: int, frame: Optional[FrameType]) -> NoReturn:
    """Exits through the cleanup handlers, so that a cancelled CI job leaves nothing behind."""
    del frame
    sys.exit(_SIGNAL_BASE + number)


def _print_case_line(outcome: CaseResult) -> None:
    word = (
        click.style("PASSED", fg="green") if outcome.has_passed else click.style("FAILED", fg="red")
    )
    echo(f"{word} {outcome.case.id} ({outcome.seconds:.2f} s)")


def _make_dot_printer() -> Callable[[CaseResult], None]:
    reported = 0

    def tell(outcome: CaseResult) -> None:
        nonlocal reported
        reported += 1
        echo(
            click.style(".", fg="green") if outcome.has_passed else click.style("F", fg="red"),
            nl=reported % _WIDTH == 0,
        )
        sys.stdout.flush()

    return tell


def _format_summary(report: SuiteResult) -> str:
    counts = [
        (len(report.failures), "failed", "red"),
        (len(report.outcomes) - len(report.failures), "passed", "green"),
        (report.left, "not run", "yellow"),
    ]
    parts = ", ".join(
        click.style(f"{count} {word}", fg=colour, bold=True)
        for count, word, colour in counts
        if count
    )
    return "\n".join(
        [
            *(_format_failure(outcome) for outcome in report.failures),
            f"{parts} in {report.seconds:.2f} s",
        ]
    )


def _format_failure(outcome: CaseResult) -> str:
    case = outcome.case
    head = click.style(f"FAILED {case.id}", fg="red", bold=True)
    lines = [f"\n{head}", f"  {case.mark}"]
    for mismatch in outcome.mismatches:
        lines += [f"  {line}" for line in format_mismatch(mismatch).splitlines()]
    log_lines = [str(redact(line)) for line in outcome.log[-_LOG_LINES:]]
    left_out = (
        [f"  ... {format_count(len(outcome.log) - _LOG_LINES, 'line')} before"]
        if len(outcome.log) > _LOG_LINES
        else []
    )
    return "\n".join(
        [
            *lines,
            "  the run's log",
            *left_out,
            *(f"    {_truncate_line(line)}" for line in log_lines),
            "",
        ]
    )


def _truncate_line(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


_LONGEST = 300
