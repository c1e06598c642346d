from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from rolerunner.common.awsglue_errors import explain_awsglue_error

NOT_CALLABLE = "'JavaPackage' object is not callable"


def raise_in(folder: Path) -> TypeError:
    """Returns the error that py4j raises for a missing Java class, raised in a file of a folder."""
    folder.mkdir()
    path = folder / "context.py"
    path.write_text(f"raise TypeError({NOT_CALLABLE!r})")
    with pytest.raises(TypeError) as raised:
        exec(compile(path.read_text(), str(path), "exec"), {})
    return raised.value


def test_the_java_class_that_awsglue_does_not_find_is_explained(tmp_path: Path) -> None:
    explained = explain_awsglue_error(raise_in(tmp_path / "awsglue"))
    assert "AWS's own package" in explained
    assert "uninstall it and install rolerunner[glue-local]" in explained


def test_a_java_class_of_another_package_is_not(tmp_path: Path) -> None:
    assert explain_awsglue_error(raise_in(tmp_path / "delta")) == ""
    assert explain_awsglue_error(TypeError("another mistake")) == ""


def test_a_missing_awsglue_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "awsglue", None)
    with pytest.raises(ModuleNotFoundError) as raised:
        importlib.import_module("awsglue.context")
    assert explain_awsglue_error(raised.value) == (
        "awsglue is part of Glue; "
        "install rolerunner[glue-local] to run Glue code on your own machine"
    )
    assert explain_awsglue_error(ModuleNotFoundError("no", name="awsgluelike")) == ""
