"""``rolerunner bundle``: a folder with its sizes, or only the text of what it would hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from rolerunner.cli.bundle import bundle
from rolerunner.glue.bundle import wheels
from rolerunner.glue.bundle.wheels import FetchedWheels


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(wheels, "fetch_wheels", lambda *_: FetchedWheels(()))
    path = tmp_path / "nightly.yaml"
    path.write_text(
        "version: 1\nname: nightly\nroles: {reader: arn:aws:iam::111122223333:role/reader}\n"
        "steps: [{id: find, action: s3.list, role: reader, source: s3://landing/}]\n"
    )
    return path


def test_the_folder_is_named_with_its_sizes(spec: Path, tmp_path: Path) -> None:
    target = tmp_path / "made"
    ended = CliRunner().invoke(bundle, [str(spec), "-o", str(target)], catch_exceptions=False)
    assert f"{target}: 3 files, " in ended.output
    assert " MB (installed: rolerunner " in ended.output
    assert (target / "manifest.json").is_file()


def test_check_writes_nothing(spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(
        bundle, [str(spec), "--check", "--runtime", "glue-5.1"], catch_exceptions=False
    )
    assert "wheels.gluewheels.zip: " in ended.output
    assert "from the runtime: boto3 1.40.61, " in ended.output
    assert [path.name for path in tmp_path.iterdir()] == ["nightly.yaml"]
