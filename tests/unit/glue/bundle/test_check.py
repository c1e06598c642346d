"""Tests the text of ``rolerunner bundle --check``."""

from __future__ import annotations

from pathlib import Path

import pytest

from rolerunner.glue.bundle.builder import Bundle, Package
from rolerunner.glue.bundle.check import render_check
from rolerunner.glue.launch.runtime import RUNTIMES

PACKAGES = (
    Package("typing-extensions", "4.16.0", "rolerunner", 45571, "4.2.0"),
    Package("openpyxl", "3.1.5", "requirements", 1234),
    Package("six", "", "code", 17, "1.16.0"),
)


@pytest.mark.parametrize(
    ("runtime", "place", "row"),
    [
        ("pythonshell", "GLUE_INSTALLATION, which", "4.2.0 (assumed)"),
        ("glue-4.0", "on every machine", "4.2.0"),
    ],
)
def test_it_names_files_packages_what_they_replace_and_what_the_runtime_provides(
    runtime: str, place: str, row: str, tmp_path: Path
) -> None:
    (tmp_path / "all.whl").write_bytes(b"x" * 5000)
    bundle = Bundle(tmp_path, "job.yaml", ("all.whl",), (), "0", PACKAGES, {"pandas": "1.4.2"})
    text = render_check(bundle, RUNTIMES[runtime])
    assert "all.whl: 5,000 bytes\n" in text
    assert place in text
    lines = [line.split(maxsplit=4) for line in text.splitlines()]
    assert ["typing-extensions", "4.16.0", "45,571", "rolerunner", row] in lines
    assert ["openpyxl", "3.1.5", "1,234", "requirements"] in lines
    assert text.splitlines()[-1].startswith(f"from the runtime: boto3 {RUNTIMES[runtime].boto3}, ")
    assert "pandas 1.4.2" in text.splitlines()[-1]
