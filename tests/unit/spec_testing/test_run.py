"""The process of a case: its environment, and the lines of its log."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rolerunner.spec_testing.run import _command_environment, _format_log_line


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("plain text", "plain text"),
        ("[1]", "[1]"),
        ('{"a": 1}', '{"a": 1}'),
        ('{"event": "step_started"}', "step_started"),
        (
            '{"event": "done", "level": "info", "step": "a", "count": 3, "hint": "", "x": ["é"]}',
            'done step=a count=3 x=["é"]',
        ),
        (
            '{"event": "done", "timestamp": "t", "more": {}, "none": null}',
            "done",
        ),
    ],
)
def test_a_line_of_the_log_is_its_event_and_its_values(line: str, text: str) -> None:
    assert _format_log_line(line) == text


def make_environment(folder: Path) -> dict[str, str]:
    keys = SimpleNamespace(access_key="AKIDEXAMPLE", secret_key="sX-71ab-90", token="t")
    aws: Any = SimpleNamespace(job_keys=keys, region="eu-west-1")
    return _command_environment(aws, "http://127.0.0.1:1", folder)


def test_a_run_reaches_the_sandbox_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (
        ("AWS_PROFILE", "prod"),
        ("AWS_ENDPOINT_URL_S3", "https://elsewhere"),
        ("HTTPS_PROXY", "http://proxy"),
        ("http_proxy", "http://proxy"),
        ("KEPT", "x"),
    ):
        monkeypatch.setenv(name, value)
    made = make_environment(tmp_path)
    assert {"AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "HTTPS_PROXY", "http_proxy"}.isdisjoint(made)
    assert (made["AWS_ENDPOINT_URL"], made["AWS_REGION"]) == ("http://127.0.0.1:1", "eu-west-1")
    assert made["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert (made["KEPT"], made["TMPDIR"]) == ("x", str(tmp_path))


def test_relative_folders_of_modules_still_lead_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(("lib", "/opt/lib")))
    folders = make_environment(tmp_path)["PYTHONPATH"].split(os.pathsep)
    assert folders == [str(Path.cwd() / "lib"), "/opt/lib"]
