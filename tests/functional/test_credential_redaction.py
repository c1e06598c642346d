"""Issued credentials appear in no output of a run at level DEBUG."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from rolerunner.cli import main
from rolerunner.model import Role
from rolerunner.observers.terminal import Terminal
from rolerunner.redaction import secrets
from rolerunner.redaction.redact import redact_text
from rolerunner.redaction.secrets import Secret, list_secrets, register_secret
from rolerunner.sessions.identity import JobIdentity
from rolerunner.sessions.registry import Sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.memory_aws import Store

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    ("config", "last"), [("blog_cross_role", "fetch_elsewhere"), ("partner_exchange", "publish")]
)
def test_no_secret_is_in_any_output(
    config: str,
    last: str,
    form: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    loggers_as_before: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    issued = set()
    before = secrets.register_credential

    def hidden(text: str) -> Secret:
        issued.add(str(text))
        return before(text)

    monkeypatch.setattr("rolerunner.sessions.keys.register_credential", hidden)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = {
        "blog_cross_role": f"target={tmp_path}/out/",
        "partner_exchange": f"workdir={tmp_path}/out/",
    }[config]
    arguments = [
        "run",
        str(CONFIGS / f"{config}.yaml"),
        "--sandbox",
        "-p",
        folder,
        "--log-format",
        form,
    ]
    completed = CliRunner().invoke(
        main,
        [
            *arguments,
            "--log-level",
            "debug",
            "--result",
            str(tmp_path / "result.json"),
            "--report",
            str(tmp_path / "report.html"),
        ],
    )
    assert completed.exit_code == 0, completed.output
    assert len(issued) >= 9  # the job's and two roles': access key, secret key, token
    shown = (
        completed.output
        + caplog.text
        + "".join(
            path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()
        )
    )
    assert last in shown
    assert not [each for each in issued if each in shown]


def test_a_session_that_was_renewed_stays_a_secret_until_it_expires(memory_aws: Store) -> None:
    now = [1_000_000.0]
    sessions = Sessions(JobIdentity(), clock=lambda: now[0])
    role = Role("arn:aws:iam::444455556666:role/reader", "reader")
    sessions.assume(role)
    first = str(sessions.get_credentials(role).get_frozen_credentials().secret_key)
    now[0] += 50 * 60
    second = str(sessions.get_credentials(role).get_frozen_credentials().secret_key)
    assert first != second
    gc.collect()
    assert redact_text(f"keys {first}, {second}") == "keys [redacted], [redacted]"
    now[0] += 50 * 60  # the first one has expired; the next renewal forgets it
    third = str(sessions.get_credentials(role).get_frozen_credentials().secret_key)
    gc.unfreeze()  # of runs of other tests in this process
    gc.collect()
    assert first not in list_secrets()
    assert second in list_secrets()
    assert third in list_secrets()


def test_warnings_of_loggers_are_redacted_on_the_console(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = register_secret("Warned-of-4711")
    Terminal()
    logging.getLogger("jobs").warning("login with %s", kept)
    Terminal()
    assert capsys.readouterr().err == "login with [redacted]\n"


def test_a_traceback_that_nobody_handles_is_redacted(tmp_path: Path) -> None:
    code = (
        "import threading\n"
        "from rolerunner.redaction.tracebacks import redact_tracebacks\n"
        "from rolerunner.redaction.secrets import register_secret\n"
        "redact_tracebacks()\n"
        "kept = register_secret('Not-handled-4711')\n"
        "def fail(): raise RuntimeError('login with ' + kept)\n"
        "thread = threading.Thread(target=fail); thread.start(); thread.join()\nfail()\n"
    )
    completed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert completed.returncode == 1
    assert completed.stderr.count("RuntimeError: login with [redacted]") == 2
    assert "4711" not in completed.stderr.replace("register_secret('Not-handled-4711')", "")
