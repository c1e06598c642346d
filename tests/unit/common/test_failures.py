"""Exceptions become failures of a step that name the user's code."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path

import pytest

from rolerunner.common.failures import as_step_error, format_user_frames
from rolerunner.errors import NotFound, UsageError


def test_a_failure_of_a_step_is_passed_through() -> None:
    error = NotFound("none", hint="look")
    assert as_step_error(error) is error


def test_an_error_of_ours_keeps_its_text_and_type() -> None:
    error = as_step_error(UsageError("no such step"))
    assert (error.type, error.message, error.hint) == ("UsageError", "no such step", "")


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (ValueError("bad"), "ValueError: bad"),
        (ValueError(), "ValueError"),
        (KeyError("a"), "KeyError: 'a'"),
        (OSError(errno.ENOENT, "missing"), "FileNotFoundError: [Errno 2] missing"),
    ],
)
def test_another_exception_is_named_with_its_text(raised: Exception, message: str) -> None:
    error = as_step_error(raised)
    assert error.message == message
    assert error.type == type(raised).__name__


@pytest.mark.parametrize(
    ("raised", "advice"),
    [
        (MemoryError(), "MemoryError: no memory is left"),
        (OSError(errno.ENOMEM, "x"), "OSError: [Errno 12] x: no memory is left"),
        (
            RuntimeError("can't start new thread"),
            "RuntimeError: can't start new thread: no more threads are allowed",
        ),
        (OSError(errno.EMFILE, "x"), "OSError: [Errno 24] x: no more open files are allowed"),
        (OSError(errno.ENFILE, "x"), "OSError: [Errno 23] x: no more open files are allowed"),
    ],
)
def test_a_limit_of_the_process_is_named(raised: Exception, advice: str) -> None:
    assert as_step_error(raised).message.startswith(advice)


def test_an_unrelated_runtime_error_names_no_limit() -> None:
    assert as_step_error(RuntimeError("start it")).message == "RuntimeError: start it"


def test_a_name_that_an_ascii_file_system_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    error = UnicodeEncodeError("ascii", "caf\xe9", 3, 4, "ordinal not in range")
    assert as_step_error(error).type == "UnicodeEncodeError"
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    failure = as_step_error(error)
    assert failure.type == "FileNameNotEncodable"
    assert failure.message.endswith(r"which has no '\xe9' of the name 'caf\xe9'")
    assert "PYTHONUTF8=1" in failure.hint


def call(source: str, file: str) -> BaseException:
    """Runs code as a module of the user's; returns what it raised."""
    try:
        exec(compile(source, file, "exec"), {"json": json})
    except Exception as error:
        return error
    raise AssertionError(source)


def test_frames_of_the_user_are_shown_without_ours_and_the_library(tmp_path: Path) -> None:
    file = tmp_path / "job.py"
    file.write_text("def clean():\n    return json.loads('x')\nclean()\n")
    error = call(file.read_text(), str(file)).with_traceback(None)
    assert format_user_frames(error) == ""
    lines = format_user_frames(call(file.read_text(), str(file))).splitlines()
    assert lines[-2:] == [
        f"{file}:3 in <module>: clean()",
        f"{file}:2 in clean: return json.loads('x')",
    ]
    assert not any("json/decoder" in line for line in lines)


def test_of_many_frames_the_first_and_the_last_three_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "deep.py"
    file.write_text("def f(n):\n    return 1 / n if n == 0 else f(n - 1)\nf(9)\n")
    lines = format_user_frames(call(file.read_text(), str(file))).splitlines()
    assert len(lines) == 2, "repeated lines are shown once"
    assert lines[1].startswith(f"{file}:2 in f: ")


def test_the_place_of_a_syntax_error_is_shown(tmp_path: Path) -> None:
    error = call("x = (\n", str(tmp_path / "wrong.py"))
    assert format_user_frames(error).splitlines()[-1].startswith(f"{tmp_path}/wrong.py:1: x = (")
