"""The models of specs are built without pydantic's plugins; those of a user's code have them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = """
SEEN = []

class Plugin:
    def new_schema_validator(self, schema, schema_type, path, kind, config, settings):
        SEEN.append(path.name)
        return None, None, None

plugin = Plugin()
"""
PROGRAM = """
import os, sys
from rolerunner.spec.field_types import StrictModel

class Ours(StrictModel):
    name: str

Ours.model_validate({"name": "a"})
print("PYDANTIC_DISABLE_PLUGINS" in os.environ, "importlib.metadata" in sys.modules)
from pydantic import BaseModel

class Theirs(BaseModel):
    name: str

import importlib.metadata, counting_plugin
print(counting_plugin.SEEN, importlib.metadata.version("pydantic") > "2")
"""


def test_plugins_are_for_models_of_a_user_alone(tmp_path: Path) -> None:
    (tmp_path / "counting_plugin.py").write_text(PLUGIN)
    info = tmp_path / "counting_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counting-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[pydantic]\ncounting = counting_plugin:plugin\n")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("False False\n['Theirs'] True\n", "")
