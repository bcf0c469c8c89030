"""`rlctl completion`: the script that makes a shell complete rlctl's commands, options and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from rlctl.errors import UsageError


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
      bash   eval "$(rlctl completion bash)"      in ~/.bashrc
      zsh    eval "$(rlctl completion zsh)"       in ~/.zshrc
      fish   rlctl completion fish | source       in ~/.config/fish/config.fish
    """
    from rlctl.cli import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError(f'click knows no completion for "{shell}"')
    click.echo(kind(cli, {}, "rlctl", "_RLCTL_COMPLETE").source())
