"""Counts the small faults that unit tests do not notice: `make mutants`.

Each mutant changes one place of a module in a copy of the project, as it is at the start: a
comparison, a bound, a condition, an argument, a statement. The unit tests of the module and of its
package then run against it. A mutant that they pass is printed: either nothing can tell it from the
original, or a test is missing. The same seed draws the same mutants from the same source.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
    """Finds the places of a module that can be changed, inside of functions."""

    def __init__(self, module: Path, source: bytes) -> None:
        self._module = module
        self._source = source
        self._offsets = [0]
        for line in source.splitlines(keepends=True):
            self._offsets.append(self._offsets[-1] + len(line))
        self.found: list[Mutant] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Skips annotations and the docstring."""
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        for statement in node.body[1 if ast.get_docstring(node) else 0 :]:
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
                self._add(node, f"({left} {operator} {right})")
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
            self._add(node, f"({ast.unparse(node.left)} {operator} {ast.unparse(node.right)})")
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
        self.found.append(Mutant(self._module, node.lineno, start, end, text))


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


def find_tests(module: Path, copy: Path) -> list[list[str]]:
    """Returns the unit tests of the module itself, then the others of its package."""
    package = module.relative_to(SOURCES).parent
    folders = [copy / "tests/unit" / each for each in (package, *_MORE_TESTS.get(package, ()))]
    found = (each for folder in folders for each in folder.glob("test_*.py"))
    tests = sorted(each.relative_to(copy) for each in found)
    own = [str(each) for each in tests if each.name == f"test_{module.name}"]
    others = [str(each) for each in tests if each.name != f"test_{module.name}"]
    return [each for each in (own, others) if each]


def survives(mutant: Mutant, copy: Path) -> bool:
    """Returns True if the tests pass with the mutant. A mutant that hangs does not survive."""
    source = (copy / mutant.module).read_bytes()
    (copy / mutant.module).write_bytes(mutant.apply(source))
    groups = find_tests(mutant.module, copy)
    try:
        return bool(groups) and all(pass_tests(each, copy) for each in groups)
    finally:
        (copy / mutant.module).write_bytes(source)


def pass_tests(tests: list[str], copy: Path) -> bool:
    """Returns True if the tests pass in the copy before the time is over."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy / "framework"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    try:
        ended = subprocess.run(  # noqa: S603 - pytest
            command,
            cwd=copy,
            env=environment,
            timeout=TIMEOUT_SECONDS,
            capture_output=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def check_tests(modules: set[Path], copy: Path) -> None:
    """Ends with an error where tests fail without a mutant, which would count as killed."""
    for package in sorted({module.parent for module in modules}):
        (tests,) = find_tests(package / "__init__.py", copy) or [[]]
        if not tests or not pass_tests(tests, copy):
            sys.exit(f"{package}: its tests fail without a mutant, or it has none")


def main() -> None:
    """Draws mutants of each room, and prints those that survive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rooms", nargs="*", default=ROOMS, help="below framework/rolerunner")
    parser.add_argument("--count", type=int, default=20, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.is_file():
                shutil.copy(source, copy / name)
        for room in arguments.rooms:
            modules = list_modules(room, copy)
            found = [each for module in modules for each in list_mutants(module, copy)]
            drawn = random.Random(arguments.seed).sample(found, min(arguments.count, len(found)))
            check_tests({each.module for each in drawn}, copy)
            survivors = [each for each in drawn if survives(each, copy)]
            for each in survivors:
                sys.stdout.write(f"{each.describe((copy / each.module).read_bytes())}\n")
            killed = len(drawn) - len(survivors)
            sys.stdout.write(f"{room}: {killed} of {len(drawn)} killed, of {len(found)} possible\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
