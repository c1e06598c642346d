"""Tests what the commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rolerunner.cli.common import expand_glob, format_problem, read_params
from rolerunner.errors import Mark, Problem, UsageError
from rolerunner.spec.values import FileValue

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("text", ["a", "=1", ""])
def test_a_param_needs_a_name_and_a_value(text: str) -> None:
    with pytest.raises(UsageError, match="-p takes NAME=VALUE"):
        read_params([text])


def test_params_of_the_command_line_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("a: 1\nb: 2\n")
    values = read_params(["a=x", "c=@@y"], str(file))
    assert (values["a"], values["c"]) == ("x", "@y")
    assert isinstance(values["b"], FileValue)
    assert values["b"].value == 2


def test_a_repeated_param_is_an_error() -> None:
    with pytest.raises(UsageError, match="'a'"):
        read_params(["a=1", "a=2"])


def test_a_glob_leaves_out_sandbox_and_test_files(tmp_path: Path) -> None:
    for name in ("a.yaml", "a.sandbox.yaml", "a.test.yaml"):
        (tmp_path / name).write_text("")
    assert list(expand_glob(f"{tmp_path}/*.yaml")) == [str(tmp_path / "a.yaml")]
    with pytest.raises(UsageError, match="no file matches"):
        list(expand_glob(f"{tmp_path}/*.yml"))


def test_a_problem_points_at_its_column() -> None:
    problem = Problem(Mark("f.yaml", 2, 3), "unknown key 'x'", "", "\tx: 1")
    assert format_problem(problem).splitlines()[1:] == ["    \tx: 1", "    \t ^"]


@pytest.mark.parametrize("malformed", ["hunter2-blue", "=hunter2-blue"])
def test_a_malformed_param_is_named_by_its_number_alone(malformed: str) -> None:
    with pytest.raises(UsageError, match="number 2 of them") as caught:
        read_params(["day=2026-01-31", malformed])
    assert "hunter2" not in str(caught.value)


def test_control_characters_of_a_spec_are_visible() -> None:
    problem = Problem(Mark("f.yaml", 1, 1), "no role '\x1b[2J\x07'", "\x9b1A", "role: \u202ex")
    for colour in (False, True):
        text = format_problem(problem, colour=colour)
        assert r"no role '\x1b[2J\x07'" in text
        assert not {"\x07", "\x9b", "\u202e"}.intersection(text)
