"""The scanner of arguments agrees with each version of AWS's getResolvedOptions."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Union

import pytest

from rolerunner.glue.launch.arguments import parse_arguments
from tests.conftest import ROOT
from tests.interpreters import create_venv, find_python
from tests.unit.glue.launch.test_arguments import PYTHON_SHELL, SPARK

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

# getResolvedOptions is argparse and nothing of Spark, but its package imports pyspark and py4j,
# which are hundreds of megabytes
STUBS = """
import json, sys
from importlib.machinery import ModuleSpec
from unittest.mock import MagicMock

class Absent:
    def find_spec(self, name, path=None, target=None):
        is_stub = name.split(".")[0] in ("pyspark", "py4j")
        return ModuleSpec(name, self, is_package=True) if is_stub else None
    def create_module(self, spec):
        made = MagicMock(name=spec.name)
        made.__path__ = []
        return made
    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Absent())
"""
THEIRS = f"""{STUBS}
from awsglue.utils import getResolvedOptions
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

def resolve(arguments, names):
    try:
        with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
            read = getResolvedOptions(["script.py", *arguments], names)
    except SystemExit as error:
        return f"SystemExit: {{error.code}}"
    except Exception as error:
        return f"{{type(error).__name__}}: {{error}}"
    return {{name: read[name.replace("-", "_")] for name in names}}

print(json.dumps([resolve(*case) for case in json.load(sys.stdin)]))
"""
KEPT = f"""{STUBS}
from rolerunner.glue.launch.spark_job import resolve_options

resolve_options(json.loads(sys.argv[1]))
from awsglue.utils import _global_args
print(_global_args["TempDir"])
"""
ALIKE = [
    (["--a", "1", "--b", "two words"], ["a", "b"]),
    (["--a=1", "--b=x=y", "--c="], ["a", "b", "c"]),
    (["--n", "-3", "--f", "-0.5"], ["n", "f"]),
    (["--a", "--b=--x", "--a", "y"][1:], ["a", "b"]),
    (
        ["--path", "s3://bucket/a=b/", "--json", '{"a": [1, 2]}', "--none", "null"],
        ["path", "json", "none"],
    ),
    ([*SPARK, "--TempDir", "s3://b/t/"], ["JOB_NAME", "n"]),
    (PYTHON_SHELL[3:5] + PYTHON_SHELL[6:], ["job_spec", "run_date"]),
    (["--unicode", "naïve Zürich", "--tab", "a\tb", "stray", "--z", "1"], ["unicode", "tab", "z"]),
    (["--python-modules-installer-option", "--no-index", "--a", "1"], ["a"]),
    (["--under_score", "1", "--CamelCase", "2"], ["under_score", "CamelCase"]),
]
FAIL_THERE = [
    (
        ["--empty", "--b", "x"],
        ["empty", "b"],
        {"empty": "", "b": "x"},
    ),  # Glue loses the token of an empty value
    (["--a", "1"], ["a", "b"], {"a": "1"}),  # an option that is not given
    ([*SPARK], ["JOB_RUN_ID"], {"JOB_RUN_ID": "jr_" + "0" * 64}),
    (["--a", "-x"], ["a"], {"a": "-x"}),
]


class Case(NamedTuple):
    """One argument list, the names that are asked for, and how both scanners read it."""

    arguments: list[str]
    names: list[str]
    ours: Union[dict[str, str], tuple[str, ...]]
    """Values, or the problems for which the list is refused."""
    given: dict[str, str]
    """All values of ours."""
    theirs: Union[dict[str, Any], str]
    """Values, or an error."""


def scan(arguments: list[str], names: list[str], theirs: Union[dict[str, Any], str]) -> Case:
    found = parse_arguments(arguments)
    given = {**found.glue, **found.params, **found.ours}
    ours = {name: given[name] for name in names if name in given}
    if isinstance(theirs, dict):  # Glue's own arguments are None there if they are not given
        theirs = {name: value for name, value in theirs.items() if value is not None}
    return Case(arguments, names, found.problems or ours, given, theirs)


def is_agreed(case: Case) -> bool:
    if isinstance(case.theirs, str):
        return isinstance(case.ours, tuple)
    return case.ours == case.theirs


def fails_there(case: Case, text: str) -> bool:
    return isinstance(case.ours, dict) and isinstance(case.theirs, str) and text in case.theirs


def is_refused_here(case: Case, text: str) -> bool:
    return isinstance(case.ours, tuple) and text in case.ours[0] and isinstance(case.theirs, dict)


def differing(case: Case) -> list[str]:
    """Returns the names that have different values, if both have values."""
    if not isinstance(case.ours, dict) or not isinstance(case.theirs, dict):
        return []
    return [name for name in case.names if case.ours.get(name) != case.theirs.get(name)]


def follows(case: Case, before: str, after: Callable[[str], bool]) -> bool:
    return any(
        first == before and after(second)
        for first, second in zip(case.arguments, case.arguments[1:])
    )


def tokens_without_value(case: Case) -> list[str]:
    """Returns the tokens after the argument for which theirs has no value; "" at the end."""
    found = re.search(r"argument (--[\w-]+): expected one argument", str(case.theirs))
    if not found or not isinstance(case.ours, dict):
        return []
    pairs = zip(case.arguments, [*case.arguments[1:], ""])
    return [second for first, second in pairs if first == found.group(1)]


def is_argument(token: str) -> bool:
    return not token or re.match(r"--[A-Za-z]", token) is not None


def is_prefix(token: str, names: list[str]) -> bool:
    name = token.partition("=")[0]
    return len(name) > 2 and any(f"--{each}".startswith(name) for each in names)


DIFFERENCES: dict[str, Callable[[Case], bool]] = {
    "an argument that is not given": lambda case: (
        fails_there(case, "the following arguments are required")
        and not {*case.names} <= {*case.given}
    ),
    "an empty value": lambda case: any(map(is_argument, tokens_without_value(case))),
    "a value that begins with a hyphen": lambda case: any(
        token.startswith("-") and token != "--" for token in tokens_without_value(case)
    ),
    "the token `--`": lambda case: (
        any(token == "--" or token.endswith("=--") for token in case.arguments)
        and (
            bool(differing(case)) or fails_there(case, "required") or fails_there(case, "expected")
        )
    ),
    "a name that Glue sets, such as `JOB_RUN_ID`": lambda case: (
        fails_there(case, "conflicting option string") or fails_there(case, "reserved arguments")
    ),
    "the values of Glue's bookmark arguments": lambda case: (
        fails_there(case, "invalid choice")
        or fails_there(case, "Missing option or value for")
        or fails_there(case, "Invalid option(s)")
    ),
    "`-h` or `--help`": lambda case: (
        fails_there(case, "SystemExit: 0") or fails_there(case, "argument -h/--help")
    ),
    "a name that is given twice, or in two spellings": lambda case: is_refused_here(
        case, "is given more than once"
    ),
    "a value that looks like an argument": lambda case: is_refused_here(
        case, "which cannot be told apart"
    ),
    "`--job-spec` and the like": lambda case: is_refused_here(case, "there is no argument"),
    "an option for pip": lambda case: (
        (bool(differing(case)) or fails_there(case, "expected one argument"))
        and follows(case, "--python-modules-installer-option", lambda token: token[:2] == "--")
    ),
    "`library-set` without hyphens": lambda case: (
        fails_there(case, "required: --library-set")
        or any(
            follows(case, f"--{name}", lambda token: token == "library-set")
            for name in differing(case)
        )
    ),
    "the beginning of a name": lambda case: (
        fails_there(case, "ambiguous option")
        or (
            fails_there(case, "expected one argument")
            and any(is_prefix(token, case.names) for token in case.arguments)
        )
        or any(is_prefix(token, [name]) for name in differing(case) for token in case.arguments)
    ),
}
"""The cases in the manual's table, and when a difference is one of them."""
OF_5_1 = {"the beginning of a name"}

NAMES = (
    "a", "b", "run_date", "run-date", "file_name", "new-of-glue", "job_spec", "job-spec", "help",
    "run_d", "file", "TempDir", "JOB_NAME", "JOB_RUN_ID", "enable-metrics", "job-bookmark-option",
    "job-bookmark-from", "job-bookmark-to", "python-modules-installer-option", "library-set",
    "custom-logGroup-prefix",
)  # fmt: skip
ASKED = ("a", "b", "run_date", "file_name", "new-of-glue", "job_spec", "JOB_NAME", "JOB_RUN_ID")
PLAIN = (
    "1", "-3", "two words", "s3://bucket/a=b/", "2026-01-31", '{"a": [1]}', "Zürich", "x\ty", "'",
    "analytics", "job-bookmark-enable", "--b c", "-0.5", "null", "a,b", "--two words",
)  # fmt: skip
ODD = (
    "", "-x", "-h", "--", "--x", "--b=c", "--b=c d", "--5", "---", "library-set", "--no-index",
    "--run_date=2", "--TempDir", "--job_spec=s3://other/x", "job-bookmark-pause", "x\ny",
)  # fmt: skip


def make_list(chance: random.Random) -> list[str]:
    """Returns arguments as Glue passes them, with any values, and at times any tokens."""
    tokens: list[str] = []
    is_odd = chance.random() < 0.5
    for name in chance.sample(NAMES, chance.randint(1, 5)):
        value = chance.choice(ODD if is_odd and chance.random() < 0.5 else PLAIN)
        form = chance.random() if is_odd else 0.2 + chance.random()
        if form < 0.1:
            tokens += [f"--{chance.choice(NAMES)}", value]
        elif form < 0.2:
            tokens.append(value)
        elif form < 0.3:
            tokens.append(f"--{name}={value}")
        elif form < 0.35:
            tokens += ["library-set", "analytics"]
        else:
            tokens += [f"--{name}", value] if value else [f"--{name}"]
    return tokens


def make_case(chance: random.Random) -> tuple[list[str], list[str]]:
    arguments = make_list(chance)
    words = {token.partition("=")[0] for token in arguments}
    given = [name for name in ASKED if f"--{name}" in words]
    asked = [name for name in given if name != "JOB_RUN_ID" or chance.random() < 0.1]
    return arguments, asked if chance.random() < 0.9 else [*asked, chance.choice(NAMES)]


@pytest.fixture(scope="module", params=[("5.1.0", "3.11"), ("6.0.0", "3.13")], ids=["5.1", "6.0"])
def with_awsglue(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with AWS's package."""
    version, wanted = request.param
    python = find_python(wanted)
    if python is None:
        pytest.skip(f"there is no Python {wanted} here")
    package = f"awsgluedataplanepython=={version}"
    return create_venv(tmp_path_factory.mktemp("aws") / "venv", python, "--no-deps", package)


def ask_aws(interpreter: Path, cases: Sequence[Any]) -> list[Any]:
    completed = subprocess.run(
        [interpreter, "-c", THEIRS],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80", "LINES": "24"},  # else argparse asks the terminal
    )
    assert completed.returncode == 0, completed.stderr
    return list(json.loads(completed.stdout))


def test_the_scanner_reads_what_get_resolved_options_reads(
    with_awsglue: Path,
) -> None:
    asked = [*ALIKE, *((arguments, names) for arguments, names, _ in FAIL_THERE)]
    cases = [scan(*case, theirs) for case, theirs in zip(asked, ask_aws(with_awsglue, asked))]
    assert [case for case in cases[: len(ALIKE)] if not is_agreed(case)] == []
    assert [case.ours for case in cases[len(ALIKE) :]] == [values for _, _, values in FAIL_THERE]
    assert [case for case in cases[len(ALIKE) :] if isinstance(case.theirs, dict)] == []


@pytest.mark.parametrize("count", [4_000, pytest.param(20_000, marks=pytest.mark.release)])
def test_every_difference_from_get_resolved_options_is_a_known_one(
    with_awsglue: Path, count: int
) -> None:
    chance = random.Random(16)
    asked = [make_case(chance) for _ in range(count)]
    cases = [scan(*case, theirs) for case, theirs in zip(asked, ask_aws(with_awsglue, asked))]
    found: Counter[str] = Counter()
    unknown: list[Case] = []
    for case in cases:
        if is_agreed(case):
            found["agreed"] += 1
            continue
        known = next((name for name, applies in DIFFERENCES.items() if applies(case)), None)
        found[known or ""] += 1
        unknown += [] if known else [case]
    assert unknown[:5] == [], f"{len(unknown)} differences of no known kind"
    assert {*DIFFERENCES} - OF_5_1 <= {*found}, found
    assert found["agreed"] > 0.4 * count, found


def test_transforms_find_the_temporary_folder(with_awsglue: Path) -> None:
    (packages,) = with_awsglue.parents[1].glob("lib/python*/site-packages")
    given = {"JOB_NAME": "nightly", "TempDir": "s3://bucket/tmp/", "enable-metrics": ""}
    completed = subprocess.run(
        [sys.executable, "-c", KEPT, json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'framework'}{os.pathsep}{packages}"},
    )
    assert (completed.returncode, completed.stdout) == (0, "s3://bucket/tmp/\n"), completed.stderr


def test_the_manual_lists_the_differences() -> None:
    page = (ROOT / "docs/glue.md").read_text()
    table = page.partition("| case | `getResolvedOptions` |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| (.+?) \|", table, re.MULTILINE) == list(DIFFERENCES)
