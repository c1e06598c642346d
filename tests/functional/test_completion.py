"""``rolerunner completion`` in real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

SPEC = """version: 1
name: nightly
roles: {partner: "arn:aws:iam::111122223333:role/p", publisher: "arn:aws:iam::111122223333:role/q"}
environments: {dev: {}, prod: {}}
steps:
  - {id: find, action: s3.list, role: partner, source: s3://b/in/}
  - id: each
    for_each: [1]
    steps: [{id: fetch, action: s3.read, role: partner, source: s3://b/in/a}]
"""
TRY = {
    "bash": """source <(rolerunner completion bash) || exit
for line in "$@"; do
    mapfile -t COMP_WORDS < <(tr '|' '\\n' <<< "$line"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=(); _rolerunner_completion rolerunner 2>/dev/null; echo "${COMPREPLY[*]}"
done
""",
    "fish": """rolerunner completion fish | source
for line in $argv; echo (complete -C (string replace -a '|' ' ' $line) | cut -f1); end
""",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "rolerunner"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -W error -m rolerunner "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "nightly.yaml").write_text(SPEC)
    for name in ("nightly.sandbox.yaml", "nightly.test.yaml", "readme.md"):
        (tmp_path / "specs" / name).touch()
    return tmp_path


def complete(shell: str, *lines: str) -> list[str]:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    option = ["-c", TRY[shell]] + ([shell] if shell == "bash" else [])
    ended = subprocess.run([shell, *option, *lines], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.parametrize("shell", TRY)
def test_commands_options_specs_and_names_are_completed(shell: str, folder: Path) -> None:
    cases = {
        "rolerunner|va": "validate",
        "rolerunner|run|sp": "specs/nightly.yaml",
        "rolerunner|run|specs/nightly.yaml|--env|p": "prod",
        "rolerunner|run|specs/nightly.yaml|--only|": "find each each.fetch",
        "rolerunner|deploy|specs/nightly.yaml|--role|pu": "publisher",
        "rolerunner|deploy|specs/nightly.yaml|--runtime|pyt": "pythonshell",
        "rolerunner|actions|s3.con": "s3.concat",
        "rolerunner|run|s3://bucket/key|--env|": "",
        "rolerunner|run|specs/missing.yaml|--env|": "",
    }
    found = complete(shell, *cases)
    assert [set(each.split()) for each in found] == [set(each.split()) for each in cases.values()]


def test_other_values_are_left_to_bash(folder: Path) -> None:
    (folder / "specs" / "with space.yaml").touch()
    lines = complete(
        "bash", "rolerunner|run|specs/", "rolerunner|run|x|--result|", "rolerunner|nonsense|"
    )
    assert lines[:2] == ["", ""]
    assert lines[2].startswith("run validate check")


@pytest.mark.parametrize("name", ["$(touch bad).yaml", "`touch bad`.yaml", "a\nb.yaml", "*.yaml"])
def test_no_name_of_a_file_is_run_or_splits(name: str, folder: Path) -> None:
    (folder / "specs" / "nightly.yaml").unlink()
    (folder / "specs" / name).touch()
    assert complete("bash", "rolerunner|run|specs/") == [""]
    assert not (folder / "bad").exists()


def test_a_broken_spec_completes_nothing_and_prints_nothing(folder: Path) -> None:
    for text in ("steps: [", "[]", "environments: 1\nsteps: {}\nroles: []", "\x00"):
        (folder / "specs" / "nightly.yaml").write_text(text)
        environment = {
            **os.environ,
            "_ROLERUNNER_COMPLETE": "bash_complete",
            "COMP_WORDS": "rolerunner\nrun\nspecs/nightly.yaml\n--only\n",
            "COMP_CWORD": "4",
        }
        ended = subprocess.run(
            ["rolerunner"], env=environment, capture_output=True, text=True, check=False
        )
        assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "", "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_the_tab_key_completes_in_an_interactive_bash(folder: Path) -> None:
    pty = pytest.importorskip("pty", reason="a terminal of Unix")
    primary, secondary = pty.openpty()
    shell = subprocess.Popen(
        ["bash", "--norc", "-i"],
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        start_new_session=True,
        env={**os.environ, "TERM": "dumb", "HISTFILE": ""},
    )
    os.close(secondary)
    try:
        os.write(primary, b"source <(rolerunner completion bash); echo read''y\n")
        read_until(primary, b"ready")
        os.write(primary, b"rolerunner run sp\t")
        assert b"specs/nightly.yaml" in read_until(primary, b"nightly.yaml")
    finally:
        shell.kill()
        shell.wait()
        os.close(primary)


def read_until(terminal: int, wanted: bytes) -> bytes:
    output = b""
    while wanted not in output:
        output += os.read(terminal, 1024)
    return output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_code_for_each_shell_is_printed(shell: str, folder: Path) -> None:
    ended = subprocess.run(
        ["rolerunner", "completion", shell], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"_ROLERUNNER_COMPLETE={shell}_complete" in ended.stdout


def test_zsh_takes_the_code(folder: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    script = (
        "autoload -Uz compinit && compinit -D -u && source <(rolerunner completion zsh) && "
        "print -r -- $_comps[rolerunner]"
    )
    ended = subprocess.run(["zsh", "-fc", script], capture_output=True, text=True, check=False)
    assert ended.stdout.strip() == "_rolerunner_completion", ended.stderr
