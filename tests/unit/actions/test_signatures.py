"""Calls of user functions, checked against their source without importing it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from rolerunner.actions.signatures import find_call_errors, import_folders, is_path


def errors(folder: Path, source: str, arguments: dict[str, Any], name: str = "f") -> list[str]:
    (folder / "job.py").write_text(source)
    return [
        each.replace(f"{folder}/", "")
        for each in find_call_errors(f"job.py:{name}", arguments, folder)
    ]


@pytest.mark.parametrize(
    ("source", "arguments", "found"),
    [
        ("def f(context): ...", {}, []),
        ("async def f(context, a): ...", {"a": 1}, []),
        ("def f(context, a): ...", {}, ["'arguments': 'f' needs 'a'"]),
        ("def f(context, a, b): ...", {}, ["'arguments': 'f' needs 'a', 'b'"]),
        ("def f(context, a, b=1): ...", {"a": 1}, []),
        ("def f(context=None, a=1): ...", {}, []),
        ("def f(context, *, a): ...", {}, ["'arguments': 'f' needs 'a'"]),
        ("def f(context, *, a=1): ...", {}, []),
        ("def f(context, /, a): ...", {"a": 1}, []),
        ("def f(context): ...", {"a": 1}, ["'arguments': 'f' takes no 'a' (it takes none)"]),
        (
            "def f(context, day, b=1): ...",
            {"day": 1, "zzz": 1},
            ["'arguments': 'f' takes no 'zzz' (it takes day, b)"],
        ),
        (
            "def f(context, day): ...",
            {"dya": 1},
            [
                "'arguments': 'f' takes no 'dya' (did you mean 'day'?)",
                "'arguments': 'f' needs 'day'",
            ],
        ),
        ("def f(context, **more): ...", {"a": 1}, []),
        ("def f(*all): ...", {"a": 1}, []),
        ("def f(context, a, /): ...", {"b": 1}, []),
        ("@wrapped\ndef f(context): ...", {"a": 1}, []),
        ("f = make()", {"a": 1}, []),
        ("from x import f", {"a": 1}, []),
        ("from x import y as f", {"a": 1}, []),
        ("class f: ...", {"a": 1}, []),
        ("from x import *", {"a": 1}, []),
        ("def __getattr__(name): ...", {}, []),
        ("try:\n  import x\nexcept ImportError:\n  def f(context): ...", {}, []),
        ("if 1:\n  pass\nelse:\n  def f(context): ...", {}, []),
        ("for f in (1,): ...", {}, []),
        ("def g(context): ...", {}, ["'function': job.py has no function 'f'"]),
        (
            "def clean():\n  def f(context): ...",
            {},
            ["'function': job.py has no function 'f'"],
        ),
        ("import f.g", {}, []),
    ],
)
def test_arguments_fit_the_signature(
    tmp_path: Path, source: str, arguments: dict[str, Any], found: list[str]
) -> None:
    assert errors(tmp_path, source, arguments) == found


def test_a_misspelt_function_is_suggested_and_wrong_python_is_named(tmp_path: Path) -> None:
    assert errors(tmp_path, "def clean(c): ...", {}, "claen") == [
        "'function': job.py has no function 'claen' (did you mean 'clean'?)"
    ]
    (found,) = errors(tmp_path, "def f(:\n", {})
    assert found.startswith("'function': job.py: not Python: ")


def test_an_edited_file_is_read_again(tmp_path: Path) -> None:
    assert errors(tmp_path, "def g(c): ...", {}) != []
    assert errors(tmp_path, "def f(c): ...  # longer", {}) == []


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("none.py:f", "'function': there is no file none.py beside the spec"),
        (
            "steps.claen:f",
            "'function': there is no module 'steps.claen' (did you mean 'steps.clean'?)",
        ),
        (
            "steps.clean.more:f",
            "'function': there is no module 'steps.clean.more': 'steps.clean' is not a package",
        ),
        ("no_such_module_x9:f", "'function': there is no module 'no_such_module_x9' (it is"),
    ],
)
def test_a_module_that_is_not_there(tmp_path: Path, function: str, message: str) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "clean.py").write_text("def f(c): ...")
    (found,) = find_call_errors(function, {}, tmp_path)
    assert found.startswith(message)
    loose = list(find_call_errors(function, {}, tmp_path, complete=False))
    assert loose == ([found] if is_path(function.partition(":")[0]) else [])


@pytest.mark.parametrize("place", ["", "..", "../.."])
def test_modules_are_found_beside_the_spec_and_two_folders_above(
    tmp_path: Path, place: str
) -> None:
    project = tmp_path / "a" / "b"
    project.mkdir(parents=True)
    (project / place / "own_module_x9.py").write_text("def f(c, a): ...")
    assert list(find_call_errors("own_module_x9:f", {"a": 1}, project)) == []
    assert import_folders(project) == (project, tmp_path / "a", tmp_path)


def test_bundled_packages_are_found(tmp_path: Path) -> None:
    package = tmp_path / "else" / "where" / "deep" / "pack_x9"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def f(c): ...")
    place = "else/where/deep/pack_x9"
    assert list(find_call_errors("pack_x9:f", {}, tmp_path, [place])) == []
    assert len(list(find_call_errors("pack_x9:f", {}, tmp_path))) == 1


def test_modules_without_source_and_in_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(find_call_errors("sys:exit", {"anything": 1}, tmp_path)) == []
    archive = tmp_path / "lib.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped_x9.py", "def f(c, a): ...")
    monkeypatch.syspath_prepend(str(archive))
    assert list(find_call_errors("zipped_x9:f", {}, tmp_path)) == ["'arguments': 'f' needs 'a'"]
