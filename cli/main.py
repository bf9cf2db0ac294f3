"""The console script: takes care of Ctrl-C, then loads the commands.

Contract: Ctrl-C is silent from the first statement that is ours. What is imported before that, the interpreter has
loaded anyway (so no `typing`); `interrupts` takes over once it is there. Whoever asks for more of `main` than to be
called gets it from the group of commands itself.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["main"]


def _end(number: int, frame: object) -> None:
    """End while packages are loaded: nothing has begun."""
    try:
        os.write(2, b"refmaker: interrupted, nothing half-written\n")
    finally:
        os._exit(130)


class _Main:
    """The group of commands, which is loaded when it is needed."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _end)
        from .interrupts import interrupts

        interrupts.install()
        from .commands import main as commands

        return commands(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        from .commands import main as commands

        return getattr(commands, name)


if TYPE_CHECKING:
    from .commands import main
else:
    main = _Main()
