"""The code that shells read."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from rolerunner.cli.completion import completion


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_it_is_the_code_of_click_for_this_command(shell: str) -> None:
    printed = CliRunner().invoke(completion, [shell], catch_exceptions=False).output
    assert "_rolerunner_completion" in printed


def test_another_shell_is_refused() -> None:
    assert CliRunner().invoke(completion, ["tcsh"]).exit_code == 2
