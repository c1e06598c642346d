"""Counts the small faults that unit tests do not notice: `make mutants`.

Each mutant changes one place of a module in a copy of the project, as it is at the start: a
comparison, a bound, a condition, an argument, a statement. The unit tests of its package that run
this place, those of the module first, then run against it. A mutant that they pass is printed:
either nothing can tell it from the original, or a test is missing. The same seed draws the same
mutants from the same source.
"""

from __future__ import annotations

import argparse
import ast
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3  # noqa: F401 - before the forks, like pytest
import coverage
import hypothesis  # noqa: F401
import pydantic  # noqa: F401
import pytest
import yaml  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
SOURCES = Path("framework/rolerunner")
ROOMS = (
    "sessions",
    "iam",
    "policies",
    "run",
    "run/state",
    "storage/http",
    "storage/native",
    "spec/expressions.py",
    "spec/filters.py",
    "spec/grammar.py",
)
TIMEOUT_SECONDS = 300
TEST_SECONDS = 60
_RECORDED_SECONDS = 1_800
"""Time for the tests of a package while the lines that they run are recorded."""
_MOST_BYTES = 8 << 30
"""Memory of a run: a mutant may never stop to allocate."""
_MOST_TESTS = 200
"""Tests named to pytest one by one; of more, it runs the files."""
_COPIED = ("framework", "tests", "configs", "jobs", "docs", "pyproject.toml", "setup.py")
_MORE_TESTS = {Path("storage/native"): (Path("storage/boto"),)}
"""Tests of another package that hold for this one too: those of the plain engine run in both."""
_COMPARED: dict[type, tuple[str, ...]] = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
_COMPUTED: dict[type, str] = {ast.Add: "-", ast.Sub: "+", ast.Mult: "//", ast.Div: "*"}


@dataclass(frozen=True)
class Mutant:
    """A module, relative to the project, and the change of one place in it."""

    module: Path
    line: int
    lines: tuple[int, ...]
    """Lines that run only in tests that can notice the change; none for all of the module."""
    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        """Returns the module's source with the change."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def describe(self, source: bytes) -> str:
        """Returns the change as a line for people."""
        before = " ".join(source[self.start : self.end].decode().split())
        return f"{self.module}:{self.line}: {before[:90]}  ->  {self.text[:90]}"


class _Finder(ast.NodeVisitor):
    """Finds the places of a module that can be changed."""

    def __init__(self, module: Path, source: bytes) -> None:
        self._module = module
        self._source = source
        self._offsets = [0]
        for line in source.splitlines(keepends=True):
            self._offsets.append(self._offsets[-1] + len(line))
        self.found: list[Mutant] = []
        self._statements: list[ast.stmt] = []
        self._depth = 0
        """Functions around a node."""

    def visit(self, node: ast.AST) -> None:
        """Remembers the statement that an expression belongs to."""
        if not isinstance(node, ast.stmt):
            super().visit(node)
            return
        self._statements.append(node)
        super().visit(node)
        self._statements.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Skips annotations and the docstring."""
        body = node.body[1 if ast.get_docstring(node) else 0 :]
        self._statements.append(body[0] if body else node)
        self._depth += 1
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        self._statements.pop()
        for statement in body:
            self.visit(statement)
        self._depth -= 1

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Leaves decorators: no test of a package writes to a value that is not to be written."""
        for statement in node.body:
            self.visit(statement)

    def visit_If(self, node: ast.If) -> None:
        """Negates the condition."""
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self._add(node.test, f"(not ({ast.unparse(node.test)}))")
            self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        """Leaves assertions: they tell the type checker what holds."""

    def visit_Compare(self, node: ast.Compare) -> None:
        """Replaces the operator."""
        if len(node.ops) == 1:
            left, right = ast.unparse(node.left), ast.unparse(node.comparators[0])
            for operator in _COMPARED[type(node.ops[0])]:
                self._add(node, f"(({left}) {operator} ({right}))")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Swaps ``and`` and ``or``, and leaves out each operand."""
        own, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        parts = [f"({ast.unparse(each)})" for each in node.values]
        self._add(node, f"({f' {other} '.join(parts)})")
        for index in range(len(parts)):
            rest = [*parts[:index], *parts[index + 1 :]]
            self._add(node, f"({f' {own} '.join(rest)})")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Removes ``not``."""
        if isinstance(node.op, ast.Not):
            self._add(node, f"({ast.unparse(node.operand)})")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Replaces the operator."""
        operator = _COMPUTED.get(type(node.op))
        if operator is not None:
            left, right = ast.unparse(node.left), ast.unparse(node.right)
            self._add(node, f"(({left}) {operator} ({right}))")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Moves a number by one, and negates a boolean."""
        if isinstance(node.value, bool):
            self._add(node, str(not node.value))
        elif isinstance(node.value, (int, float)):
            self._add(node, f"({node.value!r} + 1)")
            self._add(node, f"({node.value!r} - 1)")

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Empties the text."""
        self._add(node, '""')

    def visit_Call(self, node: ast.Call) -> None:
        """Swaps the first two arguments."""
        first_two = node.args[:2]
        has_order = ast.unparse(node.func) not in {"min", "max"}
        if len(first_two) > 1 and has_order:
            swapped = ast.Call(node.func, [*first_two[::-1], *node.args[2:]], node.keywords)
            self._add(node, ast.unparse(swapped))
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        """Returns None."""
        if node.value is not None and ast.unparse(node.value) != "None":
            self._add(node, "return None")
            self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Removes the statement."""
        self._add(node, "pass")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Removes a call whose value is not used."""
        if isinstance(node.value, ast.Call):
            self._add(node, "pass")
            self.generic_visit(node)

    def _add(self, node: ast.expr | ast.stmt, text: str) -> None:
        if node.end_lineno is None or node.end_col_offset is None:
            return
        start = self._offsets[node.lineno - 1] + node.col_offset
        end = self._offsets[node.end_lineno - 1] + node.end_col_offset
        statement = self._statements[-1] if self._statements else node
        lines = (statement.lineno, *range(node.lineno, node.end_lineno + 1))
        lines = lines if self._depth else ()
        self.found.append(Mutant(self._module, node.lineno, lines, start, end, text))


def list_mutants(module: Path, copy: Path) -> Iterator[Mutant]:
    """Yields all mutants of a module that compile."""
    source = (copy / module).read_bytes()
    finder = _Finder(module, source)
    finder.visit(ast.parse(source))
    for mutant in finder.found:
        try:
            compile(mutant.apply(source), str(module), "exec")
        except SyntaxError:
            continue
        yield mutant


def list_modules(room: str, copy: Path) -> list[Path]:
    """Returns the modules of a package, without those of its subpackages; or the module itself."""
    path = copy / SOURCES / room
    if path.is_file():
        return [path.relative_to(copy)]
    return sorted(each.relative_to(copy) for each in path.glob("*.py"))


def find_tests(package: Path, copy: Path) -> list[str]:
    """Returns the files of a package's unit tests."""
    name = package.relative_to(SOURCES)
    folders = [copy / "tests/unit" / each for each in (name, *_MORE_TESTS.get(name, ()))]
    found = (each.relative_to(copy) for folder in folders for each in folder.glob("test_*.py"))
    return sorted(map(str, found))


class _LineRecorder:
    """A plugin of pytest that records which tests run which lines, and how long each test takes."""

    def __init__(self, modules: list[str]) -> None:
        self._coverage = coverage.Coverage(data_file=None, include=modules, config_file=False)
        self._seconds: dict[str, float] = defaultdict(float)

    def pytest_sessionstart(self) -> None:
        """Begins to measure, before the tests are imported."""
        self._coverage.start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Begins a test, with its fixtures."""
        self._coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Adds the time of a test's setup, call or teardown."""
        self._seconds[report.nodeid] += report.duration

    def write_lines(self, file: Path) -> None:
        """Writes each module's lines with the tests that run them, the fastest first."""
        self._coverage.stop()
        data, lines = self._coverage.get_data(), {}
        for module in data.measured_files():
            lines[os.path.relpath(module)] = {
                line: sorted(filter(None, tests), key=lambda each: self._seconds[each])
                for line, tests in data.contexts_by_lineno(module).items()
            }
        file.write_text(json.dumps(lines), encoding="utf-8")


class Package:
    """The unit tests that run each line of a package's modules."""

    def __init__(self, package: Path, copy: Path) -> None:
        self._copy = copy
        tests, recorded = find_tests(package, copy), copy / "lines.json"
        measured = [str(each) for each in (copy / package).glob("*.py")]
        if not tests or not pass_tests(tests, copy, measured, recorded):
            sys.exit(f"{package}: its tests fail without a mutant, or it has none")
        self._lines = json.loads(recorded.read_text(encoding="utf-8"))

    def survives(self, mutant: Mutant) -> bool:
        """Returns True if the tests pass with the mutant. A mutant that hangs does not survive."""
        tests = self._find_tests(mutant)
        path = self._copy / mutant.module
        source, times = path.read_bytes(), path.stat()
        path.write_bytes(mutant.apply(source))
        try:
            return not tests or pass_tests(tests, self._copy)
        finally:
            path.write_bytes(source)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # its bytecode is right again

    def _find_tests(self, mutant: Mutant) -> list[str]:
        """Returns the tests that run the mutant's lines, those of its own module first."""
        tests_of_lines = self._lines.get(str(mutant.module), {})
        lines = map(str, mutant.lines) if mutant.lines else tests_of_lines
        tests = dict.fromkeys(test for line in lines for test in tests_of_lines.get(line, ()))
        own = f"/test_{mutant.module.name}::"
        ordered = sorted(tests, key=lambda test: own not in test)
        if len(ordered) <= _MOST_TESTS:
            return ordered
        return list(dict.fromkeys(test.partition("::")[0] for test in ordered))


def pass_tests(
    tests: list[str], copy: Path, measured: list[str] | None = None, recorded: Path | None = None
) -> bool:
    """Returns True if the tests pass in the copy before the time is over.

    They run in a fork of this process, which has imported what takes long.
    """
    process = multiprocessing.get_context("fork").Process(
        target=_run_pytest, args=(tests, copy, measured, recorded)
    )
    process.start()
    process.join(TIMEOUT_SECONDS if recorded is None else _RECORDED_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode == 0


def _run_pytest(
    tests: list[str], copy: Path, measured: list[str] | None, recorded: Path | None
) -> None:
    """Ends the process with the exit code of pytest. Only a run that records writes bytecode."""
    os.chdir(copy)
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(silent, descriptor)
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES, _MOST_BYTES))
    sys.path[:0] = [str(copy / "framework"), str(copy)]
    os.environ["PYTHONPATH"] = str(copy / "framework")
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = recorded is None
    options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
    options += [f"--timeout={TEST_SECONDS}"] if recorded is None else []
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    recorder = _LineRecorder(measured or [])
    code = pytest.main([*options, *tests], [] if recorded is None else [recorder])
    if recorded is not None:
        recorder.write_lines(recorded)
    os._exit(code)


def main() -> None:
    """Draws mutants of each room, and prints those that survive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rooms", nargs="*", default=ROOMS, help="below framework/rolerunner")
    parser.add_argument("--count", type=int, default=20, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary)
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.is_file():
                shutil.copy(source, copy / name)
        packages: dict[Path, Package] = {}
        for room in arguments.rooms:
            modules = list_modules(room, copy)
            found = [each for module in modules for each in list_mutants(module, copy)]
            drawn = random.Random(arguments.seed).sample(found, min(arguments.count, len(found)))
            folder = modules[0].parent
            if folder not in packages:
                packages[folder] = Package(folder, copy)
            survivors = [each for each in drawn if packages[folder].survives(each)]
            for each in survivors:
                sys.stdout.write(f"{each.describe((copy / each.module).read_bytes())}\n")
            killed = len(drawn) - len(survivors)
            sys.stdout.write(f"{room}: {killed} of {len(drawn)} killed, of {len(found)} possible\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
