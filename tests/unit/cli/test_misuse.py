"""Commands, options and arguments of other tools: the message says what to write."""

from __future__ import annotations

import pytest

from rolerunner import cli
from rolerunner.cli.misuse import describe_unknown_command


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nightly.yaml", "'nightly.yaml' is not a command (write 'rolerunner run nightly.yaml')"),
        ("s3://b/k", "'s3://b/k' is not a command (write 'rolerunner run s3://b/k')"),
        ("help", "there is no command 'help' (write 'rolerunner --help')"),
        ("dry-run", "there is no command 'dry-run' (write 'rolerunner plan SPEC')"),
        ("vaildate", "there is no command 'vaildate' (did you mean 'validate'?)"),
        ("zzzz", f"there is no command 'zzzz' (known: {', '.join(cli.COMMANDS)})"),
    ],
)
def test_an_unknown_command(name: str, message: str) -> None:
    assert describe_unknown_command(name, cli.COMMANDS) == message


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ("--env prod run a.yaml", "options follow the command, as in 'rolerunner run SPEC --env'"),
        ("--dry-run", "'rolerunner plan SPEC' is the dry run"),
        ("run a.yaml --dry-run", "'rolerunner plan SPEC' is the dry run"),
        ("plan a.yaml --profile x", "set AWS_PROFILE"),
        ("run a.yaml day=2026-01-31", "write -p day=2026-01-31"),
        ("run a.yaml b.yaml c.yaml", "this command takes one spec; 'b.yaml' is a second one"),
        ("schema a.yaml", ""),
        ("run a.yaml --zzz", ""),
        ("run", ""),
    ],
)
def test_a_wrong_command_line_ends_with_what_to_write(
    arguments: str, hint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["rolerunner", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        cli.run_command_line()
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"  {hint}" if hint else not last.startswith("  ")
