"""``rolerunner report``: files that are no results, and where the page goes."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rolerunner.cli import report as report_module
from rolerunner.cli.report import report
from rolerunner.errors import UsageError
from rolerunner.model import RunResult
from rolerunner.observers.result import build_result_document

RESULT = build_result_document(RunResult("r-1", "nightly", "succeeded", "", 1.0, (), ()), {})


def call(*arguments: object) -> Result:
    return CliRunner().invoke(report, [str(each) for each in arguments], catch_exceptions=False)


def test_the_page_is_beside_the_result_or_where_it_is_asked_for(tmp_path: Path) -> None:
    result = tmp_path / "out.json"
    result.write_text(json.dumps(RESULT))
    assert call(result).output == f"{tmp_path}/out.html\n"
    assert call(result, "-o", tmp_path / "page").output == f"{tmp_path}/page\n"
    page = tmp_path / "page"
    assert page.read_bytes() == (tmp_path / "out.html").read_bytes()
    assert page.read_text().startswith("<!doctype html>")
    assert "nightly" in page.read_text()
    assert stat.S_IMODE(os.stat(page).st_mode) == 0o600


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        ("", "it is not JSON; "),
        ("{", "it is not JSON; "),
        ("[" * 100_000, "it is not JSON; "),
        ("[]", "it is not a result file, which is a JSON object"),
    ],
)
def test_another_file_is_an_error_that_names_it(
    tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "out.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError) as caught:
        call(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert not (tmp_path / "out.html").exists()


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.json"
    path.write_text(json.dumps(RESULT))
    monkeypatch.setattr(report_module, "_MAX_BYTES", path.stat().st_size)
    call(path)
    monkeypatch.setattr(report_module, "_MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(UsageError, match="larger than 0 MiB, which no result file is"):
        call(path)
