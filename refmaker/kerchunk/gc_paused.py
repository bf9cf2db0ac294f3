"""No garbage collection while millions of objects are made that are all kept.

Contract: nests, and holds for several threads; when the last block ends, collection is as it was before the first.
"""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from collections.abc import Iterator

__all__ = ["collection_paused"]


class _Pause:
    """How many blocks are open, and whether collection was on before the first of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open = 0
        self.was_on = False

    def begin(self) -> None:
        with self.lock:
            if not self.open:
                self.was_on = gc.isenabled()
                gc.disable()
            self.open += 1

    def end(self) -> None:
        with self.lock:
            self.open -= 1
            if not self.open and self.was_on:
                gc.enable()


_pause = _Pause()


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """Pause garbage collection: without that, half the time of parsing a large document goes into it."""
    pause = _pause
    pause.begin()
    try:
        yield
    finally:
        pause.end()


def _after_fork() -> None:
    """Forget blocks of threads that are not there any more."""
    global _pause
    if _pause.open and _pause.was_on:
        gc.enable()
    _pause = _Pause()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
