"""A working process and the connection to it.

Contract: the process has a session of its own, so that Ctrl-C at a terminal reaches only whoever started it. It is
started anew rather than forked (libraries hold threads and locks) and does not import the caller's main module. It
ends when the connection is closed, and with whoever started it, however that ends.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from refmaker.engines.engine import TOGETHER, Item
from refmaker.errors import EngineError
from refmaker.processes import start

__all__ = ["Child"]

_GRACE = 5.0


class Child:
    """A working process.

    Attributes
    ----------
    running
        Key of an item -> the item, and when it was sent.
    ready
        The process has said that it is there.

    Raises
    ------
    EngineError
        The process cannot be started.
    """

    def __init__(self) -> None:
        self.running: dict[int, tuple[Item, float]] = {}
        self.ready = False
        try:
            self.process, ours = start("refmaker.engines.worker")
        except OSError as error:
            raise EngineError(f"cannot start a worker process: {error.strerror}", source=sys.executable) from error
        self.connection: Connection[Any, Any] = Connection(ours.detach())

    def takes(self, item: Item) -> bool:
        """Return whether the item can be sent now."""
        if not self.ready or not self.running:
            return self.ready
        company = len(self.running) < TOGETHER and all(not other.alone for other, _ in self.running.values())
        return company and not item.alone

    def send(self, function: Callable[[Any], Any], item: Item) -> None:
        """Send an item. Where the process is dead, the next `receive` says so."""
        self.running[item.key] = (item, time.monotonic())
        try:
            self.connection.send((item.key, function, item.argument))
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> Any:
        """Receive a message. Raises `EOFError` when the process has died."""
        try:
            return self.connection.recv()
        except OSError as error:
            raise EOFError from error

    def died(self) -> str:
        """Return how the process ended."""
        self.connection.close()
        try:
            status = self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        if status >= 0:  # Windows has codes such as 0xC0000005 for crashes
            return f"status {status}" if status < 0xC0000000 else f"code 0x{status:08X}"
        names = {number.value: number.name for number in signal.Signals}
        return f"signal {-status} ({names.get(-status, 'unknown')})"

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        self.connection.close()
