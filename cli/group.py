"""The group of commands: how it ends, what all commands have, and what was meant by a name that none has.

Contract: an error that refmaker raises on purpose is one line on stderr and exit status 1. Anything else is a bug of
ours and keeps its traceback.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import click

from refmaker.errors import RefmakerError

from .config import default_map
from .interrupts import INTERRUPTED, LINE, interrupts
from .output import FAILED, brief, say, say_error
from .verbose import verbose_option

__all__ = ["Commands"]


class Commands(click.Group):
    """The commands of refmaker."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, which gets the options that all have."""
        if not any("--verbose" in param.opts for param in cmd.params):
            cmd.params.append(verbose_option())
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; say in one line why it failed."""
        try:
            try:
                interrupts.working = True
                ctx.default_map = default_map(self.commands)
                return super().invoke(ctx)
            except RefmakerError as error:
                say_error(brief(f"refmaker: {error}"))
                ctx.exit(FAILED)
            finally:
                interrupts.working = False
        except KeyboardInterrupt:
            interrupts.working = False
            if interrupts.installed:
                interrupts.end(partial(say, LINE, err=True))
            say(LINE, err=True)
            ctx.exit(INTERRUPTED)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of the first argument; else say what was meant."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(_meant(name, self.list_commands(ctx)))
        return super().resolve_command(ctx, args)


def _meant(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    from .output import printable

    shown = printable(name)
    if os.path.exists(name):
        return f"no command is named {shown!r}, which is a file: `refmaker scan {shown}` writes its manifest"
    close = get_close_matches(name.lower(), known, 2, 0.5)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are {', '.join(known)}"
    return f"no command is named {shown!r}: {hint}"
