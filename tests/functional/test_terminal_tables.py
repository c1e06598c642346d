"""The tables at the end of a run at common widths, and the totals of ``for_each`` steps."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from rolerunner.common.units import sum_numbers
from rolerunner.events import StepFinished
from rolerunner.model import Failure, ItemResult, RoleUse, RunResult, StepResult
from rolerunner.observers.report import render_page
from rolerunner.observers.result import build_result_document
from rolerunner.observers.terminal import Terminal, format_outputs
from rolerunner.observers.terminal_tables import (
    build_group_table,
    build_roles_table,
    build_steps_table,
    wrap_name,
)

ARN = (
    "arn:aws:sts::111122223333:assumed-role/landing-reader/partner-exchange-20260101T000000Z-abcdef"
)
STEPS = (
    StepResult(
        "find-the-orders-of-the-partner",
        "s3.list",
        "partner-landing-reader",
        "succeeded",
        1,
        0.41,
        {"count": [3, 4], "bytes": [2000, 30000000]},
    ),
    StepResult(
        "publish",
        "s3.copy",
        "a-role-with-a-long-name, another-role-with-a-long-name",
        "failed",
        1,
        12.25,
        {"count": 1234567, "bytes": 2**41},
        Failure("AccessDenied", "no"),
    ),
)
RESULT = RunResult(
    "id",
    "job",
    "failed",
    "2026-01-01T00:00:00Z",
    1.0,
    (RoleUse("partner-landing-reader", "arn", ARN, 1),),
    STEPS,
)


def render_steps(width: int) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(build_steps_table(RESULT))
    console.print(build_roles_table(RESULT))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_tables_lose_nothing_in_a_narrow_terminal(width: int) -> None:
    text = render_steps(width)
    assert max(map(len, text.splitlines())) <= width
    for whole in (
        "succeeded",
        "failed",
        "1,234,567",
        "2.0 TiB",
        "28.6 MiB",
        "12.25",
        "seconds",
        "status",
    ):
        assert whole in text
    joined = "".join(text.split())
    assert all(
        any(part in joined for part in (name, name[:5])) for name in ("publish", "AccessDenied")
    )
    letters = sorted("".join(character for character in text if character.isalnum()))
    for name in (STEPS[0].id, STEPS[0].role, STEPS[1].role, ARN):
        assert all(
            letters.count(letter) >= name.count(letter) for letter in set(name) if letter.isalnum()
        )


@pytest.mark.parametrize("width", [80, 100])
def test_names_break_between_their_words(width: int) -> None:
    words = render_steps(width).split()
    for name in (STEPS[0].id, STEPS[0].role, STEPS[1].role, ARN):
        for word in re.split(r"[^A-Za-z0-9]+", name):
            assert any(word in re.split(r"[^A-Za-z0-9]+", each) for each in words), word


@pytest.mark.parametrize("width", [60, 80])
def test_steps_and_items_of_a_group_break_between_their_words(width: int) -> None:
    names = ("list-the-new-orders", "fetch-the-new-orders", "verify-the-new-orders")
    label = "the-partner-in-the-north"
    steps = tuple(StepResult(f"g[{label}].{name}", "s3.list", "", "succeeded", 1) for name in names)
    group = StepResult(
        "partners-of-the-north",
        "group",
        "",
        "succeeded",
        1,
        items=(ItemResult(label, "succeeded", steps),),
    )
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(build_group_table(group, {"succeeded": "+"}))
    words = re.findall("[a-z]+", str(console.file.getvalue()))  # type: ignore[attr-defined]
    expected = [word for name in (*names, label, group.id) for word in name.split("-")]
    assert sorted(words) == sorted([*expected, "seconds", "total", "seconds"])


@pytest.mark.parametrize(
    ("name", "width", "lines"),
    [
        ("find", 10, ["find"]),
        ("", 10, [""]),
        ("find-the-orders", 9, ["find-the-", "orders"]),
        ("find-the-orders", 8, ["find-", "the-", "orders"]),
        ("partners[a b].fetch", 14, ["partners[a b].", "fetch"]),
        ("reader (find)", 7, ["reader ", "(find)"]),
        ("a-longerthanthis-b", 6, ["a-", "longerthanthis-", "b"]),
        ("-_x", 2, ["-_", "x"]),
    ],
)
def test_lines_of_a_name(name: str, width: int, lines: list[str]) -> None:
    assert wrap_name(name, width) == lines


def test_totals_of_a_step_that_was_done_for_each_item() -> None:
    row = next(
        line for line in render_steps(160).splitlines() if line.startswith("find-the-orders")
    )
    assert "  7  28.6 MiB" in row
    assert format_outputs(STEPS[0]) == "count=7 bytes=28.6 MiB"
    html = render_page(build_result_document(RESULT, {}))
    assert "28.6 MiB" in html
    moved = render_page(
        build_result_document(replace(RESULT, steps=(replace(STEPS[0], action="s3.copy"),)), {})
    )
    assert "<dt>objects</dt><dd>7</dd>" in moved
    assert "<dt>1 step</dt>" in moved
    assert "<dt>1 role</dt><dd>1 AssumeRole call</dd>" in moved


@pytest.mark.parametrize(
    ("value", "total"),
    [
        (3, 3),
        ([1, 2, None], 3),
        ([], None),
        (["a"], None),
        (True, None),
        ("7", None),
        ([[1, 2], 3], 6),
        ([True, 1], 1),
        (None, None),
    ],
)
def test_a_total(value: object, total: object) -> None:
    assert sum_numbers(value) == total


def test_true_and_text_stay_in_the_line_of_outputs() -> None:
    step = StepResult(
        "a",
        "python.call",
        "",
        "succeeded",
        outputs={"done": True, "rows": 0, "skipped": 0, "name": "x"},
    )
    assert format_outputs(step) == "done=True rows=0 name=x"


def test_control_characters_of_keys_do_not_reach_the_terminal() -> None:
    stream = io.StringIO()
    error = Failure("NotFound", "s3://in/\x1b]0;title\x07\u202e not found", "look at \x1b[2J")
    step = StepResult("a", "s3.read", "", "failed", 1, 0.1, {"text": "\x1b[8mhidden"}, error)
    Terminal(Console(file=stream, width=160)).notify(StepFinished(step))
    assert not {"\x1b", "\x07", "\u202e"} & set(stream.getvalue())
    assert "\\x1b]0;title\\x07\\u202e not found" in stream.getvalue()


def test_a_step_with_two_roles_shows_both() -> None:
    roles = {"source_role": "partner", "target_role": "publisher"}
    step = StepResult("relay", "s3.copy", "partner", "succeeded", roles=roles)
    result = replace(RESULT, steps=(step,))
    console = Console(width=80, file=io.StringIO())
    console.print(build_steps_table(result))
    table = str(console.file.getvalue())  # type: ignore[attr-defined]
    terminal = Terminal(console)
    terminal.notify(StepFinished(step))
    line = str(console.file.getvalue())[len(table) :]  # type: ignore[attr-defined]
    document = build_result_document(result, {})
    assert [line.split()[0] for line in table.splitlines()[-2:]] == ["relay", "publisher"]
    assert "s3.copy as partner and publisher" in line
    assert document["steps"][0]["roles"] == roles
    assert "partner<br>publisher" in render_page(document)
