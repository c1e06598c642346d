from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import awsglue
from awsglue import _installation

FOLDER = Path(awsglue.__file__).parent


def test_the_list_of_own_files_is_complete() -> None:
    present = {each.name for each in FOLDER.iterdir()} - {"__pycache__"}
    assert present == _installation.OWN_FILES


def test_files_of_another_distribution_are_detected(tmp_path: Path) -> None:
    site = tmp_path / "site"
    folder = site / "awsglue"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    _installation.check_installation(folder)
    (folder / "glue_shell.py").touch()
    with pytest.raises(ImportError, match=r"both installed .* \(it contains glue_shell\.py\)"):
        _installation.check_installation(folder)


def test_the_other_distribution_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "TheirGlue-5.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: TheirGlue\nVersion: 5.1\n")
    (metadata / "RECORD").write_text("awsglue/__init__.py,,\n")
    folder = tmp_path / "awsglue"
    folder.mkdir()
    for name in ("__init__.py", "glue_shell.py"):
        (folder / name).touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match=r"^TheirGlue and awsglue-local-stubs have both"):
        _installation.check_installation(folder)


def test_pyspark_is_not_needed_for_the_imports() -> None:
    script = (
        "import sys; sys.modules['pyspark'] = None\n"
        "import awsglue.context, awsglue.job, awsglue.transforms, awsglue.utils"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
