"""The memory of reading ahead: one budget for all readers of a process, in whatever event loop they run.

Contract: all shares together never hold more than the limit. A share that has to wait says so by asking: those that
asked lately divide the limit evenly, and the others are told to let go of what nobody came for. Nothing here waits,
and what is wanted now never asks.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable

__all__ = ["PrefetchBudget", "PrefetchShare"]

_LATELY = 5.0
"""Seconds after which a reader that did not ask for memory leaves its part of it to the others."""

_PAUSE = 0.25
"""Seconds between two times that a reader is told to let go."""


class PrefetchBudget:
    """Bytes that may be held, or be on their way, ahead of all readers.

    Parameters
    ----------
    limit
        Of all shares together.
    clock
        Gives the time, in seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.clock = clock
        self._held = 0
        self._lock = threading.Lock()
        self._released: deque[int] = deque()
        self._shares: weakref.WeakSet[PrefetchShare] = weakref.WeakSet()

    @property
    def held(self) -> int:
        """Bytes of all shares together."""
        with self._lock:
            self._settle()
            return self._held

    def share(self, shed: Callable[[int], None]) -> PrefetchShare:
        """Return the share of one more reader.

        Parameters
        ----------
        shed
            Called from any thread with the bytes that others would like to have: gives what can be spared back soon.
        """
        share = PrefetchShare(self, shed)
        with self._lock:
            self._shares.add(share)
        return share

    def reset(self) -> None:
        """Begin anew, in a forked process: the readers of the other process have no threads here."""
        self._lock = threading.Lock()
        self._released.clear()
        self._held = 0
        for share in list(self._shares):
            share.held = 0
        self._shares = weakref.WeakSet()

    def room(self, share: PrefetchShare, most: int) -> int:
        """Return how many more bytes a share may take, up to `most`; have others let go where it is less."""
        with self._lock:
            self._settle()
            now = share.asked = self.clock()
            asking = sum(now - other.asked < _LATELY for other in self._shares)
            fair = self.limit // max(asking, 1)
            room = max(min(self.limit - self._held, fair - share.held, most), 0)
            lacks = min(most, fair - share.held) - room
            rich = [other for other in self._shares if lacks > 0 and other is not share and other.is_due(now)]
        for other in rich:
            other.shed(lacks)
        return room

    def take(self, share: PrefetchShare, size: int) -> bool:
        """Take memory if there is room for it."""
        with self._lock:
            self._settle()
            if self._held + size > self.limit:
                return False
            self._held += size
            share.held += size
            return True

    def give(self, share: PrefetchShare, size: int) -> None:
        """Take memory back from a share."""
        with self._lock:
            size = min(size, share.held)
            self._held -= size
            share.held -= size

    def release(self, share: PrefetchShare) -> None:
        """Take back all that a reader holds which is gone, for whoever asks next.

        The garbage collector calls this at any moment, in a thread that may have the lock: it must not be waited for.
        """
        size, share.held = share.held, 0
        self._released.append(size)

    def _settle(self) -> None:
        """Take note of what was given back meanwhile."""
        while self._released:
            self._held -= self._released.popleft()


class PrefetchShare:
    """What one reader holds of a budget. What it holds when it is gone is given back."""

    def __init__(self, budget: PrefetchBudget, shed: Callable[[int], None]) -> None:
        self.budget = budget
        self.shed = shed
        self.held = 0
        self.asked = self._pressed = float("-inf")

    def is_due(self, now: float) -> bool:
        """Return whether there is something to let go of, and nobody asked for that just now."""
        if self.held <= 0 or now - self._pressed < _PAUSE:
            return False
        self._pressed = now
        return True

    def room(self, most: int) -> int:
        """See `PrefetchBudget.room`."""
        return self.budget.room(self, most)

    def take(self, size: int) -> bool:
        """See `PrefetchBudget.take`."""
        return self.budget.take(self, size)

    def give(self, size: int) -> None:
        """See `PrefetchBudget.give`."""
        self.budget.give(self, size)

    def release(self) -> None:
        """See `PrefetchBudget.release`."""
        self.budget.release(self)
