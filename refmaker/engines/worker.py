"""The process that works: receives items from whoever started it, calls the function, sends results.

Contract: it ends at once when the connection does, whatever it is doing: whoever started it was killed, or does not
want the results any more. What it prints goes to stderr, as stdout may be somebody's data.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from refmaker.engines.engine import TOGETHER, TaskFailed

__all__ = ["READY", "main", "traced"]

READY = "ready"
_PLACES = 4


def main(descriptor: int) -> None:
    """Serve the connection that was inherited under a file descriptor, until it ends."""
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    connection = Connection(descriptor)
    sender = _Sender(connection)
    pool = ThreadPoolExecutor(TOGETHER, "refmaker-work")
    sender.send(READY)
    while True:
        try:
            key, function, argument = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        pool.submit(function, argument).add_done_callback(partial(sender.finish, key))


class _Sender:
    """The way back, which threads take in turns."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self.connection = connection
        self.lock = threading.Lock()

    def finish(self, key: int, future: Future[Any]) -> None:
        """Send the result of an item."""
        error = future.exception()
        self.send((key, future.result() if error is None else TaskFailed("defect", traced(error))))

    def send(self, message: Any) -> None:
        """Send, or end where nobody listens."""
        try:
            with self.lock:
                self.connection.send(message)
        except OSError:
            os._exit(0)


def traced(error: BaseException) -> str:
    """Describe an error that should not have been, with the places it came through last."""
    places = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    through = " < ".join(f"{place.name} ({place.filename}:{place.lineno})" for place in reversed(places))
    return f"{type(error).__name__}: {error}; this is a defect of refmaker, in {through}"
