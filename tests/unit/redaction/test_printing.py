"""Prints during a run show no secrets."""

from __future__ import annotations

import io
import sys
import traceback

import pytest

from rolerunner.redaction.printing import redact_prints
from rolerunner.redaction.secrets import MASK, register_secret


def test_prints_show_no_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    kept = register_secret("pR7-printed-secret")
    with redact_prints():
        print("login with", kept, f"and x{kept}x")
        sys.stdout.writelines([f"{kept}\n", "none\n"])
        assert sys.stderr.write(f"{kept}\n") == len(kept) + 1
        try:
            raise RuntimeError(f"no {kept}")
        except RuntimeError:
            traceback.print_exc()
    shown = capsys.readouterr()
    assert shown.out == f"login with {MASK} and x{MASK}x\n{MASK}\nnone\n"
    assert shown.err.startswith(f"{MASK}\nTraceback")
    assert shown.err.endswith(f"RuntimeError: no {MASK}\n")


def test_all_else_is_that_of_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace")
    monkeypatch.setattr(sys, "stdout", stream)
    with redact_prints():
        assert (sys.stdout.encoding, sys.stdout.errors) == ("ascii", "replace")
        assert sys.stdout.isatty() is False
        assert sys.stdout.buffer is stream.buffer
        with pytest.raises(TypeError):
            sys.stdout.write(b"bytes")  # type: ignore[arg-type]
    assert sys.stdout is stream


def test_a_process_without_streams_stays_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with redact_prints():
        assert sys.stdout is None
        print("to nowhere")


def test_the_streams_return_after_an_error() -> None:
    before = sys.stdout, sys.stderr
    with pytest.raises(ValueError, match="x"), redact_prints():
        raise ValueError("x")
    assert (sys.stdout, sys.stderr) == before
