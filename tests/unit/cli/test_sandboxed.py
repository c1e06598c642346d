"""The sandbox of a command: mistakes in what it is filled with, before anything starts."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from rolerunner.cli.sandboxed import DEFAULT_FILE, enter_sandbox, explain_refusals
from rolerunner.errors import UsageError


def enter(spec: Path, file: str = DEFAULT_FILE, *puts: str) -> None:
    with ExitStack() as stack:
        enter_sandbox(stack, str(spec), file, puts=puts)


@pytest.mark.parametrize(
    ("put", "message"),
    [
        ("landing/a=x", "--put: must be s3://bucket/key, not 'landing/a'"),
        ("s3://l/a=x", "--put: 'l' is not a bucket name in 's3://l/a'"),
        ("s3://landing/a", "--put takes s3://bucket/key=FILE, not 's3://landing/a'"),
        ("s3://landing/a=", "--put takes s3://bucket/key=FILE, not 's3://landing/a='"),
        ("s3://landing/a=no-file", "--put: there is no file 'no-file'"),
    ],
)
def test_an_object_to_put_needs_a_place_and_a_file(tmp_path: Path, put: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        enter(tmp_path / "job.yaml", DEFAULT_FILE, put)
    assert str(caught.value) == message


@pytest.mark.parametrize("file", [DEFAULT_FILE, "named.yaml"])
def test_a_sandbox_file_must_exist_without_a_spec_to_derive_it_from(
    tmp_path: Path, file: str
) -> None:
    path = tmp_path / "job.sandbox.yaml" if file == DEFAULT_FILE else file
    with pytest.raises(UsageError, match=f"there is no {path}: name the sandbox file"):
        enter(tmp_path / "job.yaml", file)


def test_a_refusal_is_explained_by_the_file_or_the_spec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = str(tmp_path / "job.yaml")
    explain_refusals(spec, DEFAULT_FILE)
    assert "are derived from the spec; declare more" in capsys.readouterr().err
    (tmp_path / "job.sandbox.yaml").write_text("")
    explain_refusals(spec, DEFAULT_FILE)
    shown = capsys.readouterr().err
    assert shown.endswith(f"its policies are in {tmp_path}/job.sandbox.yaml\n")
