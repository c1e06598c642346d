"""Implements ``rolerunner completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from rolerunner.cli.common import COMPLETE_VARIABLE, SETTINGS
from rolerunner.errors import UsageError


@click.command(context_settings=SETTINGS)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the code by which a shell completes commands, options, specs and names in specs.

    \b
    source <(rolerunner completion bash)               in ~/.bashrc
    source <(rolerunner completion zsh)                in ~/.zshrc, after compinit
    rolerunner completion fish | source                in ~/.config/fish/config.fish

    Completion reads files on this machine alone, and never contacts AWS.
    """
    from rolerunner.cli import main  # noqa: PLC0415 - it imports this module

    found = get_completion_class(shell)
    if found is None:  # a shell that this version of click does not know
        raise UsageError(f"the installed click has no completion for {shell}")
    click.echo(found(main, {}, "rolerunner", COMPLETE_VARIABLE).source())
