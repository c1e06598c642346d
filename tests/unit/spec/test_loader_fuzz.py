"""Specs with random mistakes are a SpecError, a UsageError or a job: never another exception."""

from __future__ import annotations

import contextlib
import os
import random
from datetime import date, datetime
from pathlib import Path

import pytest

from rolerunner import api
from rolerunner.errors import SpecError, UsageError
from rolerunner.spec.schema import SpecFile, StateFields
from rolerunner.spec.step_fields import Defaults, StepFields

ROOT = Path(__file__).parents[3]
CONFIGS = sorted(
    path
    for path in ROOT.joinpath("configs").glob("*.yaml")
    if not path.name.endswith((".sandbox.yaml", ".test.yaml"))
)
GOOD = sorted(ROOT.joinpath("tests/specs/good").glob("*.yaml"))
ROUNDS = int(os.environ.get("ROLERUNNER_FUZZ", "1"))
"""Multiplies the usual number of mutations."""
VALUES = (
    "{a: 1}", "[x]", "[]", "{}", "null", "true", "-1", "0", "1e999", ".nan", ".inf", "9" * 39,
    "9" * 5_000, "0x10", "0o17", "''", "' '", "x", "2026-99-99",
    "9999-12-31", "0000-00-00T99:99:99Z", "99999999999d", "-5s", "1h", "1e400MiB", "9" * 400 + "GB",
    '"\\ud83d"', '"\\U0001F600"', '"\\0"', "€", "!!binary aGk=",
    "!!python/object:os.system x", "!!set {a}", "!!timestamp 2026-99-99", "!x y", "&a [*a]", "*a",
    "<<", "? [a]\n: b", "'${{ params.x }}'", "'${{ '",
    "'${{ 1 / 0 }}'", "'${{ steps.find.objects }}'", "'${{ item }}'", "'${{ 9 ** 9 }}'",
    "'${{ \"a\" * 10 }}'", "'${{ (((((1))))) }}'", "'${{ now | plus(\"9999999d\") }}'",
    "'${{ params | length }}'", "'${{ [] | join(1) }}'", "'${{ today | format(1) }}'", "'{{ x }}'",
    "'}}'", "[" * 50 + "]" * 50, "[" * 3_000 + "]" * 3_000, "s3://",
    "s3://b", "s3://bucket/../x", "s3://bucket/\u0000", "arn:aws:iam::1:role/x",
    "arn:aws:iam::444455556666:role/" + "x" * 3_000, "job", "|\n  x\n", ">\n", "# x",
    "- - - x", "a: b: c", "\t", "@x", "%x", "`x`", "\ufeff", "\u2028", "\x85", "\x1b[31m",
    "**/{1..99999}", "[a-", "~", "=",
)  # fmt: skip


def mutate(text: str, chance: random.Random) -> str:
    """One to three mistakes."""
    for _ in range(chance.randint(1, 3)):
        lines = text.splitlines(keepends=True)
        at = chance.randrange(len(lines) or 1)
        kind = chance.randrange(9)
        line = lines[at] if lines else "\n"
        if kind <= 3 and ":" in line:  # another value
            lines[at] = f"{line.partition(':')[0]}: {chance.choice(VALUES)}\n"
        elif kind == 4:  # a line is gone, is there twice, or elsewhere
            lines.insert(chance.randrange(len(lines) or 1), line)
        elif kind == 5:
            del lines[at : at + chance.randint(1, 3)]
        elif kind == 6:  # another depth
            lines[at] = " " * chance.randint(0, 12) + line.lstrip()
        elif kind == 7:  # a character
            where = chance.randrange(len(line) or 1)
            lines[at] = (
                line[:where]
                + chance.choice("{}[]:,&*!|>'\"%@`#?-$\t\0\x01\x7f\ufeff€\ud83d9")
                + line[where + 1 :]
            )
        else:  # a scalar inside a flow
            lines[at] = line.replace(
                chance.choice([" ", ", ", "{", "}", "[", "s3:", "$"]), chance.choice(VALUES), 1
            )
        text = "".join(lines)
    return text


@pytest.mark.parametrize("path", [*CONFIGS, *GOOD], ids=lambda path: path.stem)
@pytest.mark.parametrize("seed", range(2))
def test_a_spec_with_random_mistakes(path: Path, seed: int, tmp_path: Path) -> None:
    chance = random.Random(f"{path.name} {seed}")
    original = path.read_text(encoding="utf-8")
    spec = tmp_path / "spec.yaml"
    for _ in range(10 * ROUNDS):
        text = mutate(original, chance)
        spec.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            job = api.load(spec, complete=False)
        except SpecError as error:
            assert all(
                problem.mark.file == str(spec) and problem.mark.line >= 1 and problem.message
                for problem in error.problems
            ), text
            str(error).encode()
        except UsageError as error:
            str(error).encode()
        except BaseException as error:
            raise AssertionError(f"{error!r} for:\n{text}") from error
        else:
            api.plan(job)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\0",
        b"version: 1\nname: \xff",
        b"\xff\xfev\0e\0",
        b"[" * 100_000,
        b"{" * 100_000,
        b"- " * 100_000,
        b"a: " * 20_000,
    ],
)
def test_bytes_that_are_no_spec(data: bytes, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_bytes(data)
    with pytest.raises((SpecError, UsageError)):
        api.load(spec)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_bytes(b"\xef\xbb\xbf" + CONFIGS[0].read_bytes())
    assert api.load(spec, complete=False).name


@pytest.mark.parametrize(
    "value",
    [
        "${{ ",
        "${{ params.p }}",
        "${{ today }}",
        "${{ item }}",
        "${{ steps.a.count }}",
        "${{ 1 / 0 }}",
    ],
)
@pytest.mark.parametrize("key", [*StepFields.model_fields, "role"])
def test_an_expression_in_any_key_of_a_step(key: str, value: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    step = {"id": "b", "action": "s3.list", "role": "job", "source": "s3://bucket/p/", key: value}
    lines = "\n".join(f"    {name}: '{each}'" for name, each in step.items())
    first = "  - {id: a, action: s3.list, role: job, source: 's3://bucket/p/'}"
    spec.write_text(
        f"version: 1\nname: t\nparams: {{p: {{required: true}}}}\nsteps:\n{first}\n  -\n{lines}\n"
    )
    with contextlib.suppress(SpecError, UsageError):
        api.plan(api.load(spec, complete=False))


@pytest.mark.parametrize("value", ["${{ ", "${{ params.p }}", "x", "[1]", "{a: 1}", "1", "null"])
@pytest.mark.parametrize(
    "key",
    [
        *SpecFile.model_fields,
        *(f"defaults.{name}" for name in Defaults.model_fields),
        *(f"state.{name}" for name in StateFields.model_fields),
    ],
)
def test_any_value_in_any_key_of_a_spec(key: str, value: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    value = f"'{value}'" if "$" in value else value
    section, _, name = key.rpartition(".")
    line = f"{section}: {{{name}: {value}}}" if section else f"{name}: {value}"
    others = {
        "version": "version: 1",
        "name": "name: t",
        "params": "params: {p: {required: true}}",
        "steps": "steps: [{id: a, action: s3.list, role: job, source: 's3://bucket/'}]",
    }
    others.pop(key, None)
    spec.write_text("\n".join([*others.values(), line]) + "\n")
    with contextlib.suppress(SpecError, UsageError):
        api.plan(api.load(spec, complete=False))


@pytest.mark.parametrize(
    "kind",
    [
        "string",
        "integer",
        "number",
        "boolean",
        "date",
        "datetime",
        "duration",
        "size",
        "list",
        "choice",
    ],
)
@pytest.mark.parametrize(
    "rule", ["", "min: VALUE", "max: VALUE", "default: VALUE", "pattern: VALUE"]
)
def test_any_value_of_a_param(kind: str, rule: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    step = "steps: [{id: a, action: s3.list, role: job, source: 's3://bucket/'}]"
    given = [
        *VALUES,
        float("nan"),
        float("inf"),
        10**5000,
        -1,
        None,
        True,
        [],
        {},
        b"x",
        object(),
        datetime(2026, 1, 1),  # noqa: DTZ001 - a program may give one without a zone
        date(2026, 1, 1),
        "\ud83d",
        "[NaN]",
        "[" * 5000,
    ]
    for value in VALUES if rule else ["x"]:
        choices = "choices: [a, 1], " if kind == "choice" else ""
        declared = f"params: {{p: {{type: {kind}, {choices}{rule.replace('VALUE', value)}}}}}"
        spec.write_bytes(
            f"version: 1\nname: t\n{declared}\n{step}\n".encode("utf-8", "surrogatepass")
        )
        for each in given if not rule else ["x", "5", "2026-01-31"]:
            with contextlib.suppress(SpecError, UsageError):
                api.plan(api.load(spec, {"p": each}))
