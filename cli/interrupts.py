"""Ctrl-C, whenever it comes: one line on stderr at most, exit status 130, never a traceback.

Contract: while a command works, the first Ctrl-C raises KeyboardInterrupt, so that what was begun is cleaned up. At any
other moment, while packages are imported or the interpreter ends, the process ends at once: there is nothing to clean
up then. So it does at a second Ctrl-C that comes a second later or more; an earlier one is taken for the same. Nothing
but the standard library is imported here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

__all__ = ["INTERRUPTED", "LINE", "Interrupts", "interrupts"]

INTERRUPTED = 130
LINE = "refmaker: interrupted, nothing half-written"
_PATIENCE = 1.0
"""Seconds in which a second Ctrl-C is taken for the first one."""


class Interrupts:
    """What is known of Ctrl-C in this process.

    Attributes
    ----------
    installed
        The process is that of the command: it may be ended from here.
    working
        A command is at work, which is to clean up when Ctrl-C comes.
    """

    def __init__(self) -> None:
        self.installed = False
        self.working = False
        self._first: float | None = None

    def install(self) -> None:
        """Take care of Ctrl-C from now on, unless whoever started the process has it ignored."""
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        if ignored or threading.current_thread() is not threading.main_thread():
            return
        signal.signal(signal.SIGINT, self._handle)
        self.installed = True
        previous = sys.unraisablehook

        def hook(unraisable: sys.UnraisableHookArgs) -> None:
            if issubclass(unraisable.exc_type, KeyboardInterrupt):  # a destructor has swallowed it: once more
                self._first = None
                again = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT))
                again.daemon = True
                again.start()
            elif self._first is None:
                previous(unraisable)

        sys.unraisablehook = hook

    def end(self, say: Callable[[], None] | None = None) -> NoReturn:
        """End the process without waiting for threads: they may be anywhere, and would have a say on stderr."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with contextlib.suppress(OSError, ValueError):  # nobody reads on the other side, or the stream is closed
            sys.stdout.flush()
        with contextlib.suppress(OSError, ValueError):
            if say is None:
                os.write(2, f"{LINE}\n".encode())
            else:
                say()
                sys.stderr.flush()
        os._exit(INTERRUPTED)

    def _handle(self, number: int, frame: object) -> None:
        if not self.working:
            self.end()
        now = time.monotonic()
        if self._first is None:
            self._first = now
            threading.excepthook = _silent
            if "logging" in sys.modules:
                sys.modules["logging"].disable()
            raise KeyboardInterrupt
        if now - self._first >= _PATIENCE:
            self.end()


def _silent(arguments: threading.ExceptHookArgs) -> None:
    """Say nothing of threads that fail because what they work with is being closed."""


interrupts = Interrupts()
