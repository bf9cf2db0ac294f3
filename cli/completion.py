"""`refmaker completion`: completion of commands and options in a shell."""

from __future__ import annotations

import click

__all__ = ["completion"]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, /, shell: str) -> None:
    """Print what makes SHELL complete commands and options.

    Bash 4.4 or newer: in ~/.bashrc, `eval "$(refmaker completion bash)"`. Zsh: the same with zsh, in ~/.zshrc. Fish:
    `refmaker completion fish > ~/.config/fish/completions/refmaker.fish`.

    Example: refmaker completion bash
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"this version of click cannot complete in {shell}")
    click.echo(found(ctx.find_root().command, {}, "refmaker", "_REFMAKER_COMPLETE").source())
