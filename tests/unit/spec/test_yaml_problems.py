"""Mistakes of a YAML file: their places, hints, and whether they show the text."""

from __future__ import annotations

import pytest
import yaml

from rolerunner.errors import Mark
from rolerunner.spec.yaml_problems import ParsingStopped, YamlProblems, format_code_point


def find_syntax_error(text: str, *, show_text: bool = True) -> tuple[str, str, str]:
    """Returns message, hint and line of a text that is not YAML."""
    problems = YamlProblems(text, "f.yaml", show_text=show_text)
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        list(yaml.parse(text, Loader=yaml.SafeLoader))
    problems.add_syntax_error(caught.value)
    (found,) = problems.found
    return found.message, found.hint, found.line


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a:\n\tb: 1\n", "indent with spaces, not tabs"),
        ("a: {b: ${{ x }}\n", "put a value with '${{ ... }}' in quotes inside '{ }' and '[ ]'"),
        ("a: b: c\n", "put a value that contains ': ' in quotes, or check the indentation"),
        ("a: 'b\n", "it begins on line 1, and nothing ends it"),
        ("a:\n  b: {c: 1\n", "it begins on line 2, and nothing ends it"),
        ("a: **/*.csv\n", "put a value that begins with '*' in quotes"),
        ("a: [@x]\n", "put a value that begins with '@' in quotes"),
        ("a: %x\n", "put a value that begins with '%' in quotes"),
        ('a: "C:\\data"\n', "write the text in single quotes, or each \\ twice"),
        ("a:\u00a01\nb: 2\n", "line 1 contains U+00A0, which only looks like a space"),
    ],
)
def test_a_syntax_error_has_a_hint(text: str, hint: str) -> None:
    message, found, _ = find_syntax_error(text)
    assert message.startswith("not YAML: ")
    assert found.startswith(hint)
    assert bool(found) == bool(hint)


def test_text_is_shown_only_where_it_may_be() -> None:
    assert find_syntax_error("key: secret: x\n")[2] == "key: secret: x"
    message, _, line = find_syntax_error("key: secret: x\n", show_text=False)
    assert (message, line) == ("not YAML", "")
    assert YamlProblems("", "f", show_text=True).quote_text("with 'x'", "without") == "with 'x'"
    assert YamlProblems("", "f", show_text=False).quote_text("with 'x'", "without") == "without"


def test_a_mistake_that_ends_parsing() -> None:
    problems = YamlProblems("a\nb\n", "f.yaml", show_text=True)
    with pytest.raises(ParsingStopped):
        problems.stop(Mark("f.yaml", 2, 1), "message", "hint")
    assert [(each.message, each.hint, each.line) for each in problems.found] == [
        ("message", "hint", "b")
    ]


def test_the_place_of_a_character_that_is_not_allowed() -> None:
    problems = YamlProblems("ab\ncd\0\n", "f.yaml", show_text=True)
    problems.refuse_character(5, "\0")
    (found,) = problems.found
    assert (found.mark, found.message) == (
        Mark("f.yaml", 2, 3),
        "not YAML: the character U+0000 is not allowed",
    )


@pytest.mark.parametrize(
    ("character", "text"), [("\ud800", "U+D800"), (0x1F600, "U+1F600"), ("", "U+0000")]
)
def test_code_points(character: str | int, text: str) -> None:
    assert format_code_point(character) == text
