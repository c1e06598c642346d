"""A run at DEBUG, every output captured, searched for every secret that the emulator issued to this process."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from click.testing import CliRunner

from rolerunner import secret
from rolerunner.cli import main

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def loggers_as_before():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(("config", "last"), [("blog_cross_role", "fetch_elsewhere"), ("partner_exchange", "publish")])
def test_no_secret_is_in_any_output(config, last, form, tmp_path, monkeypatch, loggers_as_before, caplog):
    issued = set()
    before = secret.hidden

    def hidden(text):
        issued.add(str(text))
        return before(text)

    monkeypatch.setattr("rolerunner.credentials.hidden", hidden)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = {"blog_cross_role": f"target={tmp_path}/out/", "partner_exchange": f"workdir={tmp_path}/out/"}[config]
    arguments = ["run", str(CONFIGS / f"{config}.yaml"), "--sandbox", "-p", folder, "--log-format", form]
    done = CliRunner().invoke(
        main, [*arguments, "--log-level", "debug", "--result", str(tmp_path / "result.json"), "--report", str(tmp_path / "report.html")]
    )
    assert done.exit_code == 0, done.output
    assert len(issued) >= 9  # the job's and two roles': access key, secret key, token
    shown = done.output + caplog.text + "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert last in shown
    assert not [each for each in issued if each in shown]
