"""Tracebacks, log records and errors show no secrets."""

from __future__ import annotations

import io
import logging
import sys
import threading
import warnings

import pytest

from rolerunner.errors import StepError
from rolerunner.redaction.secrets import MASK, register_secret
from rolerunner.redaction.tracebacks import RedactingFormatter, redact_error, redact_tracebacks


def test_log_records_lose_their_secrets() -> None:
    kept = register_secret("in-a-traceback-4711")
    try:
        raise RuntimeError(f"login with {kept}")
    except RuntimeError:
        record = logging.LogRecord(
            "x", logging.ERROR, "", 0, "failed for %s", (kept,), sys.exc_info()
        )
    shown = RedactingFormatter().format(record)
    assert "in-a-traceback" not in shown
    assert "RuntimeError: login with [redacted]" in shown


def test_an_error_is_redacted_in_place() -> None:
    kept = register_secret("rT5-in-an-error")
    error = StepError(f"login with {kept}", hint=f"not {kept}")
    redact_error(error)
    assert (error.message, error.hint, str(error)) == (
        f"login with {MASK}",
        f"not {MASK}",
        f"login with {MASK}",
    )


def test_unhandled_exceptions_show_no_secrets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    redact_tracebacks()
    kept = register_secret("rT5-in-a-traceback")
    error = ValueError(f"no login with {kept}")
    sys.excepthook(ValueError, error, None)
    assert capsys.readouterr().err == f"ValueError: no login with {MASK}\n"

    def work() -> None:
        raise error

    thread = threading.Thread(target=work, name="worker-7")
    thread.start()
    thread.join()
    shown = capsys.readouterr().err
    assert shown.startswith("Exception in thread worker-7:\nTraceback")
    assert shown.endswith(f"ValueError: no login with {MASK}\n")
    sys.excepthook(SystemExit, SystemExit(1), None)
    assert capsys.readouterr().err == ""


def test_a_finalizer_that_fails_shows_no_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    redact_tracebacks()
    kept = register_secret("rT5-in-a-finalizer")

    class Broken:
        def __del__(self) -> None:
            raise RuntimeError(f"no logout with {kept}")

    Broken()
    shown = capsys.readouterr().err
    assert shown.startswith("Exception ignored in: ")
    assert f"RuntimeError: no logout with {MASK}" in shown
    assert kept not in shown


def test_warnings_show_no_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    redact_tracebacks()
    kept = register_secret("rT5-in-a-warning")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning(UserWarning(f"no login with {kept}"), UserWarning, "job.py", 7)
    stream = io.StringIO()
    warnings.showwarning(UserWarning(f"{kept}"), UserWarning, "job.py", 7, stream)
    shown = capsys.readouterr().err
    assert shown.startswith(f"job.py:7: UserWarning: no login with {MASK}\n")
    assert stream.getvalue() == f"job.py:7: UserWarning: {MASK}\n"


def test_arguments_that_do_not_fit_their_message_are_shown_without_secrets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = register_secret("rT5-in-an-argument")
    record = logging.LogRecord("x", logging.ERROR, "", 0, "number %d", (f"a {kept}",), None)
    assert RedactingFormatter().format(record) == f"number %d ('a {MASK}',)"
    assert capsys.readouterr().err == ""
