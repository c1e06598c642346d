"""Values of arguments and options as a shell completes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from rolerunner.cli import completion_values

if TYPE_CHECKING:
    from pathlib import Path


def test_specs_are_found_here_and_one_folder_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("n.yaml", "n.test.yaml", ".h.yaml", "a/m.yml", "a/b/deep.yaml", "a/x.txt"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert sorted(completion_values._find_specs("")) == ["a/m.yml", "n.yaml"]
    assert sorted(completion_values._find_specs("a/b")) == ["a/b/deep.yaml"]
    assert list(completion_values._find_specs("none/")) == []


def test_links_that_lead_in_a_circle_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "n.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert list(completion_values._find_specs("")) == ["n.yaml"]


def test_a_large_folder_is_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion_values, "_MOST_ENTRIES", 3)
    for number in range(9):
        (tmp_path / f"{number}.yaml").touch()
    assert len(list(completion_values._find_specs(f"{tmp_path}/"))) == 3


@pytest.mark.parametrize("given", ["", "s3://bucket/key", "missing.yaml"])
def test_only_files_of_this_machine_are_read(given: str) -> None:
    context = click.Context(click.Command("run"))
    context.params = {"spec": given}
    assert completion_values._read_spec(context) == {}
