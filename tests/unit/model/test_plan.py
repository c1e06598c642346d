"""Plans and results are imported when they are first used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rolerunner import model

_USE = """
import sys, rolerunner.model as model
late = {"rolerunner.model.plan", "rolerunner.model.results"}
assert not late & set(sys.modules)
assert model.Plan is sys.modules["rolerunner.model.plan"].Plan
assert model.RunResult.__module__ == "rolerunner.model.results"
"""


def test_plans_and_results_are_imported_late() -> None:
    subprocess.run([sys.executable, "-c", _USE], check=True)


def test_every_exported_name_is_there() -> None:
    assert [name for name in model.__all__ if getattr(model, name, None) is None] == []
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        model.Nothing  # type: ignore[attr-defined]  # noqa: B018
